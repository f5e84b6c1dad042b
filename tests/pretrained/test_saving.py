"""Saved directories are loaded bit for bit; files of other versions are read."""

import dataclasses
import json
import pathlib

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files import json_files
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained import checkpoint, saving
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer
from tests.fixtures.models import stack_config

STACK = stack_config(vocab_size=11)  # one for each piece of the test's tokenizer
WIDTH = STACK.hidden_size
UNTIED = dataclasses.replace(STACK, tie_word_embeddings=False)
NO_BIAS = dataclasses.replace(STACK, lm_head_bias=False)
HEAD = "decoder.lm_head"
WORDS = "embeddings.word_embeddings.weight"


def pair(encoder=STACK, decoder=STACK, **fields):
    fields = {"decoder_start_token_id": 2} | fields
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


SHARED = pair(share_encoder_decoder=True)
CONFIGS = {
    "encoder": STACK,
    "decoder": dataclasses.replace(STACK, is_decoder=True, add_cross_attention=True),
    "pair": pair(),
    "shared": SHARED,
    "one table": pair(share_embeddings=True),
    "untied": pair(decoder=UNTIED),
    "without bias": pair(decoder=NO_BIAS),
    "unequal": pair(dataclasses.replace(STACK, hidden_size=12)),
}


def load(directory):
    return checkpoint.load(detection.open_checkpoint(directory))


def params_of(config, tensors):
    return checkpoint.from_tensors(config, tensors, where="here").params


def assert_same(one, other):
    one, other = trees.named(one), trees.named(other)
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path])
        assert one[path].dtype == np.float32


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_saved_model_is_loaded_bit_for_bit(config, draw_params, tmp_path):
    params = draw_params(config)
    saving.save(tmp_path / "deep" / "model", config, params)
    read = load(tmp_path / "deep" / "model")
    assert read.config == config
    assert_same(read.params, params)


def test_the_file_has_the_names_and_layout_of_hugging_face(draw_params, tmp_path):
    params = draw_params(SHARED)
    saving.save(tmp_path, SHARED, params)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    kernel = params["decoder"]["bert"]["layer_0"]["intermediate"]["kernel"]
    assert kernel.shape == (WIDTH, STACK.intermediate_size)
    # Written as a view, the transposed kernel would come back scrambled.
    for stack in ("encoder", "decoder.bert"):
        name = f"{stack}.encoder.layer.0.intermediate.dense.weight"
        np.testing.assert_array_equal(tensors[name], kernel.T)
    query = params["decoder"]["bert"]["layer_0"]["attention"]["query"]["kernel"]
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    np.testing.assert_array_equal(tensors[name], query.reshape(WIDTH, WIDTH).T)
    assert f"{HEAD}.decoder.weight" not in tensors  # tied

    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["EncoderDecoderModel"]
    assert values["tie_encoder_decoder"] is True
    assert values["decoder"]["is_decoder"] is True


def test_bfloat16_params_are_written_as_float32(draw_params):
    params = draw_params(STACK)
    narrow = trees.nested(
        {p: x.astype(ml_dtypes.bfloat16) for p, x in trees.named(params).items()}
    )
    tensors = saving.to_tensors(STACK, narrow)
    assert {x.dtype for x in tensors.values()} == {np.dtype(np.float32)}


def test_files_in_half_precision_are_read_as_float32(draw_params, tmp_path):
    params = draw_params(STACK)
    saving.save(tmp_path, STACK, params)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    half = {name: x.astype(np.float16) for name, x in tensors.items()}
    safetensors.numpy.save_file(half, path)
    loaded = trees.named(load(tmp_path).params)
    for name, array in trees.named(params).items():
        wanted = array.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(loaded[name], wanted)


# --- one parameter, several tensors ----------------------------------------------


def test_a_shared_model_of_version_4_is_read_without_the_encoders_tensors(draw_params):
    params = draw_params(SHARED)
    tensors = saving.to_tensors(SHARED, params)
    halved = {n: x for n, x in tensors.items() if not n.startswith("encoder.")}
    assert len(halved) < len(tensors)
    assert_same(params_of(SHARED, halved), params)


def test_shared_stacks_that_differ_are_not_merged(draw_params):
    """Version 5 of Hugging Face ignores the sharing flag, so training splits them."""
    tensors = saving.to_tensors(SHARED, draw_params(SHARED))
    tensors[f"encoder.{WORDS}"] = tensors[f"encoder.{WORDS}"] + 1
    message = rf"! decoder\.bert\.{WORDS} is not encoder\.{WORDS}"
    with pytest.raises(CheckpointError, match=message):
        params_of(SHARED, tensors)


def test_repeated_tied_tensors_must_be_equal(draw_params):
    config = pair()
    params = draw_params(config)
    tensors = saving.to_tensors(config, params)
    table = tensors[f"decoder.bert.{WORDS}"]
    tensors[f"{HEAD}.decoder.weight"] = table
    tensors[f"{HEAD}.decoder.bias"] = tensors[f"{HEAD}.bias"]
    position_ids = np.arange(STACK.max_position_embeddings)[None]
    tensors["encoder.embeddings.position_ids"] = position_ids
    assert_same(params_of(config, tensors), params)
    tensors[f"{HEAD}.decoder.weight"] = table * 2
    with pytest.raises(CheckpointError, match=rf"! {HEAD}\.decoder\.weight is not dec"):
        params_of(config, tensors)


