"""TensorFlow checkpoints are read, real and written ones; damage is reported."""

import json
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import tf_bundle
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from tests.fixtures import tf_bundle_files

# Written by TensorFlow 2.21: variables b/word, b/parts (in two parts) and names.
SMALL_INDEX = bytes.fromhex("""
00 00 06 08 01 1a 02 08 01 00 10 13 00 62 2f 70 61 72 74 73 00 01 01 02 80 82 80 82 08
01 12 08 12 02 08 02 12 02 08 02 28 10 35 61 be 76 e5 0c 04 15 82 81 80 82 08 01 12 08
12 02 08 01 12 02 08 02 20 10 28 08 35 dd de b4 2d 00 07 22 62 2f 70 61 72 74 73 08 01
12 08 12 02 08 03 12 02 08 02 3a 08 0a 02 10 02 0a 02 10 02 3a 0a 0a 04 08 02 10 01 0a
02 10 02 02 04 15 77 6f 72 64 08 01 12 08 12 02 08 03 12 02 08 02 20 18 28 18 35 c0 db
3d 17 00 05 11 6e 61 6d 65 73 08 07 12 04 12 02 08 02 20 30 28 0b 35 47 8f 93 83 00 00
00 00 01 00 00 00 00 2b e5 96 5e 00 00 00 00 01 00 00 00 00 c0 f2 a1 b0 00 01 03 6f 00
b4 01 00 00 00 00 01 00 00 00 00 bc b7 f1 fb b9 01 08 c6 01 0f 00 00 00 00 00 00 00 00
00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 57 fb 80
8b 24 75 47 db""")
SMALL_DATA = bytes.fromhex("""
00 00 00 40 00 00 00 40 00 00 00 40 00 00 00 40 00 00 00 40 00 00 00 40 00 00 00 00 00
00 80 3f 00 00 00 40 00 00 40 40 00 00 80 40 00 00 a0 40 02 03 bd e3 7d 26 61 62 63 64
65""")

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(4, dtype=np.int64)


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "model.ckpt-7"


@pytest.fixture
def write(prefix):
    """Writes a checkpoint as `tf_bundle_files.write` does, and opens it."""

    def write(tensors, **options):
        return tf_bundle.open_bundle(tf_bundle_files.write(prefix, tensors, **options))

    return write


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_a_small_checkpoint_of_tensorflow_is_read(prefix):
    prefix.with_name("model.ckpt-7.index").write_bytes(SMALL_INDEX)
    prefix.with_name("model.ckpt-7.data-00000-of-00001").write_bytes(SMALL_DATA)
    bundle = tf_bundle.open_bundle(prefix)
    assert bundle.path == prefix.with_name("model.ckpt-7.index")
    assert bundle.tensors == {
        "b/parts": TensorInfo((3, 2), np.dtype(np.float32)),
        "b/word": TensorInfo((3, 2), np.dtype(np.float32)),
        "names": TensorInfo((2,), np.dtype(object)),
    }
    np.testing.assert_array_equal(bundle.read("b/parts"), np.full((3, 2), 2.0))
    np.testing.assert_array_equal(bundle.read("b/word"), np.arange(6).reshape(3, 2))
    assert bundle.read("names").tolist() == [b"ab", b"cde"]


def test_a_checkpoint_of_googles_pretraining_script_is_read(data_dir):
    folder = data_dir / "checkpoints" / "keras_bert_test_checkpoint"
    bundle = tf_bundle.open_bundle(folder / "bert_model.ckpt")
    with np.load(folder / "golden_values.npz") as golden:
        assert list(bundle.tensors) == sorted(golden)
        for name in golden:
            values, expected = bundle.read(name), golden[name]
            info = bundle.tensors[name]
            assert (values.shape, values.dtype) == (info.shape, info.dtype)
            assert (values.shape, values.dtype) == (expected.shape, expected.dtype)
            assert values.tobytes() == expected.tobytes()


def test_a_checkpoint_in_two_shards_is_read(data_dir):
    folder = data_dir / "checkpoints" / "t2t_two_shard"
    bundle = tf_bundle.open_bundle(tf_bundle.latest_prefix(folder))
    golden = json.loads((folder / "golden_variables.json").read_text())
    assert list(bundle.tensors) == sorted(golden)
    for name, expected in golden.items():
        values = bundle.read(name)
        assert values.dtype.name == expected["dtype"]
        assert list(values.shape) == expected["shape"]
        assert values.sum(dtype=np.float64) == pytest.approx(expected["sum"], abs=1e-12)
        assert np.abs(values).max() == expected["abs_max"]


