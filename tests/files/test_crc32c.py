"""CRC-32C against published vectors, the bitwise definition and its own algebra."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.files import crc32c

POLYNOMIAL = 0x11EDC6F41  # Castagnoli's P, x^32 to x^0 from the left


def bit_by_bit(data: bytes) -> int:
    """The definition: one shift a bit."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # these four: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_vectors(data, expected):
    assert crc32c.crc32c(data) == expected
    assert bit_by_bit(data) == expected


def test_masked_rotates_and_offsets_as_tensorflow_does():
    assert crc32c.masked(0) == 0xA282EAD8
    # bits 14..0 move to the top, bits 31..15 to the bottom, the sum wraps at 2^32
    assert crc32c.masked(0x00007FFF) == (0xFFFE0000 + 0xA282EAD8) % 2**32
    assert crc32c.masked(0xFFFFFFFF) == (0xFFFFFFFF + 0xA282EAD8) % 2**32


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_short_messages_equal_the_definition(data):
    assert crc32c.crc32c(data) == bit_by_bit(data)


# Around the limits of the implementation: loop, row, and each scale of the folds.
LENGTHS = [47, 48, 1023, 1024, 1025, 1027, 6776, 6777, 6778, 27109, 216863, 216865]


@pytest.mark.parametrize("length", LENGTHS)
def test_long_messages_equal_the_definition(length):
    data = random.Random(length).randbytes(length)
    assert crc32c.crc32c(data) == bit_by_bit(data)


def test_the_size_of_pieces_does_not_matter(monkeypatch):
    data = random.Random(0).randbytes(10_000)
    expected = bit_by_bit(data)
    for piece_bytes in (64, 999, 5000, 9_999):
        monkeypatch.setattr(crc32c, "_PIECE_BYTES", piece_bytes)
        assert crc32c.crc32c(data) == expected


def test_the_fold_is_by_a_multiple_of_the_polynomial():
    def power(exponent: int) -> int:
        """x^exponent modulo P."""
        value = 1
        for _ in range(exponent):
            value <<= 1
            if value >> 32:
                value ^= POLYNOMIAL
        return value

    first, second, third = crc32c._EXPONENTS
    assert power(first) == power(second) ^ power(third) ^ 1


def test_a_flipped_bit_at_any_position_changes_the_checksum():
    data = bytearray(random.Random(1).randbytes(300_000))
    before = crc32c.crc32c(data)
    for position in (0, 1, 150_000, 299_000, 299_999):
        data[position] ^= 0x10
        assert crc32c.crc32c(data) != before
        data[position] ^= 0x10
    assert crc32c.crc32c(data) == before


def test_every_kind_of_buffer_is_read_as_its_bytes():
    array = np.arange(5000, dtype=np.float32).reshape(50, 100)
    expected = crc32c.crc32c(array.tobytes())
    assert crc32c.crc32c(array) == expected
    assert crc32c.crc32c(memoryview(array.tobytes())) == expected
    assert crc32c.crc32c(bytearray(array.tobytes())) == expected
    assert crc32c.crc32c(array.T) == crc32c.crc32c(array.T.tobytes()) != expected
    assert crc32c.crc32c(np.float32(1.5).reshape(())) == crc32c.crc32c(b"\0\0\xc0\x3f")


def test_the_input_is_not_changed():
    array = np.frombuffer(random.Random(2).randbytes(100_000), np.uint8).copy()
    before = array.copy()
    crc32c.crc32c(array)
    np.testing.assert_array_equal(array, before)
