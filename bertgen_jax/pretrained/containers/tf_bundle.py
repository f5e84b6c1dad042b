"""Reads TensorFlow checkpoints (V2, "tensor bundles") without TensorFlow.

    PREFIX.index                  where each tensor is, see `tf_bundle_index`
    PREFIX.data-00000-of-00002    the bytes of the tensors in sequence, not aligned
    PREFIX.data-00001-of-00002
    checkpoint                    the prefix that was written last

The format is that of tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

import dataclasses
import itertools
import os
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import crc32c, memory_maps, protobuf
from bertgen_jax.pretrained.containers import tf_bundle_index, tf_sorted_table
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from bertgen_jax.pretrained.containers.tf_bundle_index import (
    BundleIndex,
    ByteOrder,
    Piece,
)

_FILE_OF_PREFIX = re.compile(r"\.(index|data-\d{5,}-of-\d{5,})$")
# A field of a protobuf message in text form, and the escapes in its value.
_LATEST = re.compile(rb'^model_checkpoint_path: *"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(.))")
_LATEST_BYTES = 1 << 16  # how much of it is read; the field is the first one
_MAX_LISTED = 8  # names in a message


def open_bundle(prefix: str | os.PathLike[str]) -> "TfBundle":
    """Opens a checkpoint and checks everything that shows without reading tensors.

    Args:
      prefix: the common beginning of its files, such as `bert_model.ckpt`; or one of
        the files.

    Raises:
      CheckpointError: a file is missing; the index is damaged; a tensor lies outside
        its file, overlaps another or has a dtype that numpy does not have; or the
        checkpoint has the old format V1.
    """
    prefix = _FILE_OF_PREFIX.sub("", os.fspath(prefix))
    path = pathlib.Path(f"{prefix}.index")
    if not os.path.isfile(path):  # unlike pathlib, never raises for an odd name
        raise _no_index(path)
    index = tf_bundle_index.read(path)
    shards = []
    for number in range(index.shards):
        shard = pathlib.Path(f"{prefix}.data-{number:05d}-of-{index.shards:05d}")
        if not os.path.isfile(shard):
            raise CheckpointError(
                f"{shard} is missing; {path.name} lists tensors of {index.shards} data "
                "files. Copy all of them."
            )
        shards.append(_Shard(shard, _content(shard)))
    _check_extents(path, index, shards)
    return TfBundle(path, index, shards)


def latest_prefix(directory: str | os.PathLike[str]) -> pathlib.Path | None:
    """Finds the TensorFlow checkpoint of a directory.

    It is the one that the file `checkpoint` names, else the only one. Of the path in
    that file, which is often one of the machine that trained the model, only the last
    part counts.

    Returns:
      The prefix, for `open_bundle`; None if there is no checkpoint.

    Raises:
      CheckpointError: there are several checkpoints, or the one that the file names
        does not exist.
    """
    directory = pathlib.Path(directory)
    named = _latest_name(directory / "checkpoint")
    if named is not None:
        index = directory / f"{named}.index"
        if not os.path.isfile(index):
            raise _no_index(index)
        return directory / named
    indexes = _indexes(directory)
    if len(indexes) > 1:
        raise CheckpointError(
            f"{directory} holds {len(indexes)} TensorFlow checkpoints, "
            f"{_listed(indexes)}, and no file `checkpoint` that says which is the "
            f"latest. Name one of them, such as {indexes[0].with_suffix('')}."
        )
    return indexes[0].with_suffix("") if indexes else None


class TfBundle:
    """An open checkpoint, as a `TensorFile`; see `open_bundle`.

    Attributes:
      path: the index.
      tensors: shapes and types of the variables by name, sorted. A variable that was
        saved in parts is one tensor; strings are arrays of `bytes` objects.
    """

    def __init__(
        self, path: pathlib.Path, index: BundleIndex, shards: Sequence["_Shard"]
    ):
        self.path = path
        self.tensors: Mapping[str, TensorInfo] = {
            name: variable.info for name, variable in index.variables.items()
        }
        self._index = index
        self._shards = shards

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor, read-only, with its checksums verified.

        It is a view of the mapped file. It is a copy if its bytes are not aligned
        (numpy is many times slower on such arrays), swapped or in several parts.

        Raises:
          CheckpointError: the bytes of the tensor are damaged.
          KeyError: there is no tensor with this name.
        """
        variable = self._index.variables[name]
        if len(variable.pieces) == 1:
            ((_, piece),) = variable.pieces
            values = self._read(name, piece)
        else:
            values = np.empty(variable.info.shape, variable.info.dtype)
            for box, piece in variable.pieces:
                values[box] = self._read(name, piece)
        values.flags.writeable = False
        return values

    def _read(self, name: str, piece: Piece) -> np.ndarray:
        shard, byteorder = self._shards[piece.shard], self._index.byteorder
        content = shard.content[piece.offset : piece.offset + piece.size]
        try:
            if piece.info.dtype == tf_bundle_index.STRING:
                values = _strings(content, piece, byteorder)
            else:
                _compare(crc32c.crc32c(content), piece.crc)
                values = np.require(content.view(piece.info.dtype), requirements="A")
                if byteorder != sys.byteorder:
                    values = values.byteswap()
        except ValueError as error:
            raise CheckpointError(
                f"{shard.path}, tensor {name!r}: its {piece.size:,} bytes at byte "
                f"{piece.offset:,} are damaged: {error}. Copy the file again."
            ) from error
        return values.reshape(piece.info.shape)


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A data file.

    Attributes:
      path: the file.
      content: u8[N], its mapped bytes, read-only.
    """

    path: pathlib.Path
    content: np.ndarray


def _content(path: pathlib.Path) -> np.ndarray:
    # An empty file, of tensors without elements, cannot be mapped.
    buffer = memory_maps.mapped(path) if os.path.getsize(path) else b""
    return np.frombuffer(buffer, np.uint8)


def _check_extents(
    path: pathlib.Path, index: BundleIndex, shards: Sequence[_Shard]
) -> None:
    """Checks that every piece lies within its file, and that no two overlap."""
    pieces = [
        (piece, name)
        for name, variable in index.variables.items()
        for _, piece in variable.pieces
    ]
    for piece, name in pieces:
        if not 0 <= piece.shard < index.shards:
            raise CheckpointError(
                f"{path}, tensor {name!r}: the index puts it into data file "
                f"{piece.shard} of {index.shards}, counted from 0."
            )
        shard = shards[piece.shard]
        if piece.offset < 0 or piece.offset + piece.size > shard.content.size:
            raise CheckpointError(
                f"{shard.path}, tensor {name!r}: its {piece.size:,} bytes at byte "
                f"{piece.offset:,} are not within the {shard.content.size:,} bytes of "
                "the file. It was cut off; copy it again."
            )
    stored = [(piece, name) for piece, name in pieces if piece.size]
    stored.sort(key=lambda entry: (entry[0].shard, entry[0].offset))
    for (first, name), (second, other) in itertools.pairwise(stored):
        if first.shard == second.shard and first.offset + first.size > second.offset:
            raise CheckpointError(
                f"{path}, tensor {other!r}: it begins at byte {second.offset:,} of "
                f"data file {second.shard}, before {name!r} ends."
            )


def _strings(content: np.ndarray, piece: Piece, byteorder: ByteOrder) -> np.ndarray:
    """Decodes a string tensor: lengths as varints, their checksum in 4 bytes, strings.

    For both checksums, a length counts as 4 bytes, or as 8 if it does not fit.

    Args:
      content: u8[N].
      piece: its shape and checksum.
      byteorder: the byte order of the lengths and of their checksum.

    Returns:
      object[elements], each of type bytes.

    Raises:
      ValueError: the content is damaged.
    """
    message = content.tobytes()
    position, lengths = 0, []
    for _ in range(piece.info.size):
        length, position = protobuf.varint(message, position)
        lengths.append(length)
    counted = b"".join(
        length.to_bytes(4 if length < 1 << 32 else 8, byteorder) for length in lengths
    )
    start = position + 4
    stored = int.from_bytes(message[position:start], byteorder)
    _compare(crc32c.crc32c(counted), stored)
    _compare(crc32c.crc32c(counted + message[position:]), piece.crc)
    ends = list(itertools.accumulate(lengths, initial=start))
    if ends[-1] != len(message):
        raise ValueError(
            f"their last string ends at byte {ends[-1]:,} of {len(message):,}"
        )
    values = np.empty(len(lengths), object)
    values[:] = [message[start:end] for start, end in itertools.pairwise(ends)]
    return values


def _compare(crc: int, stored: int) -> None:
    if crc32c.masked(crc) != stored:
        raise ValueError(
            f"their checksum is 0x{crc32c.masked(crc):08x}, and 0x{stored:08x} was "
            "stored"
        )


def _latest_name(path: pathlib.Path) -> str | None:
    """Returns the prefix that a file `checkpoint` names, without directories."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            match = _LATEST.search(file.read(_LATEST_BYTES))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if match is None:
        return None  # a file of another program
    value = _ESCAPE.sub(_unescaped, match[1]).decode(errors="replace")
    name = pathlib.PureWindowsPath(value).name  # splits at both / and \
    if name in ("", "..") or "\0" in name:
        raise CheckpointError(
            f"{path}: model_checkpoint_path is {value!r}, which does not end with the "
            "name of a file. Name the checkpoint itself, such as model.ckpt-1000."
        )
    return name