DTYPES = [
    *(np.float32, np.float64, np.float16, ml_dtypes.bfloat16),
    *(np.int8, np.int16, np.int32, np.int64),
    *(np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.bool_, np.complex64, np.complex128),
]


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_of_every_dtype_and_shape_are_read(write, byteorder, shards):
    draw, tensors = np.random.default_rng(0), {}
    for dtype in map(np.dtype, DTYPES):
        for shape in [(), (1,), (0,), (3, 0, 2), (5, 3), (2, 1, 3, 2)]:
            raw = draw.integers(0, 256, math.prod(shape) * dtype.itemsize, np.uint8)
            if dtype == np.bool_:
                raw %= 2
            name = f"{dtype.name}/{len(tensors)}"
            tensors[name] = raw.view(dtype).reshape(shape)
    bundle = write(tensors, byteorder=byteorder, shards=shards)
    assert list(bundle.tensors) == sorted(tensors)
    for name, expected in tensors.items():
        values = bundle.read(name)
        assert bundle.tensors[name] == TensorInfo(expected.shape, expected.dtype)
        assert (values.shape, values.dtype) == (expected.shape, expected.dtype)
        assert values.tobytes() == expected.tobytes()
        assert values.flags.aligned
        assert not values.flags.writeable


def test_aligned_tensors_take_no_memory(write):
    bundle = write({"a": A, "b": np.int8(1), "c": A})
    first, again, moved = bundle.read("a"), bundle.read("a"), bundle.read("c")
    assert np.shares_memory(first, again)
    assert not np.shares_memory(moved, bundle.read("c"))  # at byte 25
    np.testing.assert_array_equal(moved, A)


def test_an_array_outlives_its_checkpoint(write):
    values = write({"a": A}).read("a")
    np.testing.assert_array_equal(values, A)


def test_a_checkpoint_may_have_no_tensors(write):
    assert write({}).tensors == {}


def test_many_tensors_in_many_blocks_are_read(write):
    tensors = {f"layer_{i}/кернел": np.full(i % 3, i, np.int32) for i in range(300)}
    bundle = write(tensors, block_bytes=300)
    assert list(bundle.tensors) == sorted(tensors)
    assert all(np.array_equal(bundle.read(name), tensors[name]) for name in tensors)


def test_an_unknown_name_is_a_key_error(write):
    with pytest.raises(KeyError):
        write({"a": A}).read("b")


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00002"])
def test_any_file_of_a_checkpoint_stands_for_it(prefix, end):
    tf_bundle_files.write(prefix, {"a": A}, shards=2)
    assert tf_bundle.open_bundle(f"{prefix}{end}").path.name == "model.ckpt-7.index"


# Strings


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize(
    "values",
    [
        strings(),
        strings(b""),
        strings(b"ends with zeros\0\0", b"", b"x" * 300, "Füße".encode()),
        strings(*(b"%d" % number for number in range(6))).reshape(2, 3),
        strings(b"scalar").reshape(()),
    ],
)
def test_strings_are_read(write, values, byteorder):
    bundle = write({"a": A, "s": values}, byteorder=byteorder)
    actual = bundle.read("s")
    assert bundle.tensors["s"] == TensorInfo(values.shape, np.dtype(object))
    assert (actual.dtype, actual.shape) == (np.dtype(object), values.shape)
    assert actual.tolist() == values.tolist()
    assert not actual.flags.writeable


def test_lengths_over_4_gib_count_as_8_bytes(write):
    # No such string is there, but a checksum of lengths is that of the longer ones.
    message = tf_bundle_files.varint(2**32)
    counted = (2**32).to_bytes(8, "little")
    rest = tf_bundle_files.masked_crc(counted).to_bytes(4, "little")
    crc = tf_bundle_files.masked_crc(counted + rest)
    raw = np.frombuffer(message + rest, np.uint8)
    change = {"s": {"dtype": 7, "shape": (1,), "crc": crc}}
    bundle = write({"s": raw}, change=change)
    with pytest.raises(
        CheckpointError, match="last string ends at byte 4,294,967,305 of 9"
    ):
        bundle.read("s")


