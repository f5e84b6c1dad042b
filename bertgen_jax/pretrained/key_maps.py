"""Names in a checkpoint file in, Hugging Face's names of the same tensors out.

Every lineage spells the tensors of a BERT layer in its own way and lays out its linear
maps in its own way; the layers are the same. So each kind of file is one `Spelling`,
and one name map (`name_maps`) serves them all.

    Hugging Face      encoder.layer.0.attention.self.query.weight      [out, in]
    google-research   bert/encoder/layer_0/attention/self/query/kernel [in, out]
    TensorFlow 2      model/layer_with_weights-4/_attention_layer/_query_dense/kernel
    fairseq           encoder.sentence_encoder.layers.0.self_attn.q_proj.weight
"""

import dataclasses
import re
from collections.abc import Callable, Iterable

from bertgen_jax.pretrained.name_maps import Layout, Weight

WORDS = "embeddings.word_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # [types, D]
TRANSFORM = "cls.predictions.transform.dense.weight"  # of a masked-LM head
MLM_BIAS = ("cls.predictions.bias", "lm_head.bias", "cls.predictions.decoder.bias")

# Beginnings of names outside of the layers, and why no stack takes them.
_UNUSED = (
    ("pooler.", "pooler, for classification"),
    ("cls.predictions.", "masked-LM head"),
    ("lm_head.", "masked-LM head"),
    ("cls.seq_relationship.", "next-sentence head"),
    ("embeddings.position_ids", "position numbers, no weights"),
    ("embeddings.token_type_ids", "segment numbers, no weights"),
)
_TRUNK = ("embeddings.", "encoder.")
_OPTIMIZER = re.compile(
    r"(^|/)(adam_[mv]|Adam(_\d+)?|AdamWeightDecayOptimizer(_\d+)?|LAMBOptimizer"
    r"|ExponentialMovingAverage|Momentum|beta[12]_power|global_step|save_counter"
    r"|_CHECKPOINTABLE_OBJECT_GRAPH|\.OPTIMIZER_SLOT)(/|$)"
    r"|(^|/)(optimizer|keras_api)/|bad_steps|loss_scale|learning_rate"
)
_FAIRSEQ_STATE = re.compile(r"^(?!model\.)|(^|\.)(version|_float_tensor)$")


@dataclasses.dataclass(frozen=True)
class Spelling:
    """How a kind of file names and lays out the tensors of a BERT-shaped model.

    Attributes:
      rename: name in the file -> Hugging Face's, without the prefix of a model with a
        head; None for what is no weight of the model, such as an optimizer's moments.
      layout: of its linear maps.
    """

    rename: Callable[[str], str | None]
    layout: Layout = Layout.OUTPUTS_FIRST

    def apply(self, weights: Iterable[Weight], names: Iterable[str]) -> list[Weight]:
        """Fits a name map to a file of this kind.

        Args:
          weights: the map, of Hugging Face's names and layout.
          names: Hugging Face's names of what the file holds.
        """
        weights = [dataclasses.replace(w, layout=self.layout) for w in weights]
        if any(_FUSED in name for name in names):
            weights = [_fused(weight) for weight in weights]
        return weights


def unused(name: str) -> str | None:
    """Why a stack has no place for the tensor of that name of Hugging Face's.

    Returns:
      A few words; None for a name that no checkpoint of these kinds should have.
    """
    for beginning, reason in _UNUSED:
        if name.startswith(beginning):
            return reason
    if ".crossattention." in name:
        return "cross-attention, which an encoder does not have"
    return None if name.startswith(_TRUNK) else "head of another task"


def unused_of_ours(name: str) -> str | None:
    """As `unused`, of a model that is ours as a whole: little may be left over."""
    if name.endswith("embeddings.position_ids"):
        return "position numbers, no weights"
    if ".crossattention." in name:
        return "cross-attention, which an encoder does not have"
    return None


