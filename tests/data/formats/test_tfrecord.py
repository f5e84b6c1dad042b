"""TFRecord files: frames, checksums and tf.Example, against an independent writer."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples
from bertgen_jax.data.formats import table, tfrecord

COLUMNS = {"source": "document", "target": "summary"}


@pytest.fixture
def frames(tfrecord_writer):
    return [
        tfrecord_writer.frame(
            tfrecord_writer.example(
                {"document": [f"text {i}"], "summary": [f"sum {i}"]}
            )
        )
        for i in range(3)
    ]


def read(path, content, columns=COLUMNS, **options):
    path.write_bytes(content)
    return open_examples(str(path), columns, **options)


def test_a_message_put_together_by_hand():
    message = bytes.fromhex(
        "0a 1d"  # Example.features, 29 bytes
        "0a 0f 0a 01 61"  # an entry, 15 bytes, with the key "a"
        "12 0a 1a 08 0a 06"  # its Int64List, packed in 6 bytes
        "ac 02 00 80 80 01"  # 300, 0, 16384
        "0a 0a 0a 01 62"  # an entry, 10 bytes, with the key "b"
        "12 05 0a 03 0a 01 78"  # its BytesList with "x"
    )
    assert tfrecord.parse_example(message) == {"a": [300, 0, 16384], "b": [b"x"]}


@pytest.mark.parametrize("packed", [True, False])
def test_features_of_every_kind(packed, tfrecord_writer):
    features = {
        "texts": [b"caf\xc3\xa9", b"", b"\0\xff"],
        "numbers": [0, 1, -1, 300, 2**63 - 1, -(2**63)],
        "floats": [0.5, -1.25, 1e30],
        "none": [],
    }
    message = tfrecord_writer.example(features, packed=packed)
    parsed = tfrecord.parse_example(message)
    features["floats"][2] = struct.unpack("<f", struct.pack("<f", 1e30))[0]
    assert parsed == features


def test_unknown_fields_are_ignored(tfrecord_writer):
    known = tfrecord_writer.example({"a": [b"x"]})
    fixed32, fixed64 = b"\x7d" + bytes(4), b"\x79" + bytes(8)
    message = (
        fixed32 + tfrecord_writer.field(9, b"?") + known + fixed64 + b"\x78\x80\x01"
    )
    assert tfrecord.parse_example(message) == {"a": [b"x"]}


@settings(deadline=None)
@given(
    features=st.dictionaries(
        st.text(max_size=3),
        st.lists(st.binary(max_size=200), min_size=1, max_size=3)
        | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
        max_size=3,
    )
)
def test_what_is_written_is_parsed(features, tfrecord_writer):
    assert tfrecord.parse_example(tfrecord_writer.example(features)) == features


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_bad_row(message):
    try:
        parsed = tfrecord.parse_example(message)
    except table.BadRow:
        return
    assert all(isinstance(values, list) for values in parsed.values())


@settings(deadline=None)
@given(st.data())
def test_a_truncated_example_is_never_accepted(data):
    # Seen as a prefix of fields, a cut is valid only between the entries of the map.
    whole = b"\n\x16\n\t\n\x01a\x12\x04\n\x02\n\x00\n\t\n\x01b\x12\x04\n\x02\n\x00"
    assert tfrecord.parse_example(whole) == {"a": [b""], "b": [b""]}
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(table.BadRow, match=r"expected a tf\.train\.Example"):
        tfrecord.parse_example(whole[:cut])


def test_several_values_are_a_list(tmp_path, tfrecord_writer):
    features = {"document": ["One.", "Two."], "summary": ["a", "b"], "id": [17]}
    content = tfrecord_writer.frame(tfrecord_writer.example(features))
    (row,) = read(tmp_path / "x.tfrecord", content, {**COLUMNS, "id": "id"})
    assert row.source == "One. Two."
    assert row.references == ("a", "b")
    assert row.id == "17"


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {"document": ["d"]},
            "record 2: there is no column 'summary'; found: 'document'",
        ),
        ({"document": ["d"], "summary": [1]}, "column 'summary' holds '1' of type int"),
        ({"document": [b"d\xff"], "summary": ["s"]}, "byte 2 of the row, 0xff, is not"),
        ({"document": [], "summary": ["s"]}, "record 2: column 'document' is empty"),
    ],
)
def test_an_example_without_the_mapped_texts_is_a_bad_row(
    features, message, frames, tmp_path, tfrecord_writer
):
    frames[1] = tfrecord_writer.frame(tfrecord_writer.example(features))
    content = b"".join(frames)
    with pytest.raises(errors.DataError, match=message):
        read(tmp_path / "x.tfrecord", content)
    assert len(read(tmp_path / "x.tfrecord", content, on_bad_row="skip")) == 2


def test_a_record_of_something_else_is_a_bad_row(frames, tmp_path, tfrecord_writer):
    frames[1] = tfrecord_writer.frame(b"\x0fplain text")
    with pytest.raises(
        errors.DataError, match=r"record 2: wire type 7 at byte 1, in '"
    ):
        read(tmp_path / "x.tfrecord", b"".join(frames))


def test_damaged_data_are_detected_by_their_checksum(frames, tmp_path):
    damaged = bytearray(frames[1])
    damaged[20] ^= 1
    content = frames[0] + bytes(damaged) + frames[2]
    with pytest.raises(
        errors.DataError,
        match=r"record 2: the checksum of the \d+ bytes is 0x\w{8} and",
    ):
        read(tmp_path / "x.tfrecord", content)
    left = read(tmp_path / "x.tfrecord", content, on_bad_row="skip")
    assert [row.id for row in left] == ["x.tfrecord:1", "x.tfrecord:3"]
    assert left.skipped.reasons == {"wrong checksum": 1}


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
@pytest.mark.parametrize("byte", [0, 5, 8, 11])
def test_a_damaged_length_is_an_error(byte, on_bad_row, frames, tmp_path):
    damaged = bytearray(frames[1])
    damaged[byte] ^= 1
    content = frames[0] + bytes(damaged) + frames[2]
    with pytest.raises(
        errors.DataError,
        match=rf"record 2: the checksum of the length at byte {len(frames[0])} is w",
    ):
        read(tmp_path / "x.tfrecord", content, on_bad_row=on_bad_row)


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (1, "ends within the head of the record"),
        (11, "ends within the head of the record"),
        (12, r"has \d+ bytes and the file only 0 more"),
        (-5, r"has \d+ bytes and the file only"),
        (-1, r"has \d+ bytes and the file only"),
    ],
)
@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_a_truncated_file_is_an_error(kept, message, on_bad_row, frames, tmp_path):
    content = frames[0] + frames[1] + frames[2][:kept]
    with pytest.raises(errors.DataError, match=f"record 3: .*{message}.*cut off"):
        read(tmp_path / "x.tfrecord", content, on_bad_row=on_bad_row)


def test_a_text_file_is_not_a_tfrecord_file(tmp_path):
    with pytest.raises(errors.DataError, match="This is not a TFRecord file, or it is"):
        read(tmp_path / "x.tfrecord", b"a line of text\n" * 10)
