"""Parses the wire format of protobuf, without any schema.

A message is a sequence of fields, each a varint `number << 3 | wire type` and a value
(protobuf.dev/programming-guides/encoding). The caller knows what a number means.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; groups are obsolete
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yields the fields of a message in order: (number, wire type, value).

    The value of a varint is an unsigned number. All other values are bytes: a string, a
    message, packed numbers, or the 4 or 8 bytes of a little-endian number.

    ```
    08 96 01  12 02 68 69   ->   (1, VARINT, 150), (2, BYTES, b"hi")
    ```

    Raises:
      ValueError: the bytes are not a message.
    """
    position = 0
    while position < len(message):
        key, start = varint(message, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {position}")
        position = start
        if wire == VARINT:
            value, position = varint(message, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, position = varint(message, position)
        elif wire in _FIXED_BYTES:
            length = _FIXED_BYTES[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if position + length > len(message):
            raise ValueError(f"field {number} is cut off at byte {len(message)}")
        yield number, wire, message[position : position + length]
        position += length


def varint(message: bytes, position: int) -> tuple[int, int]:
    """Reads a number of 7 bits a byte, the low bits first.

    Returns:
      The value, a u64, and the position behind it.

    Raises:
      ValueError: it does not end within the message, or has more than 10 bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position == len(message):
            raise ValueError("a number is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise ValueError(f"a number of more than 10 bytes at byte {position - 10}")


def varints(packed: bytes) -> Iterator[int]:
    """Yields the numbers of a packed field.

    Raises:
      ValueError: see `varint`.
    """
    position = 0
    while position < len(packed):
        value, position = varint(packed, position)
        yield value


def signed(value: int) -> int:
    """Returns the int64 that the varint `value` (u64) encodes.

    ```
    1 -> 1    2^64 - 1 -> -1
    ```
    """
    return value - (1 << 64) if value >> 63 else value
