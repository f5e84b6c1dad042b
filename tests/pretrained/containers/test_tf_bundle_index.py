"""The index of a TensorFlow checkpoint: what it says, and what it cannot say.

Most checks are reached only through checksums that are right, so the files are written
for it.
"""

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained.containers import tf_bundle_index
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from bertgen_jax.pretrained.containers.tf_bundle_index import Piece, Variable
from tests.fixtures import tf_bundle_files

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(4, dtype=np.int64)
WIDE = np.arange(10 * 4, dtype=np.float32).reshape(10, 4)
HALVES = [((0, 5), (0, 4)), ((5, 5), (0, 4))]


@pytest.fixture
def write(tmp_path):
    """Writes a checkpoint as `tf_bundle_files.write` does, and reads its index."""

    def write(tensors, **options):
        tf_bundle_files.write(tmp_path / "x", tensors, **options)
        return tf_bundle_index.read(tmp_path / "x.index")

    return write


def test_an_index_is_read(write):
    index = write({"b": B, "a": A}, shards=2, byteorder="big")
    assert (index.shards, index.byteorder) == (2, "big")
    crcs = [tf_bundle_files.masked_crc(array.byteswap().tobytes()) for array in (A, B)]
    whole = TensorInfo((2, 3), np.dtype(np.float32))
    row = TensorInfo((4,), np.dtype(np.int64))
    assert list(index.variables.items()) == [
        (
            "a",
            Variable(
                whole, (((slice(0, 2), slice(0, 3)), Piece(whole, 1, 0, 24, crcs[0])),)
            ),
        ),
        ("b", Variable(row, (((slice(0, 4),), Piece(row, 0, 0, 32, crcs[1])),))),
    ]


def test_the_index_of_parts_is_read(write):
    variable = write({"p": WIDE}, parts={"p": HALVES}).variables["p"]
    assert variable.info == TensorInfo((10, 4), np.dtype(np.float32))
    half = TensorInfo((5, 4), np.dtype(np.float32))
    assert [(box, piece.info, piece.offset) for box, piece in variable.pieces] == [
        ((slice(0, 5), slice(0, 4)), half, 0),
        ((slice(5, 10), slice(0, 4)), half, 80),
    ]


# Variables in parts


def test_keys_of_parts_are_those_of_tensorflow():
    # The example of checkpoints written by TensorFlow 2.19; then the longer numbers of
    # tensorflow/core/lib/strings/ordered_code.cc.
    key = tf_bundle_files.part_key("bert/word_embeddings", [(4, 3), (0, 4)])
    assert key == b"\0bert/word_embeddings" + bytes.fromhex("00 01 01 02 84 83 80 84")
    key = tf_bundle_files.part_key("w", [(64, 8191), (8192, None)])
    assert key == b"\0w" + bytes.fromhex("00 01 01 02 c0 40 df ff e0 20 00 7f")
    assert tf_bundle_files.part_key("a\0b", []) == b"\0a\0\xffb\0\1\0"


@pytest.mark.parametrize(
    ("parts", "change", "message"),
    [
        ([((0, 5), (0, 4))], {}, r"its parts do not fill float32\[10, 4\] exactly onc"),
        (HALVES[:1] * 2, {}, "its parts do not fill"),
        ([*HALVES, ((4, 2), (0, 4))], {}, "its parts do not fill"),
        ([((0, 5), (0, 4)), ((4, 5), (0, 4))], {}, "its parts do not fill"),
        ([((0, 5), (0, 4)), ((5, 5), (0, 3))], {}, "its parts do not fill"),
        # as many elements as there should be, but not in their places
        ([((0, 8), (0, 2)), ((2, 8), (0, 2)), ((2, 4), (2, 2))], {}, "do not fill"),
        (
            HALVES,
            {"slices": [HALVES[0], ((5, 6), (0, 4))]},
            r"\[5:11, 0:4\] is not with",
        ),
        (HALVES, {"slices": [HALVES[0], ((-1, 6), (0, 4))]}, r"\[-1:5, 0:4\] is not"),
        (
            HALVES,
            {"slices": [HALVES[0], ((5, -2), (0, 4))]},
            r"\[5:3, 0:4\] is not wit",
        ),
        (HALVES, {"slices": [HALVES[0], ((5, None), (0, 4))]}, "is not within"),
        (HALVES, {"slices": [HALVES[0], ((5, 5),)]}, "part of it has rank 1, not 2"),
        (HALVES, {"slices": [((0, 10), (0, 4))]}, r"part \[0:10, 0:4\] is missing"),
        (HALVES, {"slices": HALVES * 10_000}, r"float32\[10, 4\] is in 20,000 parts"),
        (HALVES, {"shape": (10, 5)}, "its parts do not fill"),
        (HALVES, {"shape": (9, 4)}, r"its part \[5:10, 0:4\] is not within \[9, 4\]"),
        (HALVES, {"dtype": 3}, r"has float32\[5, 4\] where int32\[5, 4\] is expected"),
    ],
)
def test_parts_must_fit_the_variable(write, parts, change, message):
    with pytest.raises(CheckpointError, match=f"index, tensor 'p': .*{message}"):
        write({"p": WIDE}, parts={"p": parts}, change={"p": change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4, 5)}, r"\[0:5, 0:4\] has float32\[4, 5\] where float32\[5, 4\]"),
        ({"dtype": 3}, r"has int32\[5, 4\] where float32\[5, 4\] is expected"),
        ({"slices": HALVES}, r"its part \[0:5, 0:4\] is in parts itself"),
        ({"size": 79}, r"it has 79 bytes; float32\[5, 4\] needs 80"),
    ],
)
def test_wrong_parts_are_refused(write, change, message):
    with pytest.raises(CheckpointError, match=f"tensor 'p': .*{message}"):
        write({"p": WIDE}, parts={"p": HALVES}, change={("p", 0): change})


