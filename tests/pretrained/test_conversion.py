"""A conversion writes a complete directory of the same model, or nothing."""

import json
import shutil
import sys
import tempfile

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.files import atomic
from bertgen_jax.models.stack_config import POSITION_TABLE
from bertgen_jax.pretrained import (
    conversion,
    ctranslate2,
    loading,
    saving,
)
from bertgen_jax.pretrained.containers import safetensors_file
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer
from tests.fixtures import checkpoints
from tests.fixtures.models import prefix_config, stack_config

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "b", "##b", "."]


@pytest.fixture
def bert(tmp_path):
    """A directory with BERT's weights and vocabulary."""
    directory, _ = checkpoints.write("google", tmp_path / "source")
    (directory / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return directory


def assert_same(one, other):
    """Two models are equal, bit for bit."""
    (model, params), (other_model, other_params) = one, other
    assert model == other_model
    params, other_params = trees.named(params), trees.named(other_params)
    assert params.keys() == other_params.keys()
    for path, values in params.items():
        np.testing.assert_array_equal(values, other_params[path], err_msg=path)
        assert values.dtype == np.float32


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("kind", checkpoints.ALL)
def test_the_converted_model_is_the_same(kind, tmp_path):
    source, _ = checkpoints.write(kind, tmp_path / "source")
    conversion.convert(source, tmp_path / "result")
    assert_same(
        loading.from_pretrained(tmp_path / "result"),
        loading.from_pretrained(source),
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_the_result_is_always_f32(dtype, tmp_path):
    def cast(tensors):
        tensors.update({name: t.astype(dtype) for name, t in tensors.items()})

    source, _ = checkpoints.write("pair", tmp_path / "source", change=cast)
    conversion.convert(source, tmp_path / "result")
    file = safetensors_file.open_safetensors(tmp_path / "result" / "model.safetensors")
    assert {info.dtype for info in file.tensors.values()} == {np.dtype(np.float32)}
    assert_same(
        loading.from_pretrained(tmp_path / "result"),
        loading.from_pretrained(source),
    )


def test_the_conversion_is_summarised(bert, tmp_path):
    done = conversion.convert(bert, tmp_path / "result")
    assert str(done).splitlines() == [
        f"read       {bert} (TensorFlow 1 checkpoint of google-research/bert, encoder)",
        f"wrote      {tmp_path / 'result'} (for huggingface), 1,400 parameters",
        "left out   not weights of the model, such as the state of an optimizer (3); "
        "pooler, for classification (2); masked-LM head (5); next-sentence head (2); "
        "rows from 1 on, segments that the model does not have (1 row)",
        "tokenizer  WordPieceTokenizer",
    ]
    leaves = jax.tree.leaves(loading.from_pretrained(tmp_path / "result")[1])
    assert done.parameters == sum(leaf.size for leaf in leaves) == 1400
    (bert / "vocab.txt").unlink()
    done = conversion.convert(bert, tmp_path / "other")
    assert str(done).endswith("\ntokenizer  none beside the weights")
    shared, _ = checkpoints.write("shared pair", tmp_path / "shared")
    done = conversion.convert(shared, tmp_path / "again")
    assert "left out   repeats another tensor (36)" in str(done)


def test_the_tokenizer_is_copied(bert, tmp_path):
    conversion.convert(bert, tmp_path / "result")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "result")
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert tokenizer.get_vocab() == {piece: row for row, piece in enumerate(PIECES)}


def test_a_damaged_tokenizer_is_an_error(tmp_path):
    source, _ = checkpoints.write("encoder", tmp_path / "source")
    (source / "spiece.model").write_bytes(b"no model")
    with pytest.raises(TokenizerError, match=r"spiece\.model"):
        conversion.convert(source, tmp_path / "result")
    assert names(tmp_path) == ["source", *(f"source/{n}" for n in names(source))]


def test_a_dictionary_of_fairseq_is_not_a_tokenizer(tmp_path):
    source, _ = checkpoints.write("fairseq", tmp_path / "source")
    assert (source / "dict.txt").is_file()
    assert conversion.convert(source, tmp_path / "result").tokenizer == ""


# Another architecture


def test_an_encoder_becomes_a_decoder(bert, tmp_path):
    done = conversion.convert(bert, tmp_path / "result", architecture="decoder")
    assert done.read.endswith("google-research/bert, decoder)")
    model, params = loading.from_pretrained(tmp_path / "result")
    # Hugging Face's model has a bias, so zeros are written; ours still has none.
    assert not model.config.lm_head_bias
    assert_same((model, params), loading.from_pretrained(bert, architecture="decoder"))


def test_a_decoder_may_keep_the_bias_of_the_masked_lm_head(bert, tmp_path):
    done = conversion.convert(
        bert, tmp_path / "result", architecture="decoder", mlm_bias=True
    )
    assert "masked-LM head (4)" in str(done)  # the fifth is used
    _, params = loading.from_pretrained(tmp_path / "result")
    bias = checkpoints.bert()["cls.predictions.bias"]
    np.testing.assert_array_equal(params["lm_head"]["bias"], bias)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_one_side_of_a_pair_is_converted(side, tmp_path):
    source, tensors = checkpoints.write("pair", tmp_path / "source")
    done = conversion.convert(source, tmp_path / "result", architecture=side)
    left = {
        "encoder": "of the other side, or between the two (36); cross-attention, which "
        "an encoder does not have (20); head of a decoder (1)",
        "decoder": "of the other side, or between the two (36)",
    }
    assert f"left out   {left[side]}\n" in str(done)
    model, params = loading.from_pretrained(tmp_path / "result")
    assert model.config.is_decoder == (side == "decoder")
    trunk = params["bert"] if side == "decoder" else params
    name = {"encoder": "encoder", "decoder": "decoder.bert"}[side]
    np.testing.assert_array_equal(
        trunk["layer_1"]["intermediate"]["kernel"],
        tensors[f"{name}.encoder.layer.1.intermediate.dense.weight"].T,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": "encoder-decoder"},
            r"holds one stack .*warm_start\(\"bert2b",
        ),
        (
            {"architecture": "decode"},
            "architecture is 'decode'; expected one of .* Did you mean 'decoder'",
        ),
        ({"mlm_bias": True}, "mlm_bias is set for the encoder of"),
        (
            {"to": "hugging-face"},
            "target is 'hugging-face'; expected one of .* mean 'huggingface'",
        ),
        (
            {"quantization": "int8"},
            "quantization is 'int8' for huggingface, which stores",
        ),
    ],
)
def test_invalid_options_are_refused(options, message, bert, tmp_path):
    with pytest.raises(ConfigError, match=message):
        conversion.convert(bert, tmp_path / "a" / "result", **options)
    assert names(tmp_path) == ["source", *(f"source/{name}" for name in names(bert))]


