"""Files of torch.save are read in both forms; other files are refused."""

import zipfile

import ml_dtypes
import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import torch_file
from tests.fixtures import torch_files, zip_directory
from tests.fixtures.torch_files import (
    STORAGES,
    called,
    named,
    namespace,
    ordered,
    program,
    reference,
    tensor,
)

FORMS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def opened(path, tree, legacy=False):
    return torch_file.open_torch(torch_files.save(path, tree, legacy=legacy))


def assert_equal(actual, expected):
    np.testing.assert_array_equal(actual, expected, strict=True)
    assert not actual.flags.writeable


@FORMS
@pytest.mark.parametrize("dtype", STORAGES, ids=str)
def test_tensors_of_every_type_are_read(dtype, legacy, path):
    expected = np.arange(6).astype(dtype)
    file = opened(path, {"x": expected}, legacy)
    assert file.path == path
    assert (file.tensors["x"].shape, file.tensors["x"].dtype) == ((6,), dtype)
    assert_equal(file.read("x"), expected)


@FORMS
def test_views_of_storages_are_read(legacy, path):
    base = np.arange(24, dtype=np.float32)
    table = base.reshape(4, 6)
    arrays = {
        "whole": table,
        "transposed": table.T,
        "rows": table[1:3],
        "columns": table[:, ::2],
        "turned": base.reshape(2, 3, 4).transpose(2, 0, 1),
        "one": table[2, 3:4].reshape(()),
        "none": table[:0],
        "repeated": np.broadcast_to(base[:2], (3, 2)),
    }
    file = opened(path, arrays, legacy)
    assert list(file.tensors) == list(arrays)
    for name, expected in arrays.items():
        assert_equal(file.read(name), expected)


@FORMS
def test_tied_tensors_are_views_of_the_same_bytes(legacy, path):
    table = np.ones((3, 2), np.float32)
    file = opened(path, {"encoder": table, "decoder": table}, legacy)
    assert np.shares_memory(file.read("encoder"), file.read("decoder"))


def test_tensors_are_mapped_and_not_read(path):
    file = opened(path, {"x": np.arange(6.0)})
    kept = file.read("x")
    path.unlink()
    assert not kept.flags.owndata
    np.testing.assert_array_equal(kept, np.arange(6))


@FORMS
def test_a_checkpoint_of_fairseq_is_read(legacy, path):
    weights = {"encoder.bias": np.ones(2, np.float32), "encoder.version": np.ones(1)}
    tree = {
        "args": namespace(arch="roberta_base", encoder_layers=2, dropout=0.1, bpe=None),
        "model": weights,
        "optimizer_history": [{"num_updates": 7, "lr": (0.1, 0.2)}],
        "last_optimizer_state": {"state": {0: {"exp_avg": np.zeros(3), "step": 4}}},
        "extra": [np.zeros(2), {"epoch": True}],
        "nothing": {},
    }
    file = opened(path, tree, legacy)
    assert list(file.tensors) == [
        "model.encoder.bias",
        "model.encoder.version",
        "last_optimizer_state.state.0.exp_avg",
        "extra.0",
    ]
    assert_equal(file.read("model.encoder.bias"), weights["encoder.bias"])
    assert file.values == {
        "args": {
            "arch": "roberta_base",
            "encoder_layers": 2,
            "dropout": 0.1,
            "bpe": None,
        },
        "optimizer_history": [{"num_updates": 7, "lr": [0.1, 0.2]}],
        "last_optimizer_state": {"state": {"0": {"step": 4}}},
        "extra": [None, {"epoch": True}],
        "nothing": {},
    }


@FORMS
def test_a_state_dict_alone_has_no_values(legacy, path):
    storages = torch_files.Storages(legacy=legacy)
    state = ordered({"x": storages.replace(np.ones(2, np.float32))})
    if legacy:
        torch_files.write_legacy(path, program(state), storages.arrays)
    else:
        members = {key: array.tobytes() for key, array in storages.arrays.items()}
        torch_files.write_zip(path, program(state), members)
    file = torch_file.open_torch(path)
    assert (list(file.tensors), file.values) == (["x"], {})