# Entries and the header


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 23}, r"it has 23 bytes; float32\[2, 3\] needs 24"),
        ({"size": 25}, r"it has 25 bytes; float32\[2, 3\] needs 24"),
        ({"size": -24}, r"it has -24 bytes; float32\[2, 3\] needs 24"),
        ({"shape": (2, 4)}, r"it has 24 bytes; float32\[2, 4\] needs 32"),
        ({"shape": (2**40, 2**40)}, "has too many elements"),
        ({"shape": (0, 2**62)}, "has too many elements"),
        ({"shape": (0, 2**60), "size": 0}, None),
        ({"shape": (-2, -3)}, r"begins with \[-2, -3\] and has rank 2; .* none negati"),
        ({"shape": (1,) * 65}, "has rank 65; expected at most 64 dimensions"),
        ({"shape": (1,) * 62 + (2, 3)}, None),
        ({"shape": b"\x18\x01"}, "its rank is unknown"),
        ({"shape": b"\x12\x05"}, "field 2 is cut off at byte 2"),
        ({"dtype": 0}, r"its dtype is TensorFlow's number 0 \(unknown\)"),
        ({"dtype": 11}, r"its dtype is TensorFlow's number 11 \(qint8\), which numpy"),
        ({"dtype": 20}, r"\(resource\)"),
        ({"dtype": 101}, r"its dtype is TensorFlow's number 101 \(unknown\)"),
        ({"dtype": 2}, r"it has 24 bytes; float64\[2, 3\] needs 48"),
        ({"dtype": 7, "shape": (25,)}, r"it has 24 bytes; string\[25\] needs 25"),
    ],
)
def test_impossible_entries_are_refused(write, change, message):
    tensors, change = {"a": A, "b": B}, {"a": change}
    if message is None:  # the limit is not beyond the limit
        info = write(tensors, change=change).variables["a"].info
        assert info.shape == change["a"]["shape"]
        return
    with pytest.raises(CheckpointError, match=f"tensor 'a': .*{message}"):
        write(tensors, change=change)


def test_an_entry_that_is_not_a_message_is_refused(write):
    def edit(table):
        table[b"a"] += b"\x0b"

    with pytest.raises(CheckpointError, match="index, tensor 'a': wire type 3 at byte"):
        write({"a": A}, edit=edit)


def test_unknown_fields_are_ignored(write):
    def edit(table):
        table[b"a"] += b"\x30\x05" + b"\x0a\x01\x07"  # crc32c and dtype, of other types
        table[b"a"] += tf_bundle_files.field(99, b"?")

    assert write({"a": A}, edit=edit) == write({"a": A})


def test_a_name_that_is_not_utf8_is_refused(write):
    def edit(table):
        table[b"a\xff"] = table[b"a"]

    with pytest.raises(
        CheckpointError, match=r"tensor 'a\\\\xff': .*can't decode byte"
    ):
        write({"a": A}, edit=edit)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "there is no header"),
        (b"", "the header counts 0 data files, endianness 0"),
        (b"\x08\x01\x10\x02", "the header counts 1 data files, endianness 2"),
        (b"\x08" + b"\xff" * 9 + b"\x01", "the header counts -1 data files"),
        (b"\x08\x01\x1a\x02\x10\x02", "the header requires readers of version 2"),
        (b"\x08\x01\x1a\x02\x10", "field 3 is cut off"),
    ],
)
def test_impossible_headers_are_refused(write, header, message):
    def edit(table):
        del table[b""]
        if header is not None:
            table[b""] = header

    with pytest.raises(CheckpointError, match=rf"index: {message}.* TensorFlow check"):
        write({"a": A}, edit=edit)


def test_a_newer_writer_is_read_if_it_allows_older_readers(write):
    def edit(table):
        table[b""] = tf_bundle_files.header(min_consumer=1)

    assert list(write({"a": A}, edit=edit).variables) == ["a"]