@pytest.mark.parametrize("byte", range(15))
def test_every_damaged_byte_of_a_string_tensor_is_an_error(write, prefix, byte):
    write({"s": strings(b"hello", b"", b"abc")})
    shard = prefix.with_name("model.ckpt-7.data-00000-of-00001")
    content = bytearray(shard.read_bytes())
    assert len(content) == 3 + 4 + 8
    content[byte] ^= 0x80
    shard.write_bytes(content)
    bundle = tf_bundle.open_bundle(prefix)
    with pytest.raises(CheckpointError, match="tensor 's': its 15 bytes at byte 0 are"):
        bundle.read("s")


def test_lengths_beyond_a_string_tensor_are_errors(write):
    bundle = write({"s": strings(b"")}, change={"s": {"shape": (5,)}})
    with pytest.raises(
        CheckpointError, match=r"tensor 's': .* damaged: a number is cut"
    ):
        bundle.read("s")


def test_wrong_lengths_of_strings_are_errors(write):
    counted, rest = (2).to_bytes(4, "little"), b"\0\0\0\0" + b"ab"
    crc = tf_bundle_files.masked_crc(counted + rest)
    raw = np.frombuffer(b"\2" + rest, np.uint8)
    bundle = write({"s": raw}, change={"s": {"dtype": 7, "shape": (1,), "crc": crc}})
    with pytest.raises(CheckpointError, match=r"checksum is 0x.*, and 0x00000000 was"):
        bundle.read("s")


def test_leftover_bytes_of_a_string_tensor_are_an_error(write):
    counted = (1).to_bytes(4, "little")
    rest = tf_bundle_files.masked_crc(counted).to_bytes(4, "little") + b"ab"
    crc = tf_bundle_files.masked_crc(counted + rest)
    raw = np.frombuffer(b"\1" + rest, np.uint8)
    bundle = write({"s": raw}, change={"s": {"dtype": 7, "shape": (1,), "crc": crc}})
    with pytest.raises(CheckpointError, match="their last string ends at byte 6 of 7"):
        bundle.read("s")


# Variables in parts

WIDE = np.arange(10 * 4, dtype=np.float32).reshape(10, 4)
CUBE = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (WIDE, [((0, 4), (0, 4)), ((4, 3), (0, 4)), ((7, 3), (0, 4))]),
        (WIDE, [((0, 4), (0, None)), ((4, 6), (0, None))]),
        (WIDE, [((0, 4), (0, -1)), ((4, 6), (0, 4))]),
        (WIDE, [((7, 3), (0, 4)), ((0, 7), (0, 4))]),  # in any order
        (WIDE, [((0, 5), (0, 1)), ((5, 5), (0, 1)), ((0, 10), (1, 3))]),
        (WIDE, [((0, 10), (0, 4))]),
        (WIDE, [((0, None), (0, None))]),
        (WIDE, [((0, 10), (0, 4)), ((10, 0), (0, 4))]),  # an empty part
        (np.arange(20_000, dtype=np.int8), [((0, 8191),), ((8191, 11_809),)]),
        (CUBE, [((0, 1), (0, 3), (0, 4)), ((1, 1), (0, None), (0, 4))]),
        (np.zeros((0, 4)), [((0, 0), (0, 2)), ((0, 0), (2, 2))]),
        (np.float32(1), [()]),
        (strings(b"a", b"bc", b""), [((0, 1),), ((1, 2),)]),
    ],
)
def test_parts_are_joined(write, array, parts, byteorder):
    tensors = {"a": A, "p": np.asarray(array), "z": B}
    bundle = write(tensors, parts={"p": parts}, shards=2, byteorder=byteorder)
    assert list(bundle.tensors) == ["a", "p", "z"]  # and no part
    for name, expected in tensors.items():
        values = bundle.read(name)
        assert (values.shape, values.dtype) == (expected.shape, expected.dtype)
        assert values.tolist() == expected.tolist()
        assert not values.flags.writeable


HALVES = [((0, 5), (0, 4)), ((5, 5), (0, 4))]


def test_a_variable_in_parts_may_have_any_name(write):
    bundle = write({"a\0b": WIDE}, parts={"a\0b": HALVES})
    np.testing.assert_array_equal(bundle.read("a\0b"), WIDE)


def test_a_damaged_part_is_an_error_when_it_is_read(write):
    bundle = write(
        {"a": A, "p": WIDE}, parts={"p": HALVES}, change={("p", 1): {"crc": 5}}
    )
    np.testing.assert_array_equal(bundle.read("a"), A)
    with pytest.raises(CheckpointError, match="tensor 'p': its 80 bytes at byte 104"):
        bundle.read("p")