def hugging_face(prefix: str) -> Spelling:
    """Files of transformers, of every age.

    ```
    bert.embeddings.LayerNorm.gamma  ->  embeddings.LayerNorm.weight
    cls.predictions.bias             ->  cls.predictions.bias
    ```

    Args:
      prefix: of the trunk where the file holds a head as well, such as "bert.".
    """

    def rename(name: str) -> str:
        name = name.removeprefix(prefix)
        for old, new in (("gamma", "weight"), ("beta", "bias")):
            if name.endswith(f"LayerNorm.{old}"):
                name = name.removesuffix(old) + new
        return name

    return Spelling(rename)


_ROBERTA_DECODER = {
    "roberta.": "bert.",
    "lm_head.dense.": "cls.predictions.transform.dense.",
    "lm_head.layer_norm.": "cls.predictions.transform.LayerNorm.",
    "lm_head.": "cls.predictions.",
}


def hugging_face_decoder(kind: str, prefix: str) -> Spelling:
    """Files of transformers with a language model of BERT's or RoBERTa's.

    ```
    decoder.roberta.embeddings.LayerNorm.bias -> decoder.bert.embeddings.LayerNorm.bias
    decoder.lm_head.bias                      -> decoder.cls.predictions.bias
    ```

    Args:
      kind: of the language model; one of another kind has its names already.
      prefix: of the language model in a pair, "decoder."; else "".
    """
    plain = hugging_face("")

    def rename(name: str) -> str | None:
        name = plain.rename(name)
        for old, new in _ROBERTA_DECODER.items():
            if name.startswith(prefix + old):
                return name.replace(old, new, 1)
        return name

    return Spelling(rename) if kind == "roberta" else plain


_LAST = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def _google(name: str) -> str | None:
    """Variables of google-research/bert (its modeling.py).

    ```
    bert/embeddings/LayerNorm/gamma -> embeddings.LayerNorm.weight
    cls/predictions/output_bias     -> cls.predictions.bias
    ```
    """
    if _OPTIMIZER.search(name):
        return None
    name = re.sub(r"^(.*/)?bert/", "", name)
    name = name.replace("cls/predictions/output_bias", "cls/predictions/bias")
    *scopes, last = re.sub(r"(^|/)layer_(\d+)/", r"\1layer/\2/", name).split("/")
    if last.endswith("_embeddings"):
        scopes, last = [*scopes, last], "weight"
    return ".".join([*scopes, _LAST.get(last, last)])


_BERTSEQ2SEQ = {
    "attention.encdec.": "crossattention.self.",
    "attention.encdec_output.": "crossattention.output.",
}


def bertseq2seq(is_shared: bool) -> Spelling:
    """Variables of the paper's TF Hub modules, `google/bertseq2seq/*`.

    The names were never read from a module: they are those that Hugging Face's
    converter took (convert_tf_hub_seq_to_seq_bert_to_pytorch.py, up to version 4.30).

    ```
    module/bert/decoder/layer_0/attention/encdec/key/kernel
        -> decoder.bert.encoder.layer.0.crossattention.self.key.weight
    ```

    Args:
      is_shared: one scope, `encoder`, serves both sides.
    """

    def rename(name: str) -> str | None:
        canonical = _google(name)
        if canonical is None:
            return None
        for old, new in _BERTSEQ2SEQ.items():
            canonical = canonical.replace(old, new)
        side, _, rest = canonical.partition(".")
        if side == "embeddings":  # one block for both sides, kept in the decoder's
            return f"decoder.bert.{canonical}"
        if side == "encoder" and not is_shared:
            return f"encoder.{canonical}"
        return f"decoder.bert.encoder.{rest}" if side != "cls" else canonical

    return Spelling(rename, Layout.INPUTS_FIRST)