FLOATS = named("torch.FloatStorage")
SIX = reference("storage", FLOATS, "0", "cpu", 6)
RING = torch_files.Opcodes(b"]q\0h\0a")  # a list that holds itself
LAUGHS = torch_files.Opcodes(  # lists, each of which holds the one before ten times
    b"](]q\0"
    + b"".join(b"](%be" % (b"h%c" % i * 10) + b"q%c" % (i + 1) for i in range(9))
    + b"e"
)
TREES = {
    "a tensor alone": (tensor(SIX, 0, (6,), (1,)), "no dict"),
    "a list": ([1], "no dict"),
    "past the end": ({"x": tensor(SIX, 1, (6,), (1,))}, "lead out of its storage"),
    "far past it": ({"x": tensor(SIX, 2**62, (2,), (2**62,))}, "lead out"),
    "strides past it": ({"x": tensor(SIX, 0, (2, 3), (4, 1))}, "lead out"),
    "a huge shape": ({"x": tensor(SIX, 0, (2**40, 2**40), (0, 0))}, "lead out"),
    "too large a shape": ({"x": tensor(SIX, 0, (10_000,), (0,))}, "lead out"),
    "a huge empty shape": ({"x": tensor(SIX, 0, (0, 2**62), (0, 0))}, "an array"),
    "a huge stride": ({"x": tensor(SIX, 0, (1,), (2**62,))}, "an array"),
    "other bytes": (
        {"x": tensor(reference("storage", FLOATS, "0", "cpu", 5), 0, (5,), (1,))},
        "expected 20 bytes of storage '0', found 24",
    ),
    "no such storage": (
        {"x": tensor(reference("storage", FLOATS, "1", "cpu", 6), 0, (6,), (1,))},
        "expected 24 bytes of storage '1', found 0",
    ),
    "a long key": (
        {
            "x": tensor(
                reference("storage", FLOATS, "k" * 9999, "cpu", 6), 0, (6,), (1,)
            )
        },
        "found 0",
    ),
    "outside": (
        {"x": tensor(reference("storage", FLOATS, "../x", "cpu", 6), 0, (6,), (1,))},
        "found 0",
    ),
    "a storage": ({"a": {"x": SIX}}, "'a.x' is a function or a storage"),
    "a type": ({"a": {"x": FLOATS}}, "'a.x' is a function or a storage"),
    "a function": ({"x": named("torch.Size")}, "'x' is a function or a storage"),
    "one name": (
        {"a.x": tensor(SIX, 0, (6,), (1,)), "a": {"x": tensor(SIX, 0, (6,), (1,))}},
        "'a.x' names two tensors",
    ),
    "one key": ({"a": {"1": 0, 1: 0}}, "'a.1' names two values"),
    "a ring": ({"a": RING}, "too many containers"),
    "a million laughs": ({"a": LAUGHS}, "too many containers"),
    "a long name": ({"a" * 2000: 1}, "too long"),
    "code": ({"x": called("os.system", "true")}, r"would call 'os\.system'"),
}


@pytest.mark.parametrize(("tree", "message"), TREES.values(), ids=TREES.keys())
def test_trees_that_are_not_state_dicts_are_refused(tree, message, path):
    torch_files.write_zip(path, program(tree), {"0": bytes(24)})
    with pytest.raises(CheckpointError, match=message) as caught:
        torch_file.open_torch(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1000


def test_flipped_bits_are_reported_when_the_tensor_is_read(path):
    torch_files.save(path, {"x": np.full(9, 7.0), "y": np.full(9, 8.0)})
    content = path.read_bytes()
    at = content.index(np.full(9, 7.0).tobytes())
    path.write_bytes(content[:at] + b"\1" + content[at + 1 :])
    file = torch_file.open_torch(path)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="'x' is damaged"):
            file.read("x")
    assert_equal(file.read("y"), np.full(9, 8.0))


def test_archives_without_checksums_are_read(path):
    """As after torch.serialization.set_crc32_options(False)."""
    torch_files.save(path, {"x": np.full(9, 7.0)})
    with zipfile.ZipFile(path) as archive:
        sums = [info.CRC.to_bytes(4, "little") for info in archive.infolist()]
    content = path.read_bytes()
    for crc32 in sums:
        content = content.replace(crc32, bytes(4))
    path.write_bytes(content)
    assert_equal(torch_file.open_torch(path).read("x"), np.full(9, 7.0))


def test_flipped_bits_of_the_pickle_are_errors(path):
    torch_files.save(path, {"weight": np.full(9, 7.0)})
    path.write_bytes(path.read_bytes().replace(b"weight", b"height"))
    with pytest.raises(CheckpointError, match="CRC-32"):
        torch_file.open_torch(path)


DATA = program({"x": tensor(SIX, 0, (6,), (1,))})


def zipped(path, **options):
    return torch_files.write_zip(path, DATA, {"0": bytes(24)}, **options)


def test_big_endian_archives_are_refused(path):
    zipped(path, byteorder=b"big")
    with pytest.raises(CheckpointError, match="little-endian"):
        torch_file.open_torch(path)