def _unescaped(escape: re.Match[bytes]) -> bytes:
    octal, character = escape.groups()
    return bytes([int(octal, 8) & 0xFF]) if octal else character


def _no_index(path: pathlib.Path) -> CheckpointError:
    """Returns the error for a missing index."""
    prefix = path.with_suffix("")
    if _is_table(prefix):
        return CheckpointError(
            f"{prefix} is a TensorFlow checkpoint of the old format V1, one file, and "
            f"there is no {path.name}. Load it in TensorFlow and save it again: it "
            "writes format V2 unless told otherwise."
        )
    indexes = _indexes(path.parent)
    return CheckpointError(
        f"{path} is missing; expected the index of a TensorFlow checkpoint. Its "
        f"directory holds {_listed(indexes) if indexes else 'no file *.index'}."
    )


def _is_table(path: pathlib.Path) -> bool:
    """Whether a file is a sorted table, as are checkpoints of format V1."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            file.seek(-len(tf_sorted_table.MAGIC), os.SEEK_END)
            return file.read() == tf_sorted_table.MAGIC
    except OSError:  # too short, or not readable
        return False


def _indexes(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.glob("*.index") if os.path.isfile(path))


def _listed(files: Sequence[pathlib.Path]) -> str:
    more = ", ..." if len(files) > _MAX_LISTED else ""
    return ", ".join(file.name for file in files[:_MAX_LISTED]) + more
