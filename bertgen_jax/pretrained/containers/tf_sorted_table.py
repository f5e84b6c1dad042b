"""Reads sorted tables: LevelDB's files of keys and values, as TensorFlow writes them.

    data blocks   metaindex block   index block   footer

The footer is the last 48 bytes. It locates the metaindex and the index block, each by a
varint offset and a varint size. Zeros fill it up to the magic number, the last 8 bytes
(tensorflow/core/lib/io/format.cc). A block, and the trailer that its size excludes:

    entries   u32 offset of entry 0, 16, 32, ...   u32 number of these offsets
    u8 compression   u32 masked crc32c(block and compression)

An entry shares the beginning of its key with the previous entry (block_builder.cc):

    varint shared   varint unshared   varint length   unshared bytes of the key   value

The values of the index block locate the data blocks.
"""

import pathlib
from collections.abc import Iterator

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import crc32c, memory_maps, protobuf

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")  # the last bytes of every table

_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # after each block
_SNAPPY = 1
_MAX_BYTES = 1 << 24  # of a file; the index of BERT-large has 20 thousand
# Every 16th key is complete, so the keys of a block have less than 16 times its bytes.
# Without a bound, a few bytes an entry could expand to megabytes.
_MAX_KEY_BYTES = 32


def read(path: pathlib.Path) -> dict[bytes, bytes]:
    """Reads a table and verifies all of its checksums.

    Returns:
      The values by key, in the order of the keys.

    Raises:
      CheckpointError: the file cannot be read, is damaged, or is not a table.
    """
    content = memory_maps.mapped(path)
    if len(content) > _MAX_BYTES:
        raise CheckpointError(
            f"{path}: more than {_MAX_BYTES >> 20} MiB, but a table that lists tensors "
            "has kilobytes. Name the index of a checkpoint."
        )
    try:
        return _table(content[:])
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}. Expected a whole sorted table, uncompressed, as "
            "TensorFlow writes it."
        ) from error


def _table(content: bytes) -> dict[bytes, bytes]:
    if len(content) < _FOOTER_BYTES or not content.endswith(MAGIC):
        raise ValueError(
            f"it ends with the bytes {content[-8:].hex()}, expected {MAGIC.hex()}"
        )
    footer = content[-_FOOTER_BYTES : -len(MAGIC)]
    metaindex, position = _block_handle(footer, 0)
    index, position = _block_handle(footer, position)
    if any(footer[position:]):
        raise ValueError("its footer locates more than two blocks")

    _block(content, *metaindex)  # empty in these tables, but its checksum must be right
    table: dict[bytes, bytes] = {}
    last, end = None, 0
    for _, value in _entries(_block(content, *index)):
        (offset, size), _ = _block_handle(value, 0)
        if offset < end:
            raise ValueError(f"its block at byte {offset:,} overlaps the previous one")
        end = offset + size + _TRAILER_BYTES
        for key, value in _entries(_block(content, offset, size)):
            if last is not None and key <= last:
                raise ValueError(f"its key {key!r} comes after {last!r}, out of order")
            table[key] = value
            last = key
    return table


def _block_handle(message: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Returns offset and size of a block, and the position after these two numbers."""
    offset, position = protobuf.varint(message, position)
    size, position = protobuf.varint(message, position)
    return (offset, size), position


def _block(content: bytes, offset: int, size: int) -> bytes:
    """Returns a block, with its checksum verified."""
    end = offset + size + 1
    if offset + size + _TRAILER_BYTES > len(content) - _FOOTER_BYTES:
        raise ValueError(
            f"its block of {size:,} bytes at byte {offset:,} does not fit into the "
            f"{len(content):,} bytes of the file"
        )
    computed = crc32c.masked(crc32c.crc32c(content[offset:end]))
    stored = int.from_bytes(content[end : end + 4], "little")
    if computed != stored:
        raise ValueError(
            f"the checksum of its block at byte {offset:,} is 0x{computed:08x}, and "
            f"0x{stored:08x} was stored"
        )
    compression = content[end - 1]
    if compression == _SNAPPY:
        raise ValueError(
            f"its block at byte {offset:,} is compressed with Snappy, which TensorFlow "
            "never does in checkpoints"
        )
    if compression:
        raise ValueError(f"its block at byte {offset:,} has compression {compression}")
    return content[offset : end - 1]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys of a block and their values."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if end < 0:
        raise ValueError(f"a block of {len(block):,} bytes has {count:,} restarts")
    position, key, key_bytes = 0, b"", 0
    while position < end:
        shared, position = protobuf.varint(block, position)
        unshared, position = protobuf.varint(block, position)
        length, position = protobuf.varint(block, position)
        start = position + unshared
        if shared > len(key) or start + length > end:
            raise ValueError(
                f"an entry shares {shared:,} bytes with a key of {len(key):,} and goes "
                f"to byte {start + length:,} of {end:,}"
            )
        key = key[:shared] + block[position:start]
        key_bytes += len(key)
        if key_bytes > _MAX_KEY_BYTES * len(block):
            raise ValueError(
                f"the keys in a block of {len(block):,} bytes have more than "
                f"{_MAX_KEY_BYTES} times as many"
            )
        yield key, block[start : start + length]
        position = start + length