# Damage, and what is something else


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 33}, "its 24 bytes at byte 33 are not within the 56 bytes of the"),
        ({"offset": -1}, "its 24 bytes at byte -1 are not within"),
        ({"offset": 2**62}, "its 24 bytes at byte 4,611,686,018,427,387,904 are not"),
        ({"shard": 1}, "the index puts it into data file 1 of 1, counted from 0"),
        ({"shard": -1}, "the index puts it into data file -1 of 1"),
    ],
)
def test_a_tensor_outside_of_its_file_is_refused(write, change, message):
    with pytest.raises(CheckpointError, match=f"tensor 'a': {message}"):
        write({"a": A, "b": B}, change={"a": change})
    with pytest.raises(CheckpointError, match=r"tensor 'p': .* not within the 160"):
        write({"p": WIDE}, parts={"p": HALVES}, change={("p", 0): {"offset": 1000}})


def test_overlapping_tensors_are_refused(write):
    with pytest.raises(
        CheckpointError,
        match="tensor 'b': it begins at byte 23 of data file 0, before 'a' ends",
    ):
        write({"a": A, "b": B}, change={"b": {"offset": 23}})
    with pytest.raises(
        CheckpointError,
        match="tensor 'p': it begins at byte 80 of data file 0, before 'p' ends",
    ):
        write({"p": WIDE}, parts={"p": HALVES}, change={("p", 0): {"offset": 80}})
    same_place = write({"a": A, "b": A}, change={"b": {"offset": 0}}, shards=2)
    np.testing.assert_array_equal(same_place.read("b"), A)  # of another file
    empty = np.zeros(0, np.float32)
    assert write({"a": A, "e": empty}, change={"e": {"offset": 5}}).read("e").size == 0


def test_every_damaged_byte_of_data_is_an_error(write, prefix):
    write({"a": A, "b": B})
    shard = prefix.with_name("model.ckpt-7.data-00000-of-00001")
    whole = shard.read_bytes()
    for byte in range(len(whole)):
        damaged = bytearray(whole)
        damaged[byte] ^= 0x40
        shard.write_bytes(damaged)
        bundle = tf_bundle.open_bundle(prefix)
        bad, good = ("a", "b") if byte < A.nbytes else ("b", "a")
        with pytest.raises(
            CheckpointError,
            match=f"{shard}, tensor '{bad}': .* damaged: their checksum is 0x",
        ):
            bundle.read(bad)
        bundle.read(good)


def test_a_truncated_data_file_is_refused(write, prefix):
    write({"a": A, "b": B})
    shard = prefix.with_name("model.ckpt-7.data-00000-of-00001")
    whole = shard.read_bytes()
    for length in (0, 55):
        shard.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=f"{shard}, tensor .* It was cut off"):
            tf_bundle.open_bundle(prefix)


def test_a_longer_data_file_is_read(write, prefix):
    write({"a": A})
    with open(f"{prefix}.data-00000-of-00001", "ab") as file:
        file.write(b"padding")
    np.testing.assert_array_equal(tf_bundle.open_bundle(prefix).read("a"), A)


def test_a_missing_data_file_is_named(prefix):
    tf_bundle_files.write(prefix, {"a": A, "b": B}, shards=3)
    shard = prefix.with_name("model.ckpt-7.data-00001-of-00003")
    shard.unlink()
    message = f"{shard} is missing; model.ckpt-7.index lists tensors of 3 data files"
    with pytest.raises(CheckpointError, match=message):
        tf_bundle.open_bundle(prefix)
    shard.mkdir()
    with pytest.raises(CheckpointError, match=message):
        tf_bundle.open_bundle(prefix)