def test_the_bias_of_an_untied_softmax_is_that_of_the_linear_map(draw_params):
    config = pair(decoder=UNTIED)
    params = draw_params(config)
    tensors = saving.to_tensors(config, params)
    tensors[f"{HEAD}.bias"] = tensors[f"{HEAD}.bias"] + 1  # the orphan
    assert_same(params_of(config, tensors), params)
    del tensors[f"{HEAD}.decoder.bias"]  # as version 4 wrote it
    actual = params_of(config, tensors)["decoder"]["lm_head"]["bias"]
    np.testing.assert_array_equal(actual, tensors[f"{HEAD}.bias"])


@pytest.mark.parametrize("decoder", [NO_BIAS, UNTIED], ids=["tied", "untied"])
def test_a_model_without_bias_has_zeros_in_the_file(decoder, draw_params):
    config = pair(decoder=dataclasses.replace(decoder, lm_head_bias=False))
    params = draw_params(config)
    assert params["decoder"].get("lm_head", {}).keys() <= {"kernel"}
    tensors = saving.to_tensors(config, params)
    np.testing.assert_array_equal(tensors[f"{HEAD}.bias"], np.zeros(11))
    name = f"{HEAD}.bias" if decoder is NO_BIAS else f"{HEAD}.decoder.bias"
    tensors[name] = np.ones(11, np.float32)  # it has been trained elsewhere
    with pytest.raises(CheckpointError, match=rf"! {name} is not zero"):
        params_of(config, tensors)


# --- a save that is killed -------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends at some point of a save."""


STEPS = {
    "the first tensor": (saving, "_join"),
    "the weights": (pathlib.Path, "replace"),
    "the tokenizer": (WordPieceTokenizer, "save_pretrained"),
    "the search settings": (json_files, "write_object"),
}


@pytest.mark.parametrize(("where", "step"), STEPS.values(), ids=STEPS)
def test_a_killed_save_never_mixes_two_models(
    where, step, draw_params, tmp_path, monkeypatch
):
    """The new weights fit the old config, but would compute something else with it."""
    old, new = STACK, dataclasses.replace(STACK, hidden_act="relu")
    params = draw_params(old)
    saving.save(tmp_path, old, params)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    def die(*arguments, **options):
        raise Killed

    settings = GenerationConfig(num_beams=2)
    monkeypatch.setattr(where, step, die)
    with pytest.raises(Killed):
        saving.save(tmp_path, new, draw_params(new, 1), tokenizer, settings)
    if step == "_join":  # nothing was replaced yet
        assert load(tmp_path).config == old
        assert_same(load(tmp_path).params, params)
    else:
        with pytest.raises(CheckpointError, match="not a checkpoint of a known form"):
            load(tmp_path)


# --- errors ----------------------------------------------------------------------


def test_missing_files_are_named(draw_params, tmp_path):
    with pytest.raises(CheckpointError, match="not a checkpoint of a known format"):
        load(tmp_path)
    saving.save(tmp_path, STACK, draw_params(STACK))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weights beside config\.json"):
        load(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(draw_params, tmp_path, kept):
    saving.save(tmp_path, STACK, draw_params(STACK))
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    damage = r"model\.safetensors: (empty|not a whole|its first 8)"
    with pytest.raises(CheckpointError, match=damage):
        load(tmp_path)


def test_tensors_that_do_not_fit_are_all_listed(draw_params):
    tensors = saving.to_tensors(STACK, draw_params(STACK))
    del tensors[WORDS]
    tensors["pooler.dense.weight"] = np.zeros((WIDTH, WIDTH), np.float32)
    tensors["embeddings.LayerNorm.bias"] = np.zeros(7, np.float32)
    with pytest.raises(CheckpointError) as error:
        params_of(STACK, tensors)
    assert str(error.value).splitlines()[1:] == [
        f"- {WORDS}",
        "+ pooler.dense.weight",
        "~ embeddings.LayerNorm.bias float32[7], expected floating-point numbers [16]",
    ]
    assert str(error.value).startswith("here: the tensors do not fit the configur")


def test_a_long_list_is_cut():
    tensors = {WORDS.replace("word", f"{i}th"): np.zeros(3) for i in range(11)}
    tensors[f"encoder.{WORDS}"] = np.zeros((11, WIDTH), np.float32)
    with pytest.raises(CheckpointError, match=r"\.\.\. and 33 more$"):
        params_of(SHARED, tensors)


def test_the_tensors_of_another_model_are_refused():
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors .* found weight"):
        params_of(SHARED, {"weight": np.zeros(3)})


def test_params_of_another_model_are_not_written(draw_params, tmp_path):
    with pytest.raises(ConfigError) as error:
        saving.save(tmp_path / "new", SHARED, draw_params(pair()))
    assert "+ encoder/embeddings/LayerNorm/bias float32[16]" in str(error.value)
    assert not (tmp_path / "new").exists()
    wide = dataclasses.replace(STACK, vocab_size=12)
    with pytest.raises(ConfigError, match=r"- .*embedding float32\[11,16\]"):
        saving.save(tmp_path / "new", STACK, draw_params(wide))
