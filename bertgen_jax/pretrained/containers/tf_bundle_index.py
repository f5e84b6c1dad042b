"""Reads the .index of a TensorFlow checkpoint: where each tensor is in the data files.

The index is a sorted table of protobuf messages by the names of tensors
(tensorflow/core/protobuf/tensor_bundle.proto):

    ""          BundleHeaderProto   1: num_shards  2: endianness  3: version
    name        BundleEntryProto    1: dtype  2: shape  3: shard_id  4: offset  5: size
                                    6: crc32c, fixed32  7: slices, repeated
    0x00 ...    BundleEntryProto    of a part of a variable that is saved in parts

Fields that are zero are not written.
"""

import collections
import dataclasses
import itertools
import math
import pathlib
from collections.abc import Mapping
from typing import Literal

import ml_dtypes
import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import protobuf
from bertgen_jax.pretrained.containers import tf_sorted_table
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

Box = tuple[slice, ...]  # a part of an array, by axis
ByteOrder = Literal["little", "big"]

STRING = np.dtype(object)

# tensorflow/core/framework/types.proto. In the byte order of this machine; that of the
# data may differ.
_DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    7: STRING,
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_OTHER_DTYPES = {
    11: "qint8",
    12: "quint8",
    13: "qint32",
    15: "qint16",
    16: "quint16",
    20: "resource",
    21: "variant",
}
_VERSION = 1  # the only version of the format so far
_MAX_RANK = 64  # of a numpy array
_MAX_BYTES = 1 << 62  # numpy counts in int64, even if another dimension is 0
_MAX_CORNERS = 1 << 16  # of all parts of a variable; real ones have a few hundred


@dataclasses.dataclass(frozen=True)
class Piece:
    """The bytes of a tensor, or of a part of one, in a data file.

    Attributes:
      info: the shape and dtype.
      shard: the number of the data file.
      offset: the position of the first byte.
      size: in bytes.
      crc: the masked CRC-32C of the bytes.
    """

    info: TensorInfo
    shard: int
    offset: int
    size: int
    crc: int


@dataclasses.dataclass(frozen=True)
class Variable:
    """A named tensor.

    Attributes:
      info: its shape and dtype.
      pieces: its parts, each with its place in the tensor. Together they fill it.
    """

    info: TensorInfo
    pieces: tuple[tuple[Box, Piece], ...]


@dataclasses.dataclass(frozen=True)
class BundleIndex:
    """The contents of an .index file.

    Attributes:
      shards: the number of data files.
      byteorder: the byte order of the data, as in `sys.byteorder`.
      variables: the tensors by name, sorted.
    """

    shards: int
    byteorder: ByteOrder
    variables: Mapping[str, Variable]


def read(path: pathlib.Path) -> BundleIndex:
    """Reads an index and checks everything that does not need the data files.

    Raises:
      CheckpointError: the file is damaged or not an index; or a tensor is impossible,
        or has a dtype that numpy does not have.
    """
    table = tf_sorted_table.read(path)
    try:
        shards, byteorder = _header(table)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}. Expected the index of a TensorFlow checkpoint (V2)."
        ) from error
    variables = {}
    for key, message in table.items():
        if not key or key.startswith(b"\0"):
            continue
        try:
            name = key.decode()
            variables[name] = _variable(key, message, table)
        except ValueError as error:
            label = key.decode(errors="backslashreplace")
            raise CheckpointError(f"{path}, tensor {label!r}: {error}.") from error
    return BundleIndex(shards, byteorder, variables)


def _header(table: Mapping[bytes, bytes]) -> tuple[int, ByteOrder]:
    """Returns the number of data files, and their byte order."""
    if b"" not in table:
        raise ValueError("there is no header")
    shards = big = min_consumer = 0
    for field in protobuf.fields(table[b""]):
        match field:
            case (1, protobuf.VARINT, int(value)):
                shards = protobuf.signed(value)
            case (2, protobuf.VARINT, int(value)):
                big = value
            case (3, protobuf.BYTES, bytes(version)):
                min_consumer = _number(version, 2)
    if shards < 1 or big > 1:
        raise ValueError(f"the header counts {shards} data files, endianness {big}")
    if min_consumer > _VERSION:
        raise ValueError(f"the header requires readers of version {min_consumer}")
    return shards, "big" if big else "little"


