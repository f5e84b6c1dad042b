"""Translates the names of tensors in a file to Hugging Face's names.

The layers of BERT are the same in every file, but each program names their tensors and
stores their linear maps in its own way. Each kind of file has one checkpoint key map
(`KeyMap`), so that the parameter maps of `parameter_maps` serve all kinds.

    Hugging Face      encoder.layer.0.attention.self.query.weight      [out, in]
    google-research   bert/encoder/layer_0/attention/self/query/kernel [in, out]
    TensorFlow 2      model/layer_with_weights-4/_attention_layer/_query_dense/kernel
    fairseq           encoder.sentence_encoder.layers.0.self_attn.q_proj.weight
"""

import dataclasses
import re
from collections.abc import Callable, Iterable

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers.tensor_file import TensorFile, shown
from bertgen_jax.pretrained.parameter_maps import LinearLayout, Weight

WORDS = "embeddings.word_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"  # [types, D]
TRANSFORM = "cls.predictions.transform.dense.weight"  # of a masked-LM head
MLM_BIAS = ("cls.predictions.bias", "lm_head.bias", "cls.predictions.decoder.bias")

# Prefixes of Hugging Face's names that no stack has, and why they may be left out.
_UNUSED = (
    ("pooler.", "pooler, for classification"),
    ("cls.predictions.", "masked-LM head"),
    ("lm_head.", "masked-LM head"),
    ("cls.seq_relationship.", "next-sentence head"),
    ("embeddings.position_ids", "position numbers, no weights"),
    ("embeddings.token_type_ids", "segment numbers, no weights"),
)
# The same for GPT-2, as patterns.
_UNUSED_GPT2 = (
    # Buffers of old files: ones below a diagonal, and a large negative number.
    (r"\.(attn|crossattention)\.(masked_)?bias$", "causal mask, no weights"),
    (r"(^|\.)(score|classifier|multiple_choice_head)\.", "head of another task"),
)
_STACK = ("embeddings.", "encoder.")
_OPTIMIZER = re.compile(
    r"(^|/)(adam_[mv]|Adam(_\d+)?|AdamWeightDecayOptimizer(_\d+)?|LAMBOptimizer"
    r"|ExponentialMovingAverage|Momentum|beta[12]_power|global_step|save_counter"
    r"|_CHECKPOINTABLE_OBJECT_GRAPH|\.OPTIMIZER_SLOT)(/|$)"
    r"|(^|/)(optimizer|keras_api)/|bad_steps|loss_scale|learning_rate"
)
_FAIRSEQ_STATE = re.compile(r"^(?!model\.)|(^|\.)(version|_float_tensor)$")


@dataclasses.dataclass(frozen=True)
class KeyMap:
    """The tensor names and the layout of linear maps in one kind of file.

    Attributes:
      rename: name in the file -> Hugging Face's name, without the prefix that it has in
        a model with a head; None if the tensor is not a weight of the model, such as
        a moment of an optimizer.
      layout: the memory layout of linear maps.
    """

    rename: Callable[[str], str | None]
    layout: LinearLayout = LinearLayout.OUTPUTS_FIRST

    def translate(self, tensors: TensorFile) -> tuple[dict[str, str], tuple[str, ...]]:
        """Translates the names of a file.

        Returns:
          Hugging Face's name -> name in the file; and the names that are not weights.

        Raises:
          CheckpointError: two tensors have the same meaning.
        """
        names: dict[str, str] = {}
        non_weights = []
        for name_in_file in tensors.tensors:
            name = self.rename(name_in_file)
            if name is None:
                non_weights.append(name_in_file)
            elif names.setdefault(name, name_in_file) != name_in_file:
                raise CheckpointError(
                    f"{tensors.path}: {shown(names[name])} and {shown(name_in_file)} "
                    "are two names of one tensor; expected one of them."
                )
        return names, tuple(non_weights)

    def apply(self, weights: Iterable[Weight], names: Iterable[str]) -> list[Weight]:
        """Fits a parameter map to a file of this kind.

        Args:
          weights: the map, with the names and memory layout of Hugging Face.
          names: Hugging Face's names of the tensors in the file.
        """
        weights = [dataclasses.replace(w, layout=self.layout) for w in weights]
        if any(_FUSED in name for name in names):
            weights = [_fused(weight) for weight in weights]
        return weights


