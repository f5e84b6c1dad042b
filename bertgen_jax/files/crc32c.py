"""Computes CRC-32C, the checksum of TFRecord files and of TensorFlow checkpoints.

A CRC is the remainder of the message, read as a polynomial over GF(2), modulo P. A
shorter message with the same remainder has the same CRC. P divides x^6777 + x^484 +
x^100 + 1, so that modulo P

    x^6777 = x^484 + x^100 + 1,

and squaring doubles all exponents: multiplied by 8 they count whole bytes. So a leading
byte can be removed by xor-ing it into three later ones. Three numpy calls do this for
thousands of neighbouring bytes at memory speed. The last few kilobytes are looked up in
tables.

Folding by a sparse multiple of P is the idea of "Chorba" (Russell, arXiv 2412.16398).
Of the 42 four-term multiples below degree 9000 this one has the widest first gap.
"""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's P, bits reflected, the leading term implied
_EXPONENTS = (6777, 484, 100)
_SCALES = (32, 4, 1)  # bytes that one exponent counts: wide folds, then narrow ones
_PIECE_BYTES = 1 << 22  # folded at once; fits into the processor's caches
_ROW_BYTES = 1024  # looked up at once
_LOOP_BYTES = 48  # for fewer bytes, a plain loop is faster than numpy


def crc32c(data: bytes | bytearray | memoryview | np.ndarray) -> int:
    """Returns the CRC-32C of `data`, an unsigned 32-bit number (RFC 3720, 12.1).

    Args:
      data: any buffer; an array counts as its bytes in C order.

    Returns:
      The checksum: 0xE3069283 for b"123456789".
    """
    if isinstance(data, np.ndarray):
        message = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    else:
        message = np.frombuffer(data, np.uint8)
    state = 0xFFFFFFFF
    for start in range(0, message.size, _PIECE_BYTES):
        state = _advance(state, message[start : start + _PIECE_BYTES])
    return state ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Returns a checksum in the form that TFRecord and TensorFlow's tables store.

    It is rotated by 15 bits and offset, because the CRC of data that contain their own
    CRC is always the same (tensorflow/core/lib/hash/crc32c.h).
    """
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _advance(state: int, piece: np.ndarray) -> int:
    """Returns the CRC register after `piece` (u8[N]), given the register before it."""
    if piece.size < _LOOP_BYTES:
        table = _byte_table()
        for byte in piece.tolist():
            state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state
    message = piece.copy()
    _add_to_front(message, state)
    for scale in _SCALES:
        if message.size > _EXPONENTS[0] * scale:
            message = _fold(message, scale)
    return _look_up(message)


def _add_to_front(message: np.ndarray, state: int) -> None:
    """Replaces a register by adding it to the next four bytes, which is equivalent."""
    message[:4] ^= np.frombuffer(state.to_bytes(4, "little"), np.uint8)


def _fold(message: np.ndarray, scale: int) -> np.ndarray:
    """Removes leading bytes, in place: u8[N] -> at most its last 6777 * scale bytes."""
    degree, middle, low = (exponent * scale for exponent in _EXPONENTS)
    start, end = 0, message.size - degree
    while start < end:
        stop = min(
            start + degree - middle, end
        )  # no byte is added to a byte of this slice
        for distance in (degree - middle, degree - low, degree):
            message[start + distance : stop + distance] ^= message[start:stop]
        start = stop
    return message[start:]


def _look_up(message: np.ndarray) -> int:
    """Returns the register after a message (u8[N], changed in place), from zero."""
    tables, offsets = _position_tables()
    state, start = 0, 0
    first = message.size % _ROW_BYTES or _ROW_BYTES
    for stop in range(first, message.size + 1, _ROW_BYTES):
        row = message[start:stop]
        if start > 0:  # only the first row can be shorter than a register
            _add_to_front(row, state)
        state = int(np.bitwise_xor.reduce(tables[offsets[-row.size :] + row]))
        start = stop
    return state


@functools.cache
def _byte_table() -> list[int]:
    """Returns the change of the register for each value of one byte, 256 numbers."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ (table & 1) * np.uint32(_POLYNOMIAL)
    return table.tolist()


@functools.cache
def _position_tables() -> tuple[np.ndarray, np.ndarray]:
    """Makes the change of the register for each value of a byte, at each position.

    Returns:
      u32[1024 * 256], and the offset of the 256 values of each position in a row,
      i64[1024].
    """
    one_byte = np.array(_byte_table(), np.uint32)
    tables = np.zeros((_ROW_BYTES, 256), np.uint32)
    tables[-1] = one_byte
    for position in range(_ROW_BYTES - 2, -1, -1):
        later = tables[position + 1]
        tables[position] = one_byte[later & 0xFF] ^ (later >> 8)
    return tables.reshape(-1), np.arange(_ROW_BYTES) * 256