def test_the_message_about_a_missing_index_lists_the_others(prefix, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"-7\.index is missing; .* no file \*\.ind"
    ):
        tf_bundle.open_bundle(prefix)
    tf_bundle_files.write(prefix, {"a": A})
    for wrong in (tmp_path / "bert_model.ckpt", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(CheckpointError, match=r"\.index is missing; expected"):
            tf_bundle.open_bundle(wrong)
    with pytest.raises(
        CheckpointError, match=r"directory holds model\.ckpt-7\.index\.$"
    ):
        tf_bundle.open_bundle(tmp_path / "bert_model.ckpt")


def test_a_checkpoint_of_the_old_format_is_refused(prefix):
    prefix.write_bytes(tf_bundle_files.table([(b"", b"\x0a\x00")]))
    with pytest.raises(
        CheckpointError, match=r"ckpt-7 is .* of the old format V1, one"
    ):
        tf_bundle.open_bundle(prefix)
    prefix.write_bytes(b"text")
    with pytest.raises(CheckpointError, match=r"ckpt-7\.index is missing"):
        tf_bundle.open_bundle(prefix)
    # and under the name of an index
    index = prefix.with_name("model.ckpt-7.index")
    index.write_bytes(tf_bundle_files.table([(b"", b"\x0a\x00")]))
    with pytest.raises(CheckpointError, match=r"header counts 0 data files.* \(V2\)"):
        tf_bundle.open_bundle(prefix)


def test_other_files_are_refused_as_an_index(prefix):
    index = prefix.with_name("model.ckpt-7.index")
    for content in (b"text", bytes(1000)):
        index.write_bytes(content)
        with pytest.raises(
            CheckpointError, match=f"{index}: .*Expected a whole sorted"
        ):
            tf_bundle.open_bundle(prefix)


# The latest checkpoint of a directory


def test_a_directory_may_have_no_checkpoint(tmp_path):
    assert tf_bundle.latest_prefix(tmp_path) is None
    assert tf_bundle.latest_prefix(tmp_path / "nothing") is None
    (tmp_path / "x.index").mkdir()
    (tmp_path / "checkpoint").mkdir()
    assert tf_bundle.latest_prefix(tmp_path) is None


def test_the_only_checkpoint_of_a_directory_is_the_latest(tmp_path):
    (tmp_path / "bert_model.ckpt.index").touch()
    assert tf_bundle.latest_prefix(tmp_path) == tmp_path / "bert_model.ckpt"
    # a file of that name which some other program left
    (tmp_path / "checkpoint").write_text("epoch: 3")
    assert tf_bundle.latest_prefix(str(tmp_path)) == tmp_path / "bert_model.ckpt"


def test_one_of_several_checkpoints_must_be_named(tmp_path):
    for step in range(10):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    with pytest.raises(
        CheckpointError,
        match=r"holds 10 TensorFlow checkpoints, model\.ckpt-0\.index, .*-7\.index, \."
        r"\.\., .* Name one of them, such as .*/model\.ckpt-0\.$",
    ):
        tf_bundle.latest_prefix(tmp_path)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('model_checkpoint_path: "model.ckpt-20"', "model.ckpt-20"),
        ('model_checkpoint_path: "/home/me/run/model.ckpt-20"', "model.ckpt-20"),
        (r'model_checkpoint_path: "C:\\run\\model.ckpt-20"', "model.ckpt-20"),
        ('model_checkpoint_path: "gs://bucket/../model.ckpt-20"', "model.ckpt-20"),
        (r'model_checkpoint_path: "mod\303\250le \"a\""', 'modèle "a"'),
        ('model_checkpoint_path:"modèle"', "modèle"),
    ],
)
def test_the_latest_of_several_checkpoints_is_found(tmp_path, line, name):
    more = 'all_model_checkpoint_paths: "model.ckpt-10"\nlast_preserved_timestamp: 1.5'
    (tmp_path / "checkpoint").write_text(f"{line}\n{more}\n", encoding="utf-8")
    (tmp_path / f"{name}.index").touch()
    (tmp_path / "model.ckpt-10.index").touch()
    assert tf_bundle.latest_prefix(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    "value", ["", "/", "..", "run/..", r"run\\..", r"a\000b", "C:"]
)
def test_an_invalid_name_of_the_latest_checkpoint_is_refused(tmp_path, value):
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{value}"')
    with pytest.raises(
        CheckpointError, match=r"checkpoint: model_checkpoint_path is '"
    ):
        tf_bundle.latest_prefix(tmp_path)


def test_a_missing_latest_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-20"')
    (tmp_path / "model.ckpt-10.index").touch()
    with pytest.raises(
        CheckpointError, match=r"ckpt-20\.index is missing; .* holds model\.ckpt-10\.in"
    ):
        tf_bundle.latest_prefix(tmp_path)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["..", "/", "\\\\", "a", "victim", "\\057", "\\", "."]))
)
def test_a_named_checkpoint_is_always_in_the_directory(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("outer") / "inner"
    folder.mkdir()
    (folder / "victim.index").touch()
    (folder.parent / "victim.index").touch()
    line = f'model_checkpoint_path: "{"".join(parts)}"'
    (folder / "checkpoint").write_text(line)
    try:
        prefix = tf_bundle.latest_prefix(folder)
    except CheckpointError:
        return
    assert prefix == folder / "victim"
