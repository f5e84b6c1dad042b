"""Pairs with decoders of BERT and RoBERTa compute and generate the same."""

import json

import jax
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.pretrained import loading, saving

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors_torch = pytest.importorskip("safetensors.torch")

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
START, END = 2, 3
POSITIONS = 20
SIZES = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
}
KINDS = {
    "bert": (transformers.BertConfig, {}),
    "roberta": (
        transformers.RobertaConfig,
        {
            "max_position_embeddings": POSITIONS + 2,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "bert-generation": (transformers.BertGenerationConfig, {}),
}
PAIRS = [
    ("bert", "bert"),
    ("roberta", "roberta"),
    ("bert-generation", "bert"),
    ("bert-generation", "roberta"),
    ("roberta", "bert"),
    ("bert", "bert-generation"),
]


def stack(kind, **fields):
    make, own = KINDS[kind]
    return make(**{**SIZES, "max_position_embeddings": POSITIONS, **own, **fields})


def randomized(reference):
    """Random biases and LayerNorms too, for zeros and ones would hide mistakes.

    Some sentences end, and none has padding in it: RoBERTa would count no position for
    it, whatever came before.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "position_embeddings" in name:
                parameter.copy_(noise)  # or else a text would be one word, repeated
            elif parameter.ndim == 2:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(0.1 * noise + (1 if name.endswith("weight") else 0))
        bias = getattr(reference, "decoder", reference).get_output_embeddings().bias
        bias[END] += 0.7
        bias[:START] -= 50
    return reference.eval()


def pair(encoder, decoder, **of_decoder):
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        stack(encoder), stack(decoder, **of_decoder)
    )
    config.decoder_start_token_id = START
    config.pad_token_id = config.decoder.pad_token_id
    return randomized(transformers.EncoderDecoderModel(config))


def shared(kind):
    """All of the encoder is the decoder's, but for the pooler."""
    reference = pair(kind, kind)
    trunk = getattr(reference.decoder, kind)
    missing = reference.encoder.load_state_dict(trunk.state_dict(), strict=False)
    assert all(name.startswith("pooler.") for name in missing.missing_keys)
    return reference


def as_version_4_wrote_it(directory, kind, keep_encoder):
    """With its flag; of the encoder at most what the decoder does not have."""
    path = directory / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"tie_encoder_decoder": True}))
    path = directory / "model.safetensors"
    tensors = safetensors_torch.load_file(path)
    if not keep_encoder:
        repeated = {f"encoder.{n.removeprefix(f'decoder.{kind}.')}" for n in tensors}
        tensors = {name: x for name, x in tensors.items() if name not in repeated}
        left = [name for name in tensors if name.startswith("encoder.")]
        assert all(name.startswith("encoder.pooler.") for name in left)
    safetensors_torch.save_file(tensors, path, metadata={"format": "pt"})


def draw(pad, length=11, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < np.array([[length], [7], [2]])
    return np.where(mask, rng.integers(4, SIZES["vocab_size"], mask.shape), pad), mask


def theirs(reference, ids, mask, targets):
    with torch.no_grad():
        return reference(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask * 1),
            decoder_input_ids=torch.tensor(targets),
        ).logits.numpy()


def ours(model, params, *inputs):
    return jax.jit(model.apply)({"params": params}, *inputs).logits


def generated_by_reference(reference, ids, mask, beams):
    return reference.generate(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask * 1),
        max_new_tokens=9,
        num_beams=beams,
        do_sample=False,
        decoder_start_token_id=START,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=END,
        return_dict_in_generate=True,
        output_scores=True,
    )


def assert_generates_as(actual, expected):
    sequences = expected.sequences.numpy()[:, 1:]
    ended = np.cumsum(sequences == END, axis=1) - (sequences == END) > 0
    columns = np.asarray(actual.sequences[:, 0, : sequences.shape[1]])
    np.testing.assert_array_equal(np.where(ended, END, columns), sequences)
    if getattr(expected, "sequences_scores", None) is not None:
        scores = expected.sequences_scores.numpy()
        np.testing.assert_allclose(actual.scores[:, 0], scores, **TOLERANCE)


