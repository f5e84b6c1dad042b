"""Checkpoints of every format are recognised; other directories are refused."""

import shutil

import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained import parameter_maps
from tests.fixtures import checkpoints, opening

ARCHITECTURES = {
    "gpt2": "decoder",
    "openai": "decoder",
    "decoder": "decoder",
    "pair": "encoder-decoder",
    "shared pair": "encoder-decoder",
    "hub": "encoder-decoder",
    "shared hub": "encoder-decoder",
}
kinds = pytest.mark.parametrize("kind", checkpoints.ALL)


@kinds
def test_a_directory_is_recognised(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    loaded = opening.load(directory)
    assert loaded.format == checkpoints.ALL[kind][-1]
    assert loaded.path == directory
    assert loaded.file.is_file()
    assert loaded.architecture == ARCHITECTURES.get(kind, "encoder")
    shapes = {
        w.path: w.shape for w in parameter_maps.weights_of(loaded.config) if w.path
    }
    assert {p: a.values.shape for p, a in loaded.arrays.items()} == shapes


SAME = {
    "bert, sharded": "bert",
    "bert, pickled": "bert",
    "bert, pickled in parts": "bert",
    "google": "bert",
    "tensorflow2": "bert",
    "openai": "gpt2",
    "shared hub": "shared pair",
    "old fairseq": "fairseq",
}


@pytest.mark.parametrize(("kind", "like"), SAME.items(), ids=SAME)
def test_every_format_of_a_model_gives_the_same_parameters(kind, like, tmp_path):
    one, _ = checkpoints.write(kind, tmp_path / "one")
    other, _ = checkpoints.write(like, tmp_path / "other")
    arrays = opening.arrays_of(opening.load(one))
    expected = opening.arrays_of(opening.load(other))
    if kind == "shared hub":  # no bias in place of zeros, and one head
        assert not expected.pop("decoder/lm_head/bias").any()
        expected = {p: a.reshape(arrays[p].shape) for p, a in expected.items()}
    opening.assert_equal(arrays, expected)


IDS = {
    "bert": (0, None, None),
    "google": (0, None, None),
    "roberta": (1, 0, 2),
    "fairseq": (1, 0, 2),
    "openai": (None, 29, 29),
    "encoder": (0, 2, 1),
}


@pytest.mark.parametrize(("kind", "ids"), IDS.items(), ids=IDS)
def test_special_ids_default_to_those_of_the_family(kind, ids, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    config = opening.load(directory).config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == ids


@kinds
def test_any_file_of_a_checkpoint_may_be_named(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    expected = opening.load(directory)
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        loaded = opening.load(path)
        assert (loaded.file, loaded.path) == (expected.file, expected.path)


def test_a_named_file_that_cannot_be_read_is_refused(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    (directory / "flax_model.msgpack").touch()
    with pytest.raises(CheckpointError, match=r"msgpack was named, but .*safetensors;"):
        opening.load(directory / "flax_model.msgpack")


def test_an_archive_in_a_directory_is_refused(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    shutil.make_archive(directory / "other", "zip", directory)
    with pytest.raises(CheckpointError, match=r"other\.zip is an archive.*Unpack it"):
        opening.load(directory / "other.zip")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not a checkpoint of a known format; it holds nothing"),
        ({"a.txt": "x", "b": ""}, r"(?s)it holds a.txt, b\. .*openai/gpt-2 +hparams"),
        ({str(i): "" for i in range(11)}, r"it holds 0, 1, 10, 2, .*, 8, \.\.\.\. Exp"),
        (
            {"config.json": "{}"},
            "config.json: model_type is None; expected one of bert",
        ),
        (
            {"config.json": '{"model_type": "t5"}'},
            "model_type is 't5'; expected one of",
        ),
        ({"config.json": '{"model_type": "bert"}'}, "no weights beside config.json"),
        ({"config.json": '{"model_type": ["bert"]}'}, r"model_type is \['bert'\]; exp"),
        (
            {"config.json": "[]"},
            "config.json: found a JSON list, expected a JSON obj",
        ),
        ({"config.json": "{"}, r"config.json: not JSON \(Expecting property"),
        ({"config.json": "[" * 100_000}, r"config.json: not JSON \("),
        ({"config.json": "\udcff"}, r"config.json: not JSON \('utf-8' codec"),
        ({"config.json": ""}, r"config.json: not JSON \(Expecting value"),
        ({"hparams.json": "{}"}, "holds hparams.json but no model.ckpt.index"),
        ({"saved_model.pb": "x"}, r"variables\.index is missing"),
        ({"model.ckpt.index": "x"}, "model.ckpt.index"),
        ({"model.pt": "x"}, "model.pt: of another kind; expected a file of torch.save"),
        ({"model_config.json": "{}"}, "model_config.json: model_type is None"),
        ({"checkpoint": 'model_checkpoint_path: "x"'}, "x.index is missing"),
    ],
)
def test_other_directories_are_refused(files, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=message) as error:
        opening.load(tmp_path)
    assert str(tmp_path) in str(error.value)