def unused_reason(name: str) -> str | None:
    """Says why a stack of BERT or RoBERTa has no parameter for a tensor.

    Args:
      name: Hugging Face's name.

    Returns:
      A few words; None for a name that no file of these kinds should have.
    """
    for prefix, reason in _UNUSED:
        if name.startswith(prefix):
            return reason
    if ".crossattention." in name:
        return "cross-attention, which an encoder does not have"
    return None if name.startswith(_STACK) else "head of another task"


def unused_reason_generation(name: str) -> str | None:
    """Like `unused_reason`, for the BertGeneration models, which we read whole."""
    if name.endswith("embeddings.position_ids"):
        return "position numbers, no weights"
    if ".crossattention." in name:
        return "cross-attention, which an encoder does not have"
    return None


def unused_reason_gpt2(name: str) -> str | None:
    """Like `unused_reason`, for GPT-2."""
    for pattern, reason in _UNUSED_GPT2:
        if re.search(pattern, name):
            return reason
    return None


def hugging_face(prefix: str) -> KeyMap:
    """Returns the key map of files of transformers, of every version.

    ```
    bert.embeddings.LayerNorm.gamma  ->  embeddings.LayerNorm.weight
    cls.predictions.bias             ->  cls.predictions.bias
    ```

    Args:
      prefix: the prefix of the stack if the file also holds a head, such as "bert.".
    """

    return KeyMap(lambda name: _new_norms(name.removeprefix(prefix)))


def _new_norms(name: str) -> str:
    """Replaces the names that early versions took over from TensorFlow."""
    for old, new in (("gamma", "weight"), ("beta", "bias")):
        if name.endswith(f"LayerNorm.{old}"):
            return name.removesuffix(old) + new
    return name


_ROBERTA_DECODER = {
    "roberta.": "bert.",
    "lm_head.dense.": "cls.predictions.transform.dense.",
    "lm_head.layer_norm.": "cls.predictions.transform.LayerNorm.",
    "lm_head.": "cls.predictions.",
}


def hugging_face_decoder(kind: str, prefix: str) -> KeyMap:
    """Returns the key map of files of transformers that hold a language model.

    ```
    decoder.roberta.embeddings.LayerNorm.bias -> decoder.bert.embeddings.LayerNorm.bias
    decoder.lm_head.bias                      -> decoder.cls.predictions.bias
    ```

    Args:
      kind: the kind of the language model. RoBERTa's names become BERT's names.
      prefix: "decoder." for the decoder of a pair, else "".
    """

    def rename(name: str) -> str:
        name = _new_norms(name)
        for old, new in _ROBERTA_DECODER.items():
            if name.startswith(prefix + old):
                return name.replace(old, new, 1)
        return name

    return KeyMap(rename) if kind == "roberta" else hugging_face("")


