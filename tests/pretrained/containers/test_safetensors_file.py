"""safetensors files are mapped, checked, and written one tensor at a time."""

import json
import os
import stat
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import safetensors_file
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

FLOATS = ["f8", "f4", "f2", ml_dtypes.bfloat16]
INTEGERS = ["i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
DTYPES = [np.dtype(dtype) for dtype in (*FLOATS, *INTEGERS)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def write(path, arrays, **options):
    infos = {
        name: TensorInfo(array.shape, array.dtype) for name, array in arrays.items()
    }
    safetensors_file.write(path, infos, arrays.__getitem__, **options)


def assert_holds(file, arrays):
    assert file.tensors.keys() == arrays.keys()
    for name, expected in arrays.items():
        assert file.tensors[name] == TensorInfo(expected.shape, expected.dtype)
        actual = file.read(name)
        np.testing.assert_array_equal(actual, expected, strict=True)
        assert not actual.flags.writeable


@pytest.fixture
def arrays():
    values = np.arange(24).reshape(2, 3, 4)
    actual = {str(dtype): values.astype(dtype) for dtype in DTYPES}
    return actual | {"scalar": np.full((), 3.0), "none": np.zeros((2, 0), np.int16)}


def test_files_of_the_library_are_read(arrays, path):
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    file = safetensors_file.open_safetensors(path)
    assert (file.path, file.metadata) == (path, {"format": "pt"})
    assert_holds(file, arrays)


def test_the_library_reads_what_is_written(arrays, path):
    write(path, arrays)
    actual = safetensors.numpy.load_file(path)
    assert actual.keys() == arrays.keys()
    for name, expected in arrays.items():
        np.testing.assert_array_equal(actual[name], expected, strict=True)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}  # or transformers refuses it
    assert_holds(safetensors_file.open_safetensors(path), arrays)


def test_arrays_of_any_memory_order_are_written_in_c_order(path):
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {
        "transposed": values.T,
        "fortran": np.asfortranarray(values),
        "part": values[1::2, ::-1],
        "repeated": np.broadcast_to(values[0], (3, 6)),
        "swapped": values.astype(">f4"),
    }
    infos = {
        name: TensorInfo(a.shape, np.dtype(np.float32)) for name, a in arrays.items()
    }
    safetensors_file.write(path, infos, arrays.__getitem__)
    actual = safetensors.numpy.load_file(path)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(actual[name], expected)


def test_arrays_are_written_in_the_requested_type(path):
    values = np.array([0.1, 1, -3])
    infos = {str(dtype): TensorInfo((3,), np.dtype(dtype)) for dtype in FLOATS}
    safetensors_file.write(path, infos, lambda name: values)
    assert_holds(
        safetensors_file.open_safetensors(path),
        {name: values.astype(info.dtype) for name, info in infos.items()},
    )


def test_every_tensor_is_aligned(path):
    """Numbers of 8, 4, 2 and 1 bytes, after headers of any length."""
    for length in range(1, 9):
        arrays = {"x" * length: np.ones(1, bool)} | {
            str(dtype): np.ones(3, dtype) for dtype in reversed(DTYPES)
        }
        write(path, arrays)
        file = safetensors_file.open_safetensors(path)
        assert all(file.read(name).flags.aligned for name in arrays)


def test_unaligned_tensors_are_read(path):
    text = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} '
    assert len(text) % 8 == 7
    path.write_bytes(encoded(text, np.array([1, 2], np.float32).tobytes()))
    actual = safetensors_file.open_safetensors(path).read("x")
    assert not actual.flags.aligned
    np.testing.assert_array_equal(actual + actual.T, np.array([2, 4], np.float32))


def test_tensors_are_mapped_and_not_read(path):
    write(path, {"x": np.arange(6.0)})
    kept = safetensors_file.open_safetensors(path).read("x")
    path.unlink()
    assert not kept.flags.owndata
    np.testing.assert_array_equal(kept, np.arange(6))