def _variable(key: bytes, message: bytes, table: Mapping[bytes, bytes]) -> Variable:
    whole, slices = _entry(message)
    if not slices:
        _check_size(whole)
        return Variable(whole.info, ((_everything(whole.info), whole),))
    if len(slices) << len(whole.info.shape) > _MAX_CORNERS:
        raise ValueError(f"its {_described(whole.info)} is in {len(slices):,} parts")
    pieces = []
    for message in slices:
        extents = _extents(message, whole.info.shape)
        piece = table.get(_key_of_part(key, extents))
        if piece is None:
            raise ValueError(f"its part {_text(extents)} is missing")
        piece, slices_of_piece = _entry(piece)
        box = _box(extents, whole.info.shape)
        shape = tuple(axis.stop - axis.start for axis in box)
        if slices_of_piece:
            raise ValueError(f"its part {_text(extents)} is in parts itself")
        if piece.info != TensorInfo(shape, whole.info.dtype):
            raise ValueError(
                f"its part {_text(extents)} has {_described(piece.info)} where "
                f"{_described(TensorInfo(shape, whole.info.dtype))} is expected"
            )
        _check_size(piece)
        pieces.append((box, piece))
    if not _fill(whole.info, [box for box, _ in pieces]):
        raise ValueError(f"its parts do not fill {_described(whole.info)} exactly once")
    return Variable(whole.info, tuple(pieces))


def _entry(message: bytes) -> tuple[Piece, list[bytes]]:
    """Parses a BundleEntryProto, except its slices.

    An entry with slices has no data under its own name.
    """
    numbers = dict.fromkeys((1, 3, 4, 5), 0)
    shape, slices, crc = [], [], 0
    for field in protobuf.fields(message):
        match field:
            case (1 | 3 | 4 | 5 as number, protobuf.VARINT, int(value)):
                numbers[number] = protobuf.signed(value)
            case (2, protobuf.BYTES, bytes(part)):
                shape.append(part)
            case (6, protobuf.FIXED32, bytes(value)):
                crc = int.from_bytes(value, "little")
            case (7, protobuf.BYTES, bytes(part)):
                slices.append(part)
    code, shard, offset, size = numbers.values()
    if code not in _DTYPES:
        raise ValueError(
            f"its dtype is TensorFlow's number {code} "
            f"({_OTHER_DTYPES.get(code, 'unknown')}), which numpy does not have"
        )
    # A message that was written in parts is the concatenation of the parts.
    info = TensorInfo(_shape(b"".join(shape)), _DTYPES[code])
    if math.prod(max(1, dim) for dim in info.shape) * info.dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"its shape {info.shape} has too many elements")
    return Piece(info, shard, offset, size, crc), slices


def _check_size(piece: Piece) -> None:
    """Checks that a piece has as many bytes as its shape needs."""
    needed = piece.info.size * piece.info.dtype.itemsize
    if piece.info.dtype == STRING:
        # Each string has a length of at least one byte. The rest shows when it is read.
        fits, needed = piece.info.size <= piece.size, piece.info.size
    else:
        fits = needed == piece.size
    if not fits:
        raise ValueError(
            f"it has {piece.size:,} bytes; {_described(piece.info)} needs {needed:,}"
        )


def _shape(message: bytes) -> tuple[int, ...]:
    """Parses a TensorShapeProto: 2: dim, repeated {1: size}, 3: unknown_rank."""
    shape = []
    for field in protobuf.fields(message):
        match field:
            case (2, protobuf.BYTES, bytes(dim)):
                shape.append(_number(dim, 1))
            case (3, protobuf.VARINT, unknown) if unknown:
                raise ValueError("its rank is unknown")
    if len(shape) > _MAX_RANK or any(dim < 0 for dim in shape):
        raise ValueError(
            f"its shape begins with {shape[:8]} and has rank {len(shape)}; expected at "
            f"most {_MAX_RANK} dimensions, none negative"
        )
    return tuple(shape)


