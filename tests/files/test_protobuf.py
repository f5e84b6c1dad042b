"""The wire format of protobuf, against messages put together by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.files import protobuf
from bertgen_jax.files.protobuf import BYTES, FIXED32, FIXED64, VARINT


def test_fields_of_every_wire_type():
    message = bytes.fromhex(
        "08 96 01"  # 1: 150, the example of protobuf's documentation
        "12 02 68 69"  # 2: "hi"
        "1d 00 00 80 3f"  # 3: 1.0 as a float
        "21 01 00 00 00 00 00 00 00"  # 4: 1 as fixed64
        "80 01 00"  # 16: 0
        "12 00"  # 2 again: ""
    )
    assert list(protobuf.fields(message)) == [
        (1, VARINT, 150),
        (2, BYTES, b"hi"),
        (3, FIXED32, b"\0\0\x80\x3f"),
        (4, FIXED64, b"\1" + bytes(7)),
        (16, VARINT, 0),
        (2, BYTES, b""),
    ]


def test_an_empty_message_has_no_fields():
    assert list(protobuf.fields(b"")) == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("08", "a number is cut off"),
        ("08 96", "a number is cut off"),
        ("12 02 68", "field 2 is cut off at byte 3"),
        ("1d 00 00 80", "field 3 is cut off at byte 4"),
        ("21 00", "field 4 is cut off at byte 2"),
        ("08 00 0b", "wire type 3 at byte 3"),
        ("08 00 00 00", "field number 0 at byte 2"),
        ("08" + "ff" * 10 + "01", "a number of more than 10 bytes at byte 1"),
        ("12" + "ff" * 9 + "01", "field 2 is cut off at byte 11"),
    ],
)
def test_malformed_messages_are_errors(message, reason):
    with pytest.raises(ValueError, match=reason):
        list(protobuf.fields(bytes.fromhex(message)))


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", 0),
        ("7f", 127),
        ("80 01", 128),
        ("ac 02", 300),
        ("80 00", 0),  # longer than it has to be
        ("ff" * 9 + "01", 2**64 - 1),
        ("ff" * 9 + "7f", 2**64 - 1),  # bits beyond the 64th do not count
    ],
)
def test_varint(encoded, value):
    message = b"\xff" + bytes.fromhex(encoded)
    assert protobuf.varint(message + b"\xff", 1) == (value, len(message))


def test_packed_numbers():
    assert list(protobuf.varints(bytes.fromhex("ac 02 00 80 80 01"))) == [300, 0, 16384]
    with pytest.raises(ValueError, match="a number is cut off"):
        list(protobuf.varints(bytes.fromhex("ac 02 80")))


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, -(2**63))]
)
def test_signed(value, number):
    assert protobuf.signed(value) == number
    assert protobuf.signed(2**64 - 1) == -1


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(message):
    try:
        fields = list(protobuf.fields(message))
    except ValueError:
        return
    # A field has two bytes or more, and all fields no more than the message.
    assert len(fields) <= len(message) // 2
    values = [value for _, _, value in fields if isinstance(value, bytes)]
    assert sum(map(len, values)) <= len(message)
