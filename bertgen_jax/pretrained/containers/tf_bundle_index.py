"""The .index of a TensorFlow checkpoint in; which tensors lie where in its data, out.

It is a sorted table of protobuf messages (tensorflow/core/protobuf/tensor_bundle.proto)
by the name of a tensor:

    ""          BundleHeaderProto   1: num_shards  2: endianness  3: version
    name        BundleEntryProto    1: dtype  2: shape  3: shard_id  4: offset  5: size
                                    6: crc32c, fixed32  7: slices, repeated
    0x00 ...    BundleEntryProto    of one part of a variable that is saved in parts

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

STRING = np.dtype(object)

# tensorflow/core/framework/types.proto; the machine's byte order, data may have another
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
_VERSION = 1  # of the format, which has had no other
_MAX_RANK = 64  # numpy's
_MAX_BYTES = 1 << 62  # numpy counts in int64, even where another dimension is 0
_MAX_CORNERS = 1 << 16  # of all parts of one variable; real ones have a few hundred


@dataclasses.dataclass(frozen=True)
class Piece:
    """Bytes of a data file that are a tensor, or a part of one.

    Attributes:
      info: their shape and dtype.
      shard: the number of the data file.
      offset: of the first byte.
      size: in bytes.
      crc: their masked CRC-32C.
    """

    info: TensorInfo
    shard: int
    offset: int
    size: int
    crc: int


@dataclasses.dataclass(frozen=True)
class Variable:
    """A tensor under its own name.

    Attributes:
      info: its shape and dtype.
      pieces: what it consists of, and where in it each belongs; together they fill it.
    """

    info: TensorInfo
    pieces: tuple[tuple[Box, Piece], ...]


@dataclasses.dataclass(frozen=True)
class BundleIndex:
    """What an .index file says.

    Attributes:
      shards: how many data files there are.
      byteorder: of the numbers in them, as in `sys.byteorder`.
      variables: by name, sorted.
    """

    shards: int
    byteorder: Literal["little", "big"]
    variables: Mapping[str, Variable]


def read(path: pathlib.Path) -> BundleIndex:
    """Reads an index and checks all of it that needs no data file.

    Raises:
      CheckpointError: it is damaged, describes a tensor that cannot be, or one of a
        dtype that numpy does not have; or it is something else.
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
            shown = key.decode(errors="backslashreplace")
            raise CheckpointError(f"{path}, tensor {shown!r}: {error}.") from error
    return BundleIndex(shards, byteorder, variables)


def _header(table: Mapping[bytes, bytes]) -> tuple[int, Literal["little", "big"]]:
    """How many data files there are, and their byte order."""
    if b"" not in table:
        raise ValueError("there is no header")
    shards = big = min_consumer = 0
    for field in protobuf.fields(table[b""]):
        match field:
            case (1, protobuf.VARINT, value):
                shards = protobuf.signed(value)
            case (2, protobuf.VARINT, value):
                big = value
            case (3, protobuf.BYTES, version):
                min_consumer = _number(version, 2)
    if shards < 1 or big > 1:
        raise ValueError(f"the header counts {shards} data files, endianness {big}")
    if min_consumer > _VERSION:
        raise ValueError(f"the header asks for readers of version {min_consumer}")
    return shards, "big" if big else "little"


def _variable(key: bytes, message: bytes, table: Mapping[bytes, bytes]) -> Variable:
    whole, slices = _entry(message)
    if not slices:
        return Variable(whole.info, ((_everything(whole.info), _checked(whole)),))
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
        pieces.append((box, _checked(piece)))
    if not _fill(whole.info, [box for box, _ in pieces]):
        raise ValueError(f"its parts do not fill {_described(whole.info)} exactly once")
    return Variable(whole.info, tuple(pieces))


def _entry(message: bytes) -> tuple[Piece, list[bytes]]:
    """A BundleEntryProto, and its slices unparsed.

    Whoever has slices has no data under its own name.
    """
    numbers = dict.fromkeys((1, 3, 4, 5), 0)
    shape, slices, crc = [], [], 0
    for field in protobuf.fields(message):
        match field:
            case (1 | 3 | 4 | 5 as number, protobuf.VARINT, value):
                numbers[number] = protobuf.signed(value)
            case (2, protobuf.BYTES, part):
                shape.append(part)
            case (6, protobuf.FIXED32, value):
                crc = int.from_bytes(value, "little")
            case (7, protobuf.BYTES, part):
                slices.append(part)
    code, shard, offset, size = numbers.values()
    if code not in _DTYPES:
        raise ValueError(
            f"its dtype is TensorFlow's number {code} "
            f"({_OTHER_DTYPES.get(code, 'unknown')}), which numpy does not have"
        )
    # The parts of a message that is sent in parts are one after the other the whole.
    info = TensorInfo(_shape(b"".join(shape)), _DTYPES[code])
    if math.prod(max(1, dim) for dim in info.shape) * info.dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"its shape {info.shape} has too many elements")
    return Piece(info, shard, offset, size, crc), slices