_TF2_EMBEDDINGS = {
    "0": "word_embeddings",
    "1": "position_embeddings",
    "2": "token_type_embeddings",
}
_TF2_LAYER = {
    "_attention_layer/_query_dense": "attention.self.query",
    "_attention_layer/_key_dense": "attention.self.key",
    "_attention_layer/_value_dense": "attention.self.value",
    "_attention_layer/_output_dense": "attention.output.dense",
    "_attention_output_dense": "attention.output.dense",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
TF2_MARK = "/.ATTRIBUTES/VARIABLE_VALUE"


def _tensorflow2(name: str) -> str | None:
    """Keys of TensorFlow 2's official/nlp BERT encoder, an object-based checkpoint.

    ```
    model/layer_with_weights-5/_output_dense/bias -> encoder.layer.1.output.dense.bias
    ```
    """
    if _OPTIMIZER.search(name) or not name.endswith(TF2_MARK):
        return None
    found = re.fullmatch(
        r"model/layer_with_weights-(\d{1,4})/(?:(.+)/)?(\w+)",
        name.removesuffix(TF2_MARK),
    )
    if not found:
        return name.removesuffix(TF2_MARK)
    number, scope, last = found.groups()
    last = _LAST.get(last, last)
    if number in _TF2_EMBEDDINGS and last == "embeddings":
        return f"embeddings.{_TF2_EMBEDDINGS[number]}.weight"
    if number == "3" and scope is None:
        return f"embeddings.LayerNorm.{last}"
    if scope is None:  # after the last layer
        return f"pooler.dense.{last}"
    if scope in _TF2_LAYER:
        return f"encoder.layer.{int(number) - 4}.{_TF2_LAYER[scope]}.{last}"
    return name.removesuffix(TF2_MARK)


_FAIRSEQ = (
    (r"^(encoder|decoder)\.(sentence_encoder\.)?", ""),
    (r"^embed_tokens\.", "embeddings.word_embeddings."),
    (r"^embed_positions\.", "embeddings.position_embeddings."),
    (r"^(emb_layer_norm|layernorm_embedding)\.", "embeddings.LayerNorm."),
    (r"^layers\.", "encoder.layer."),
    (r"\.self_attn\.q_proj\.", ".attention.self.query."),
    (r"\.self_attn\.k_proj\.", ".attention.self.key."),
    (r"\.self_attn\.v_proj\.", ".attention.self.value."),
    (r"\.self_attn\.in_proj_(weight|bias)$", r".attention.self.in_proj.\1"),
    (r"\.self_attn\.out_proj\.", ".attention.output.dense."),
    (r"\.self_attn_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.fc1\.", ".intermediate.dense."),
    (r"\.fc2\.", ".output.dense."),
    (r"\.final_layer_norm\.", ".output.LayerNorm."),
    # After the last layer, where each layer normalises its input: not RoBERTa's block.
    (r"^layer_norm\.", "encoder.layer_norm."),
)
_FUSED = ".attention.self.in_proj."


def _fairseq(name: str) -> str | None:
    """State of fairseq's RoBERTa; old files say `decoder` for the encoder.

    ```
    model.decoder.sentence_encoder.layers.0.fc1.bias
        -> encoder.layer.0.intermediate.dense.bias
    ```
    """
    if _FAIRSEQ_STATE.search(name):
        return None
    name = name.removeprefix("model.")
    for pattern, replacement in _FAIRSEQ:
        name = re.sub(pattern, replacement, name)
    return name


def _fused(weight: Weight) -> Weight:
    """Old fairseq keeps query, key and value in one tensor, one below the other."""
    for part, kind in enumerate(("query", "key", "value")):
        scope = f".attention.self.{kind}."
        if scope in weight.name and ".crossattention." not in weight.name:
            name = weight.name.replace(scope, _FUSED)
            return dataclasses.replace(weight, name=name, part=(part, 3))
    return weight


GOOGLE = Spelling(_google, Layout.INPUTS_FIRST)
TENSORFLOW2 = Spelling(_tensorflow2, Layout.OURS)
FAIRSEQ = Spelling(_fairseq)


def _gpt2(name: str) -> str:
    """GPT-2 of transformers: base models lack the prefix of their trunk."""
    has_prefix = name.startswith(("transformer.", "lm_head.", "score.", "classifier."))
    return name if has_prefix else f"transformer.{name}"


def _openai(name: str) -> str | None:
    """Variables of openai/gpt-2, whose names are kept (`gpt2_maps.openai`)."""
    return None if _OPTIMIZER.search(name) else name


GPT2 = Spelling(_gpt2, Layout.INPUTS_FIRST)
OPENAI = Spelling(_openai, Layout.CONVOLUTION)