_LAST = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def _google(name: str) -> str | None:
    """Translates variables of google-research/bert (its modeling.py).

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


def bertseq2seq(is_shared: bool) -> KeyMap:
    """Returns the key map of the paper's TF Hub modules, `google/bertseq2seq/*`.

    We have never seen such a module. The names are those that Hugging Face's converter
    expects (convert_tf_hub_seq_to_seq_bert_to_pytorch.py, up to version 4.30).

    ```
    module/bert/decoder/layer_0/attention/encdec/key/kernel
        -> decoder.bert.encoder.layer.0.crossattention.self.key.weight
    ```

    Args:
      is_shared: whether encoder and decoder are one scope, `encoder`.
    """

    def rename(name: str) -> str | None:
        canonical = _google(name)
        if canonical is None:
            return None
        for old, new in _BERTSEQ2SEQ.items():
            canonical = canonical.replace(old, new)
        side, _, rest = canonical.partition(".")
        if side == "embeddings":  # one for both sides; our params have the decoder's
            return f"decoder.bert.{canonical}"
        if side == "encoder" and not is_shared:
            return f"encoder.{canonical}"
        return f"decoder.bert.encoder.{rest}" if side != "cls" else canonical

    return KeyMap(rename, LinearLayout.INPUTS_FIRST)


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
    """Translates keys of the BERT encoder of TensorFlow 2's official/nlp.

    Its checkpoints are object-based: names are paths of attributes.

    ```
    model/layer_with_weights-5/_output_dense/bias -> encoder.layer.1.output.dense.bias
    ```
    """
    if _OPTIMIZER.search(name) or not name.endswith(TF2_MARK):
        return None
    name = name.removesuffix(TF2_MARK)
    match = re.fullmatch(r"model/layer_with_weights-(\d{1,4})/(?:(.+)/)?(\w+)", name)
    if not match:
        return name
    number, scope, last = match.groups()
    last = _LAST.get(last, last)
    if number in _TF2_EMBEDDINGS and last == "embeddings":
        return f"embeddings.{_TF2_EMBEDDINGS[number]}.weight"
    if number == "3" and scope is None:
        return f"embeddings.LayerNorm.{last}"
    if scope is None:  # after the last layer
        return f"pooler.dense.{last}"
    if scope in _TF2_LAYER:
        return f"encoder.layer.{int(number) - 4}.{_TF2_LAYER[scope]}.{last}"
    return name


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
    # After the last layer. Only in models that normalise the input of each layer, which
    # RoBERTa does not.
    (r"^layer_norm\.", "encoder.layer_norm."),
)
_FUSED = ".attention.self.in_proj."


def _fairseq(name: str) -> str | None:
    """Translates the state of fairseq's RoBERTa; old files call its encoder `decoder`.

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
    """Maps query, key and value to the one tensor in which old fairseq stacks them."""
    for index, kind in enumerate(("query", "key", "value")):
        scope = f".attention.self.{kind}."
        if scope in weight.name and ".crossattention." not in weight.name:
            name = weight.name.replace(scope, _FUSED)
            return dataclasses.replace(weight, name=name, part=(index, 3))
    return weight


def _gpt2(name: str) -> str:
    """Translates GPT-2 of transformers. Its base models lack the stack's prefix."""
    has_prefix = name.startswith(("transformer.", "lm_head.", "score.", "classifier."))
    return name if has_prefix else f"transformer.{name}"


_OPENAI_LAST = {"g": "weight", "w": "weight", "b": "bias"}


def _openai(name: str) -> str | None:
    """Translates variables of openai/gpt-2 (its src/model.py).

    ```
    model/wte [V, D]                    -> transformer.wte.weight
    model/h0/attn/c_attn/w [1, D, 3D]   -> transformer.h.0.attn.c_attn.weight
    ```
    """
    if _OPTIMIZER.search(name):
        return None
    scope, separator, rest = name.partition("/")
    if scope != "model" or not separator:
        return name
    *scopes, last = re.sub(r"^h(\d+)/", r"h/\1/", rest).split("/")
    if last in ("wte", "wpe"):
        scopes, last = [*scopes, last], "w"
    return ".".join(["transformer", *scopes, _OPENAI_LAST.get(last, last)])


GOOGLE = KeyMap(_google, LinearLayout.INPUTS_FIRST)
TENSORFLOW2 = KeyMap(_tensorflow2, LinearLayout.OURS)
FAIRSEQ = KeyMap(_fairseq)
GPT2 = KeyMap(_gpt2, LinearLayout.INPUTS_FIRST)
OPENAI = KeyMap(_openai, LinearLayout.CONVOLUTION)