def test_archives_older_than_byteorder_are_read(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", DATA)
        archive.writestr("x/data/0", np.arange(6, dtype=np.float32).tobytes())
    assert_equal(torch_file.open_torch(path).read("x"), np.arange(6, dtype="f4"))


ARCHIVES = {
    "nothing": ({}, "0 members data.pkl"),
    "of something else": ({"config.json": b"{}"}, "0 members data.pkl"),
    "two": ({"a/data.pkl": DATA, "b/data.pkl": DATA}, "2 members data.pkl"),
    "more than a pickle": ({"a/data.pkl": DATA + b"."}, "expected one pickle"),
    "a large pickle": ({"a/data.pkl": bytes(1 << 25)}, "expected at most 16,777,216"),
}


@pytest.mark.parametrize(("members", "message"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_other_archives_are_refused(members, message, path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    if not members:
        path.write_bytes(b"PK\3\4" + path.read_bytes())
    with pytest.raises(CheckpointError, match=message):
        torch_file.open_torch(path)


def test_compressed_members_are_refused(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", DATA)
        archive.writestr("x/data/0", bytes(24))
    with pytest.raises(CheckpointError, match=r"'x/data\.pkl' is .*compressed"):
        torch_file.open_torch(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 99, "zip file version 9.9"),
        ("flags", 1, "encrypted"),
        ("compression", zipfile.ZIP_DEFLATED, "compressed"),
        ("compressed_size", 23, "compressed"),
        ("size", 25, "compressed"),
        ("header", 1, "not in the file"),
        ("header", 2**32 - 2, "not in the file"),
    ],
)
def test_wrong_zip_members_are_refused(field, value, message, path):
    zip_directory.change(zipped(path), b"archive/data/0", **{field: value})
    with pytest.raises(CheckpointError, match=message):
        torch_file.open_torch(path)


def test_members_without_a_header_are_refused(path):
    torch_files.write_zip(path, DATA, {"0": bytes(24), "1": b"\1" + bytes(99)})
    zeros = path.read_bytes().index(b"\1" + bytes(99)) + 1
    zip_directory.change(path, b"archive/data/0", header=zeros)
    with pytest.raises(CheckpointError, match="not in the file"):
        torch_file.open_torch(path)


def test_members_larger_than_the_file_are_refused(path):
    zip_directory.change(
        zipped(path), b"archive/data/0", compressed_size=9_999, size=9_999
    )
    with pytest.raises(CheckpointError, match="'archive/data/0' is not in the file"):
        torch_file.open_torch(path)


def test_members_of_one_name_are_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", DATA)
        archive.writestr("x/data/0", bytes(24))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x/data/0", bytes(24))
    with pytest.raises(CheckpointError, match=r"'x/data/0' is .*repeated"):
        torch_file.open_torch(path)


ONE = np.arange(6, dtype=np.float32)
LEGACY = {
    "big-endian": ({"system": program({"little_endian": False})}, "little-endian"),
    "of no system": ({"system": program([])}, "little-endian"),
    "no keys": ({"keys": []}, "not those of its tensors"),
    "no list of keys": ({"keys": {"0": 0}}, "not those of its tensors"),
    "two keys": ({"keys": ["0", "0"]}, "not those of its tensors"),
    "other keys": ({"keys": ["1"]}, "not those of its tensors"),
    "another size": ({"storages": {"0": ONE[:5]}}, "not those of its tensors"),
    "more storages": ({"storages": {"0": ONE, "1": ONE}, "keys": ["0"]}, "not end"),
    "code": ({"data": program(called("os.system", "true"))}, "holds code"),
    "code for a system": ({"system": program(called("os.system", "true"))}, "code"),
    "code for keys": ({"keys": called("os.system", "true")}, "holds code"),
}


@pytest.mark.parametrize(("parts", "message"), LEGACY.values(), ids=LEGACY.keys())
def test_inconsistent_legacy_files_are_refused(parts, message, path):
    whole = {"data": DATA, "storages": {"0": ONE}}
    torch_files.write_legacy(path, **whole)
    assert_equal(torch_file.open_torch(path).read("x"), ONE)
    torch_files.write_legacy(path, **whole | parts)
    with pytest.raises(CheckpointError, match=message):
        torch_file.open_torch(path)


def test_files_of_other_kinds_are_refused(path):
    kinds = {
        program({"x": 1}): "of another kind",
        b"\x93NUMPY": "of another kind",
        bytes(257) + b"ustar" + bytes(250): "a tar archive",
    }
    for content, message in kinds.items():
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            torch_file.open_torch(path)


def test_bfloat16_is_the_type_of_jax(path):
    file = opened(path, {"x": np.ones(2, ml_dtypes.bfloat16)})
    assert file.tensors["x"].dtype == ml_dtypes.bfloat16