def assert_computes_the_same(reference, directory):
    """Compares a saved model of Hugging Face with ours, and with the one we save.

    Returns:
      Our model, its params, and the model that Hugging Face loads from our files.
    """
    source, target = directory / "in", directory / "out"
    model, params = loading.from_pretrained(source)
    ids, mask = draw(reference.config.encoder.pad_token_id)
    targets = draw(5, length=6, seed=1)[0]
    expected = theirs(reference, ids, mask, targets)
    actual = ours(model, params, ids, mask, targets)
    np.testing.assert_allclose(actual, expected, **TOLERANCE)

    saving.save_pretrained(target, model, params)
    again, report = transformers.EncoderDecoderModel.from_pretrained(
        target, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    actual = theirs(again.eval(), ids, mask, targets)
    np.testing.assert_allclose(actual, expected, **TOLERANCE)
    read, same = loading.from_pretrained(target)
    assert read.config == model.config
    jax.tree.map(np.testing.assert_array_equal, same, params)
    return model, params, again


def assert_generates_the_same(reference, model, params, again):
    ids, mask = draw(reference.config.encoder.pad_token_id)
    for beams in (1, 4):
        expected = generated_by_reference(reference, ids, mask, beams)
        assert len(np.unique(expected.sequences)) > 3  # not one word for all
        settings = GenerationConfig(max_new_tokens=9, num_beams=beams, eos_token_id=END)
        actual = generator_lib.generate(model, params, ids, mask, settings)
        assert_generates_as(actual, expected)
        assert_generates_as(actual, generated_by_reference(again, ids, mask, beams))


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_a_pair_computes_and_generates_the_same(tmp_path, encoder, decoder):
    reference = pair(encoder, decoder)
    reference.save_pretrained(tmp_path / "in")
    model, params, again = assert_computes_the_same(reference, tmp_path)
    assert model.config.decoder.lm_head_transform == (decoder != "bert-generation")
    kind = {"bert-generation": "BertGenerationDecoder"}.get(decoder, "BertLMHeadModel")
    assert type(again.decoder).__name__ == kind
    if (encoder, decoder) in PAIRS[:3]:
        assert_generates_the_same(reference, model, params, again)


@pytest.mark.parametrize("keep_encoder", [True, False], ids=["both", "decoder"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_shared_pair_computes_and_generates_the_same(tmp_path, kind, keep_encoder):
    reference = shared(kind)
    reference.save_pretrained(tmp_path / "in")
    as_version_4_wrote_it(tmp_path / "in", kind, keep_encoder)
    model, params, again = assert_computes_the_same(reference, tmp_path)
    assert model.config.share_encoder_decoder
    if not keep_encoder:
        assert_generates_the_same(reference, model, params, again)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_untied_softmax_computes_the_same(tmp_path, kind):
    reference = pair("bert", kind, tie_word_embeddings=False)
    reference.save_pretrained(tmp_path / "in")
    model, *_ = assert_computes_the_same(reference, tmp_path)
    assert not model.config.decoder.tie_word_embeddings


def test_the_transform_has_the_activation_of_the_layers(tmp_path):
    reference = pair("bert", "bert", hidden_act="relu")
    reference.save_pretrained(tmp_path / "in")
    assert_computes_the_same(reference, tmp_path)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_decoder_alone_computes_the_same(tmp_path, kind):
    classes = {
        "bert": transformers.BertLMHeadModel,
        "roberta": transformers.RobertaForCausalLM,
    }
    reference = randomized(classes[kind](stack(kind, is_decoder=True)))
    reference.save_pretrained(tmp_path / "in")
    ids, _ = draw(pad=4)
    with torch.no_grad():
        expected = reference(torch.tensor(ids)).logits.numpy()
    model, params = loading.from_pretrained(tmp_path / "in")
    np.testing.assert_allclose(ours(model, params, ids), expected, **TOLERANCE)
    saving.save_pretrained(tmp_path / "out", model, params)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert isinstance(again, transformers.BertLMHeadModel)
    with torch.no_grad():
        actual = again(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(actual, expected, **TOLERANCE)
