"""Checkpoints in several files are read as one; an index must fit its files."""

import json

import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import safetensors_file, torch_file
from tests.fixtures import torch_files

SHARDS = {
    "a-1": {"x": np.arange(3, dtype=np.float32), "y": np.ones((2, 2), np.float32)},
    "a-2": {"z": np.arange(4, dtype=np.float32)},
}
ARRAYS = SHARDS["a-1"] | SHARDS["a-2"]


def save_safetensors(path, arrays):
    safetensors.numpy.save_file(arrays, path)


FORMATS = {
    "model.safetensors": (save_safetensors, safetensors_file.open_safetensors),
    "pytorch_model.bin": (torch_files.save, torch_file.open_torch),
}


@pytest.fixture(params=FORMATS, ids=FORMATS)
def checkpoint(request, tmp_path):
    """`(index, open)`: two shards and how they are opened."""
    save, open_file = FORMATS[request.param]
    for name, arrays in SHARDS.items():
        save(tmp_path / name, arrays)
    index = tmp_path / f"{request.param}.index.json"
    write(index, {"z": "a-2", "x": "a-1", "y": "a-1"})
    return index, open_file


def write(index, weight_map, **fields):
    index.write_text(json.dumps({"weight_map": weight_map} | fields))


def test_shards_are_read_as_one_file(checkpoint):
    index, open_file = checkpoint
    file = open_file(index)
    assert file.path == index
    assert list(file.tensors) == ["z", "x", "y"]
    for name, expected in ARRAYS.items():
        assert file.tensors[name].shape == expected.shape
        np.testing.assert_array_equal(file.read(name), expected, strict=True)


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"x": "a-1", "y": "a-1", "z": "a-2", "w": "a-2"}, "- 'w' in a-2$"),
        ({"x": "a-1", "z": "a-2"}, "\\+ 'y' in a-1$"),
        ({"x": "a-1", "y": "a-2", "z": "a-2"}, "- 'y' in a-2\n\\+ 'y' in a-1$"),
        ({"x": "a-1", "y": "a-1", "z": "a-3"}, "a-3: No such file"),
        ({"x": "a-1", "y": "a-1"} | dict.fromkeys("bcdefghijk", "a-2"), "3 more$"),
    ],
)
def test_index_and_shards_must_fit(weight_map, message, checkpoint):
    index, open_file = checkpoint
    write(index, weight_map)
    with pytest.raises(CheckpointError, match=message):
        open_file(index)


def test_a_tensor_in_two_shards_is_refused(checkpoint, tmp_path):
    index, open_file = checkpoint
    save, _ = FORMATS[index.name.removesuffix(".index.json")]
    save(tmp_path / "a-2", ARRAYS)
    with pytest.raises(CheckpointError, match=r"\+ 'x' in a-2\n\+ 'y' in a-2$"):
        open_file(index)


@pytest.mark.parametrize(
    "file",
    [
        "",
        ".",
        "..",
        "../a-1",
        "/etc/passwd",
        "b/a-1",
        "b\\a-1",
        "a\0",
        "\ud800",
        1,
        None,
    ],
)
def test_shards_must_be_in_the_directory_of_the_index(file, checkpoint, tmp_path):
    index, open_file = checkpoint
    (tmp_path / "b").mkdir()
    (tmp_path / "a-1").rename(tmp_path / "b" / "a-1")
    write(index, {"x": file})
    with pytest.raises(CheckpointError, match="beside the index") as caught:
        open_file(index)
    assert str(caught.value).startswith(f"{index}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"{}", "weight_map is no object"),
        (b'{"weight_map": []}', "weight_map is no object"),
        (b'{"weight_map": {}}', "weight_map is empty"),
        (
            b'{"weight_map": {"x": "a-1", "x": "a-2"}}',
            "'x' stands twice in one obj",
        ),
        (b" " * (33 << 20), "expected an index of tensors of at most"),
    ],
)
def test_damaged_indices_are_refused(content, message, checkpoint):
    index, open_file = checkpoint
    index.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_file(index)
    assert str(caught.value).startswith(f"{index}: ")


def test_a_damaged_shard_is_named(checkpoint, tmp_path):
    index, open_file = checkpoint
    (tmp_path / "a-2").write_bytes(b"PK\3\4")
    with pytest.raises(CheckpointError, match=str(tmp_path / "a-2")):
        open_file(index)


def test_an_index_is_not_a_shard(checkpoint):
    index, open_file = checkpoint
    write(index, {"x": index.name})
    with pytest.raises(CheckpointError):
        open_file(index)
