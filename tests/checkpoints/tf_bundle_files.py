"""Writes TensorFlow checkpoints: arrays in, .index and .data files out, no TensorFlow.

It shares no code with the reader. The parity tests have TensorFlow read what it writes.
"""

import functools
import struct

import numpy as np

CODES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "object": 7,
    "complex64": 8,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "uint16": 17,
    "complex128": 18,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}


def write(
    prefix,
    tensors,
    *,
    parts=None,
    shards=1,
    byteorder="little",
    change=None,
    edit=None,
    **table_options,
):
    """Writes .index and .data files, and returns the prefix.

    Args:
      prefix: a path.
      tensors: arrays by name; arrays of bytes objects are string tensors.
      parts: {name: extents of each part}, for `part_key`.
      shards: number of data files, filled in turn.
      byteorder: of the numbers in them.
      change: {name or (name, number of part): {field of `entry`: value}}, after all.
      edit: gets {key: message} of the index, and may change it.
      **table_options: of `table`.
    """
    data = [bytearray() for _ in range(shards)]
    messages = {b"": header(shards, byteorder == "big")}
    for number, (name, key, array, slices) in enumerate(_pieces(tensors, parts or {})):
        fields = {"dtype": CODES[array.dtype.name], "shape": array.shape}
        if slices:
            fields["slices"] = slices
        else:
            shard = number % shards
            content, crc = _stored(array, byteorder)
            fields |= {"shard": shard, "offset": len(data[shard])}
            fields |= {"size": len(content), "crc": crc}
            data[shard] += content
        messages[key] = entry(**{**fields, **(change or {}).get(name, {})})
    if edit:
        edit(messages)
    for number, content in enumerate(data):
        with open(f"{prefix}.data-{number:05d}-of-{shards:05d}", "wb") as file:
            file.write(content)
    with open(f"{prefix}.index", "wb") as file:
        file.write(table(sorted(messages.items()), **table_options))
    return prefix


def _pieces(tensors, parts):
    """What has an entry: (what `change` calls it, key, array, its slices)."""
    for name, array in tensors.items():
        slices = parts.get(name, ())
        yield name, name.encode(), np.asarray(array), slices
        for number, extents in enumerate(slices):
            box = tuple(
                slice(None) if length in (None, -1) else slice(start, start + length)
                for start, length in extents
            )
            key = part_key(name, extents)
            yield (name, number), key, np.asarray(array[box]), ()


def _stored(array, byteorder):
    """The bytes of a tensor and their masked checksum."""
    if array.dtype == object:
        strings = array.reshape(-1).tolist()
        counted = b"".join(len(one).to_bytes(4, byteorder) for one in strings)
        rest = masked_crc(counted).to_bytes(4, byteorder) + b"".join(strings)
        lengths = b"".join(varint(len(one)) for one in strings)
        return lengths + rest, masked_crc(counted + rest)
    content = (array if byteorder == "little" else array.byteswap()).tobytes()
    return content, masked_crc(content)


def header(shards=1, big=False, min_consumer=0):
    version = b"\x08\x01" + (b"\x10" + varint(min_consumer) if min_consumer else b"")
    endianness = b"\x10\x01" if big else b""
    return b"\x08" + varint(shards) + endianness + field(3, version)


def entry(dtype=1, shape=(), shard=0, offset=0, size=0, crc=0, slices=()):
    """A BundleEntryProto; shape may be the bytes of a message."""
    if not isinstance(shape, bytes):
        dims = (b"\x08" + varint(dim) if dim else b"" for dim in shape)
        shape = b"".join(field(2, dim) for dim in dims)
    message = b"\x08" + varint(dtype) + field(2, shape)
    for number, value in ((3, shard), (4, offset), (5, size)):
        if value:
            message += varint(number << 3) + varint(value)
    if crc:
        message += b"\x35" + struct.pack("<I", crc)
    for extents in slices:
        body = b""
        for start, length in extents:
            extent = b"\x08" + varint(start) if start else b""
            if length is not None:
                extent += b"\x10" + varint(length)
            body += field(1, extent)
        message += field(7, body)
    return message


def part_key(name, extents):
    """Extents are (start, length) by axis; length None is the whole axis."""
    key = b"\0" + name.encode().replace(b"\0", b"\0\xff") + b"\0\1"
    key += b"\1" + bytes([len(extents)]) if extents else b"\0"
    for start, length in extents:
        key += _ordered(start) + _ordered(-1 if length is None else length)
    return key


def _ordered(number):
    """The first bits count the bytes, as in UTF-8; a negative number is inverted."""
    size = 1
    while not -(2 ** (7 * size - 1)) <= number < 2 ** (7 * size - 1):
        size += 1
    magnitude = ~number if number < 0 else number
    bits = "1" * size + "0" + format(magnitude, f"0{7 * size - 1}b")
    if number < 0:
        bits = bits.translate(str.maketrans("01", "10"))
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def table(pairs, *, block_bytes=4096, compression=0, interval=16):
    """A sorted table of (key, value) pairs, in the order given."""
    content, index, waiting, size = b"", [], [], 0
    for key, value in pairs:
        waiting.append((key, value))
        size += len(key) + len(value)
        if size >= block_bytes:
            index.append((key, _place(len(content), waiting, interval)))
            content += seal(_block(waiting, interval), compression)
            waiting, size = [], 0
    if waiting:
        index.append((waiting[-1][0], _place(len(content), waiting, interval)))
        content += seal(_block(waiting, interval), compression)
    metaindex = _place(len(content), [], interval)
    content += seal(_block([], interval), compression)
    places = metaindex + _place(len(content), index, interval)
    return content + seal(_block(index, interval), compression) + footer(places)


def _place(offset, pairs, interval=16):
    return varint(offset) + varint(len(_block(pairs, interval)))


def footer(places):
    return places.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def seal(block, compression=0):
    """A block with its trailer."""
    body = block + bytes([compression])
    return body + struct.pack("<I", masked_crc(body))


def _block(pairs, interval):
    content, restarts, last = b"", [], b""
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % interval == 0:
            restarts.append(len(content))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        last = key
    restarts = restarts or [0]
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    value %= 2**64  # negative numbers have ten bytes
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def masked_crc(data):
    changes, state = _changes(), 0xFFFFFFFF
    for byte in data:
        state = changes[(state ^ byte) & 0xFF] ^ (state >> 8)
    crc = state ^ 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _changes():
    """What each byte does to the checksum, bit by bit."""
    changes = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        changes.append(byte)
    return changes