# A part of a variable: (start, length) for each axis; (0, -1) is the whole axis. The
# numbers are kept as they are in the file, because the key is made of them.
_Extents = tuple[tuple[int, int], ...]


def _extents(message: bytes, shape: tuple[int, ...]) -> _Extents:
    """Parses a TensorSliceProto: 1: extent, repeated {1: start, 2: length}."""
    extents = tuple(
        (_number(extent, 1), _number(extent, 2, absent=-1))
        for number, wire, extent in protobuf.fields(message)
        if (number, wire) == (1, protobuf.BYTES) and isinstance(extent, bytes)
    )
    if len(extents) != len(shape):
        raise ValueError(f"a part of it has rank {len(extents)}, not {len(shape)}")
    for (start, length), dim in zip(extents, shape, strict=True):
        inside = start >= 0 and length >= 0 and start + length <= dim
        if not inside and (start, length) != (0, -1):
            raise ValueError(f"its part {_text(extents)} is not within {list(shape)}")
    return extents


def _box(extents: _Extents, shape: tuple[int, ...]) -> Box:
    return tuple(
        slice(0, dim) if length == -1 else slice(start, start + length)
        for (start, length), dim in zip(extents, shape, strict=True)
    )


def _everything(info: TensorInfo) -> Box:
    return tuple(slice(0, dim) for dim in info.shape)


def _fill(info: TensorInfo, boxes: list[Box]) -> bool:
    """Whether boxes cover every element of an array exactly once.

    They do if and only if their corners, with alternating signs, sum to the corners of
    the whole array. These sums are the derivative, along every axis, of the number of
    boxes that cover an element. So no memory of the size of the array is needed.
    """
    corners: collections.Counter[tuple[int, ...]] = collections.Counter()
    for weight, box in [(-1, _everything(info)), *((1, box) for box in boxes)]:
        edges = [((-1, axis.start), (1, axis.stop)) for axis in box]
        for corner in itertools.product(*edges):
            sign = math.prod(sign for sign, _ in corner)
            corners[tuple(edge for _, edge in corner)] += weight * sign
    return not any(corners.values())


def _key_of_part(name: bytes, extents: _Extents) -> bytes:
    """Returns the key of the entry of a part.

    It is 0, the name, the rank, then start and length of each axis, encoded so that the
    order of the bytes is that of the values (EncodeTensorNameSlice of
    tensorflow/core/util/saved_tensor_slice_util.cc, core/lib/strings/ordered_code.cc).

    ```
    b"w", ((4, 3), (0, -1))  ->  00  77 00 01  01 02  84 83  80 7f
    ```
    """
    # The format escapes the byte 0xff as well, but UTF-8 never contains it.
    escaped = name.replace(b"\0", b"\0\xff") + b"\0\1"
    rank = bytes([1, len(extents)]) if extents else b"\0"  # number of bytes, then bytes
    numbers = b"".join(_ordered(number) for extent in extents for number in extent)
    return b"\0" + escaped + rank + numbers


def _ordered(number: int) -> bytes:
    """Encodes a signed number so that the order of the bytes is that of the values.

    As many leading ones as bytes, then two's complement. The ones are xor-ed, which
    flips the sign bit: 0 -> 80, -1 -> 7f, 64 -> c0 40.
    """
    size = max(number, ~number).bit_length() // 7 + 1
    ones = ((1 << size) - 1) << (7 * size)
    return (number % (1 << (8 * size)) ^ ones).to_bytes(size, "big")


def _number(message: bytes, field: int, absent: int = 0) -> int:
    """Returns the int64 in one field of a message; the last one if it is repeated."""
    result = absent
    for number, wire, value in protobuf.fields(message):
        if (number, wire) == (field, protobuf.VARINT) and isinstance(value, int):
            result = protobuf.signed(value)
    return result


def _text(extents: _Extents) -> str:
    """Formats extents as numpy indices: [0:4, :]."""
    axes = (
        ":" if length == -1 else f"{start}:{start + length}"
        for start, length in extents
    )
    return f"[{', '.join(axes)}]"


def _described(info: TensorInfo) -> str:
    dtype = "string" if info.dtype == STRING else info.dtype.name
    return f"{dtype}{list(info.shape)}"