def test_one_tensor_is_in_memory_at_a_time(path):
    each, count = 1 << 20, 8
    infos = {
        str(i): TensorInfo((each // 4,), np.dtype(np.float32)) for i in range(count)
    }
    tracemalloc.start()
    try:
        safetensors_file.write(
            path, infos, lambda name: np.full(each // 4, float(name), np.float32)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > count * each
    assert peak < 1.5 * each


def test_the_file_that_is_read_may_be_overwritten(path):
    write(path, {"x": np.arange(6.0), "y": np.arange(3.0)})
    file = safetensors_file.open_safetensors(path)
    safetensors_file.write(path, file.tensors, lambda name: -file.read(name))
    np.testing.assert_array_equal(file.read("x"), np.arange(6.0))
    assert_holds(
        safetensors_file.open_safetensors(path),
        {"x": -np.arange(6.0), "y": -np.arange(3.0)},
    )


def test_order_and_metadata_are_kept(path):
    names = ["b", "a", "ü", 'quote" and \\ and \n']
    write(path, {name: np.ones(2) for name in names}, metadata={"who": "me"})
    file = safetensors_file.open_safetensors(path)
    assert (list(file.tensors), file.metadata) == (names, {"who": "me"})


def test_a_file_may_have_no_tensors(path):
    write(path, {}, metadata={})
    file = safetensors_file.open_safetensors(path)
    assert (file.tensors, file.metadata) == ({}, {})


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_mode_of_a_file_follows_the_umask(umask, path):
    before = os.umask(umask)
    try:
        write(path, {"x": np.ones(1)})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_failed_write_leaves_nothing(path):
    path.write_text("before")
    info = TensorInfo((2,), np.dtype(np.float32))

    def read(name):
        if name == "y":
            raise CheckpointError("y is damaged")
        return np.ones(2)

    with pytest.raises(CheckpointError, match="y is damaged"):
        safetensors_file.write(path, {"x": info, "y": info}, read)
    with pytest.raises(ValueError, match=r"x has the shape \(3,\), not \(2,\)"):
        safetensors_file.write(path, {"x": info}, lambda name: np.ones(3))
    assert [file.read_text() for file in path.parent.iterdir()] == ["before"]


def test_places_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name in ("file/x", "folder"):
        with pytest.raises(CheckpointError, match="place for a file of 16 bytes"):
            write(tmp_path / name, {"x": np.ones(2)})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    "arrays", [{"x": np.ones(2, complex)}, {"__metadata__": np.ones(2)}]
)
def test_tensors_that_the_format_cannot_hold_are_refused(arrays, path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        write(path, arrays)
    assert not path.exists()


def encoded(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **fields):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets} | fields


DAMAGED = {
    "too short": b"1234567",
    "a huge header": (2**63).to_bytes(8, "little") + b"{}",
    "a header beyond the file": (100).to_bytes(8, "little") + b"{}",
    "no JSON": encoded(b"{x}"),
    "no object": encoded([]),
    "deep JSON": encoded(b'{"x":' * 100_000),
    "one name twice": encoded(
        b'{"x":%b,"x":%b}' % ((json.dumps(entry()).encode(),) * 2), b"1234"
    ),
    "a type twice": encoded(b'{"x":{"dtype":"F32","dtype":"F32","shape":[]}}'),
    "a number for an entry": encoded({"x": 3}),
    "a list for an entry": encoded({"x": ["F32", [1], [0, 4]]}, b"1234"),
    "no type": encoded({"x": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "no known type": encoded({"x": entry("F3")}, b"1234"),
    "no type of numpy": encoded({"x": entry("F8_E4M3", (4,))}, b"1234"),
    "numbers of 4 bits": encoded({"x": entry("F4", (8,))}, b"1234"),
    "a size that overflows": encoded({"x": entry(shape=(2**62, 4), offsets=(0, 0))}),
    "a huge empty shape": encoded({"x": entry(shape=(0, 2**63), offsets=(0, 0))}),
    "too many axes": encoded({"x": entry(shape=(1,) * 65)}, b"1234"),
    "a shape below 0": encoded({"x": entry(shape=(-1,))}, b"1234"),
    "fewer bytes": encoded({"x": entry()}, b"123"),
    "more bytes": encoded({"x": entry()}, b"12345"),
    "another shape": encoded({"x": entry(shape=(2,))}, b"1234"),
    "a hole": encoded({"x": entry(offsets=(4, 8))}, b"12345678"),
    "an overlap": encoded({"x": entry(), "y": entry(offsets=(2, 6))}, b"123456"),
    "the same bytes": encoded({"x": entry(), "y": entry()}, b"1234"),
    "offsets turned round": encoded({"x": entry(offsets=(4, 0))}, b"1234"),
    "metadata of numbers": encoded({"__metadata__": {"x": 1}}),
    "a number of 5000 digits": encoded(
        b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"n":1%b}}'
        % (b"0" * 5000),
        b"1234",
    ),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_files_are_errors(content, path):
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        safetensors_file.open_safetensors(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1000


def test_the_size_of_the_header_is_bounded(path):
    path.write_bytes(encoded(b"{}" + b" " * (32 << 20)))
    with pytest.raises(CheckpointError, match="33,554,432 at most"):
        safetensors_file.open_safetensors(path)


def test_names_in_messages_are_printable(path):
    path.write_bytes(encoded({"\x1b[2J": entry("F8_E4M3", (4,))}, b"1234"))
    with pytest.raises(CheckpointError) as caught:
        safetensors_file.open_safetensors(path)
    assert str(caught.value).isprintable()