def _checked(piece: Piece) -> Piece:
    """A piece of as many bytes as its shape needs."""
    needed = piece.info.size * piece.info.dtype.itemsize
    if piece.info.dtype == STRING:
        # A string has a byte or more of length; more is known when it is read.
        fits, needed = piece.info.size <= piece.size, piece.info.size
    else:
        fits = needed == piece.size
    if not fits:
        raise ValueError(
            f"it has {piece.size:,} bytes; {_described(piece.info)} needs {needed:,}"
        )
    return piece


def _shape(message: bytes) -> tuple[int, ...]:
    """A TensorShapeProto, 2: dim, repeated {1: size}, 3: unknown_rank."""
    shape = []
    for field in protobuf.fields(message):
        match field:
            case (2, protobuf.BYTES, dim):
                shape.append(_number(dim, 1))
            case (3, protobuf.VARINT, unknown) if unknown:
                raise ValueError("its rank is unknown")
    if len(shape) > _MAX_RANK or any(dim < 0 for dim in shape):
        raise ValueError(
            f"its shape begins with {shape[:8]} and has rank {len(shape)}; expected at "
            f"most {_MAX_RANK} dimensions, none negative"
        )
    return tuple(shape)


# A part of a variable: by axis where it starts and how long it is; (0, -1) is the whole
# axis. The numbers are those of the file, because they are in the key as they are.
_Extents = tuple[tuple[int, int], ...]


def _extents(message: bytes, shape: tuple[int, ...]) -> _Extents:
    """A TensorSliceProto within a shape, 1: extent, repeated {1: start, 2: length}."""
    extents = tuple(
        (_number(extent, 1), _number(extent, 2, absent=-1))
        for number, wire, extent in protobuf.fields(message)
        if (number, wire) == (1, protobuf.BYTES)
    )
    if len(extents) != len(shape):
        raise ValueError(f"a part of it has rank {len(extents)}, and it {len(shape)}")
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
    """Whether boxes fill a shape, each place once.

    They do if and only if their corners, with alternating signs, sum up to those of the
    whole: these sums are the derivative, along every axis, of how often a place is
    covered. So nothing of the size of the array is needed.
    """
    corners: collections.Counter[tuple[int, ...]] = collections.Counter()
    for weight, box in [(-1, _everything(info)), *((1, box) for box in boxes)]:
        edges = [((-1, axis.start), (1, axis.stop)) for axis in box]
        for corner in itertools.product(*edges):
            sign = math.prod(sign for sign, _ in corner)
            corners[tuple(place for _, place in corner)] += weight * sign
    return not any(corners.values())


def _key_of_part(name: bytes, extents: _Extents) -> bytes:
    """The key of a part's entry.

    EncodeTensorNameSlice of tensorflow/core/util/saved_tensor_slice_util.cc: 0, the
    name, the rank, then start and length of each axis, encoded so that bytewise order
    is that of the values (tensorflow/core/lib/strings/ordered_code.cc).

    ```
    b"w", ((4, 3), (0, -1))  ->  00  77 00 01  01 02  84 83  80 7f
    ```
    """
    # A byte 0xff would have to be escaped as well, but there is none in UTF-8.
    escaped = name.replace(b"\0", b"\0\xff") + b"\0\1"
    rank = bytes([1, len(extents)]) if extents else b"\0"  # its length, then itself
    numbers = b"".join(_ordered(number) for extent in extents for number in extent)
    return b"\0" + escaped + rank + numbers


def _ordered(number: int) -> bytes:
    """A signed number in order: as many leading ones as bytes, then two's complement.

    The sign bit comes out flipped, because the ones are xor-ed: 0 -> 80, -1 -> 7f,
    64 -> c0 40.
    """
    size = max(number, ~number).bit_length() // 7 + 1
    ones = ((1 << size) - 1) << (7 * size)
    return (number % (1 << (8 * size)) ^ ones).to_bytes(size, "big")


def _number(message: bytes, field: int, absent: int = 0) -> int:
    """The int64 in one field of a message."""
    found = absent
    for number, wire, value in protobuf.fields(message):
        if (number, wire) == (field, protobuf.VARINT):
            found = protobuf.signed(value)
    return found


def _text(extents: _Extents) -> str:
    """Extents as numpy writes them: [0:4, :]."""
    axes = (
        ":" if length == -1 else f"{start}:{start + length}"
        for start, length in extents
    )
    return f"[{', '.join(axes)}]"


def _described(info: TensorInfo) -> str:
    dtype = "string" if info.dtype == STRING else info.dtype.name
    return f"{dtype}{list(info.shape)}"