def test_a_missing_bias_cannot_be_kept(tmp_path):
    source, _ = checkpoints.write("encoder", tmp_path / "source")
    with pytest.raises(
        ConfigError, match="expected a checkpoint with a masked-LM head"
    ):
        conversion.convert(
            source, tmp_path / "result", architecture="decoder", mlm_bias=True
        )


def test_without_the_library_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    name = "bertgen_jax.pretrained.ctranslate2.spec"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(ctranslate2, "spec", raising=False)
    source, _ = checkpoints.write("pair", tmp_path / "source")
    (source / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    with pytest.raises(ConfigError, match=r"pip install 'bertgen_jax\[ctranslate2\]'"):
        conversion.convert(source, tmp_path / "result", "ctranslate2")
    assert names(tmp_path) == ["source", *(f"source/{name}" for name in names(source))]


def test_ctranslate2_needs_a_vocabulary(tmp_path):
    source, _ = checkpoints.write("pair", tmp_path / "source")
    with pytest.raises(TokenizerError, match="holds no tokenizer; expected one beside"):
        conversion.convert(source, tmp_path / "result", "ctranslate2")
    assert not (tmp_path / "result").exists()


# How to search


def search_of(directory):
    return loading.generation_config(directory)


def test_the_search_settings_are_copied(tmp_path):
    source, _ = checkpoints.write("pair", tmp_path / "source")
    settings = {"num_beams": 4, "max_length": 64, "bos_token_id": 2, "eos_token_id": 1}
    (source / "generation_config.json").write_text(json.dumps(settings))
    conversion.convert(source, tmp_path / "result")
    assert search_of(tmp_path / "result") == GenerationConfig(
        num_beams=4,
        max_length=64,
        decoder_start_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )


def test_without_search_settings_the_ids_are_those_of_the_model(tmp_path):
    source, _ = checkpoints.write("openai", tmp_path / "source")
    conversion.convert(source, tmp_path / "result")
    assert search_of(tmp_path / "result") == GenerationConfig(eos_token_id=29)
    source, _ = checkpoints.write("hub", tmp_path / "module")
    conversion.convert(source, tmp_path / "other")
    assert search_of(tmp_path / "other") == GenerationConfig(
        decoder_start_token_id=2, eos_token_id=1, pad_token_id=0
    )


def test_an_encoder_has_no_search_settings(bert, tmp_path):
    conversion.convert(bert, tmp_path / "result")
    assert not (tmp_path / "result" / "generation_config.json").exists()


def test_a_step_of_a_run_has_the_search_settings_of_the_run(tmp_path, draw_params):
    workdir = tmp_path / "run"
    workdir.mkdir()
    config = prefix_config(stack_config(lm_head_bias=False, pre_layer_norm=True))
    values = {
        "ema_decay": 0.0,
        "num_beams": 9,  # a field of the experiment's own
        "decode": {"num_beams": 3, "early_stopping": "True", "max_new_tokens": 5},
    }
    (workdir / MODEL_CONFIG).write_text(json.dumps(config.to_dict()))
    (workdir / "config.json").write_text(json.dumps(values))
    params = draw_params(config)
    store = CheckpointStore(
        workdir / "checkpoints", best_metric="loss", best_mode="min"
    )
    store.save(5, {"params": params}, {})
    store.close()
    done = conversion.convert(workdir / "checkpoints" / "5", tmp_path / "result")
    assert "bertgen_jax checkpoint of step 5, decoder" in done.read
    assert search_of(tmp_path / "result") == GenerationConfig(
        num_beams=3,
        early_stopping=True,
        max_new_tokens=5,
        decoder_start_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    model, actual = loading.from_pretrained(tmp_path / "result")
    assert model.config == config
    assert_same((model, actual), (model, params))


# Archives


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_an_archive_is_converted_like_its_directory(kind, bert, tmp_path, monkeypatch):
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    archive = shutil.make_archive(tmp_path / "bert", kind, tmp_path, "source")
    done = conversion.convert(archive, tmp_path / "result")
    assert done.read.startswith(f"{archive} (TensorFlow 1 checkpoint")
    assert done.tokenizer == "WordPieceTokenizer"
    assert not names(tmp_path / "unpacked")
    assert_same(
        loading.from_pretrained(tmp_path / "result"),
        loading.from_pretrained(bert),
    )


def test_errors_name_the_archive(bert, tmp_path):
    (bert / "bert_config.json").write_text("{")
    archive = shutil.make_archive(tmp_path / "bert", "zip", tmp_path, "source")
    with pytest.raises(CheckpointError) as error:
        conversion.convert(archive, tmp_path / "result")
    assert str(error.value).startswith(f"{archive}/source/bert_config.json: not JSON")


# All or nothing


def test_existing_files_are_not_touched(bert, tmp_path):
    place = tmp_path / "result"
    place.mkdir()
    conversion.convert(bert, place)  # an empty directory is as good as none
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    for target in (place, place / "config.json"):
        with pytest.raises(
            CheckpointError, match="exists and is not empty; expected a n"
        ):
            conversion.convert(bert, target)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_the_target_is_checked_before_anything_is_read(tmp_path):
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "file").touch()
    with pytest.raises(CheckpointError, match="result exists and is not empty"):
        conversion.convert(tmp_path / "none", tmp_path / "result")


def test_a_link_to_an_empty_directory_stays_a_link(bert, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    conversion.convert(bert, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()


def test_the_target_may_be_an_empty_working_directory(bert, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    conversion.convert(bert, "")
    assert (tmp_path / "empty" / "model.safetensors").is_file()


def test_an_impossible_target_is_refused(bert, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        conversion.convert(bert, tmp_path / "file" / "result")
    with pytest.raises(CheckpointError, match="cannot be written"):
        conversion.convert(bert, tmp_path / ("x" * 300))


class Full:
    """Stands for what writes, and fails when it has done so a few times."""

    def __init__(self, real, error, calls=3):
        self.real, self.error, self.left = real, error, calls

    def __call__(self, *arguments, **options):
        self.left -= 1
        if not self.left:
            raise self.error
        return self.real(*arguments, **options)


FULL = OSError(28, "No space left on device")
FAILURES = {
    "a tensor": (saving, "_join", FULL, CheckpointError),
    "an interrupt": (saving, "_join", KeyboardInterrupt(), KeyboardInterrupt),
    "a mistake": (saving, "_join", RuntimeError("ours"), RuntimeError),
    "the tokenizer": (WordPieceTokenizer, "save_pretrained", FULL, CheckpointError),
    "the last step": (atomic.os, "replace", FULL, CheckpointError),
}


@pytest.mark.parametrize(
    ("where", "name", "error", "raised"), FAILURES.values(), ids=FAILURES
)
def test_a_failed_conversion_leaves_nothing(
    where, name, error, raised, bert, tmp_path, monkeypatch
):
    calls = 3 if name == "_join" else 1
    monkeypatch.setattr(where, name, Full(getattr(where, name), error, calls))
    before = names(tmp_path)
    with pytest.raises(raised) as caught:
        conversion.convert(bert, tmp_path / "new" / "er" / "result")
    assert names(tmp_path) == before
    if raised is CheckpointError:
        assert "No space left on device" in str(caught.value)
        assert str(tmp_path / "new") in str(caught.value)


def test_a_damaged_checkpoint_leaves_nothing(bert, tmp_path):
    data = bert / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001.* are damaged"):
        conversion.convert(bert, tmp_path / "new" / "result")
    assert names(tmp_path) == before


def test_existing_parent_directories_stay(bert, tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(saving, "_join", Full(None, FULL, calls=1))
    with pytest.raises(CheckpointError, match="No space left"):
        conversion.convert(bert, tmp_path / "old" / "result")
    assert not names(tmp_path / "old")


def test_one_tensor_is_in_memory_during_a_conversion(tmp_path, monkeypatch):
    """All of a checkpoint is views of its file, but for the sum of two tables."""
    source, _ = checkpoints.write("bert", tmp_path / "source")
    seen = {}
    real = saving.save

    def look(directory, config, params, *options):
        seen.update(trees.named(params))
        real(directory, config, params, *options)

    monkeypatch.setattr(saving, "save", look)
    conversion.convert(source, tmp_path / "result")
    assert len(seen) == 36
    copies = [path for path, array in seen.items() if array.flags.owndata]
    assert copies == [POSITION_TABLE]
