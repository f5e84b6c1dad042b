"""Reads and writes safetensors files.

The format (github.com/huggingface/safetensors): 8 bytes with the length of the header,
little-endian; the header, a JSON object that gives "dtype", "shape" and "data_offsets"
of each tensor, and strings under "__metadata__"; then the tensors in C order and
little-endian, without gaps.
"""

import contextlib
import dataclasses
import json
import mmap
import os
import pathlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import atomic, json_files
from bertgen_jax.files.memory_maps import mapped
from bertgen_jax.pretrained.containers import sharded_checkpoint
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

# Hugging Face refuses files that do not name the framework whose layout they have.
HUGGING_FACE_METADATA: Mapping[str, str] = types.MappingProxyType({"format": "pt"})

_METADATA = "__metadata__"
_MAX_HEADER_BYTES = 32 << 20
_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class SafetensorsFile:
    """One safetensors file, as a `TensorFile`.

    Attributes:
      path: the file.
      tensors: shapes and types by name, in the order of the header.
      metadata: the strings under "__metadata__".
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    _views: Mapping[str, np.ndarray] = dataclasses.field(repr=False)

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor as a read-only view of the file."""
        return self._views[name]


def open_safetensors(
    path: str | os.PathLike[str],
) -> SafetensorsFile | sharded_checkpoint.ShardedFile:
    """Opens a safetensors file, or an index of several (`*.index.json`).

    Raises:
      CheckpointError: a file is missing or damaged, or has a type of numbers that numpy
        does not have. See `sharded_checkpoint.open_index` as well.
    """
    path = pathlib.Path(path)
    if sharded_checkpoint.is_index(path):
        return sharded_checkpoint.open_index(path, _open)
    return _open(path)


def _open(path: pathlib.Path) -> SafetensorsFile:
    content = mapped(path)
    header_bytes = int.from_bytes(content[:8], "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: its first 8 bytes announce a header of {header_bytes:,} bytes; "
            f"expected a safetensors file, with {_MAX_HEADER_BYTES:,} at most. Copy or "
            "download it again."
        )
    try:
        # The library checks that the tensors fill the file without gaps or overlaps,
        # and that their sizes fit their shapes. To read with it would copy.
        with safetensors.safe_open(path, framework="numpy"):
            pass
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}). Copy or download it "
            "again."
        ) from error
    start = 8 + header_bytes
    header = json_files.parse_object(content[8:start], str(path))
    metadata = header.pop(_METADATA, None) or {}
    views = {
        name: _view(entry, content, start, f"{path}: {name!r:.99}")
        for name, entry in header.items()
    }
    tensors = {name: TensorInfo(view.shape, view.dtype) for name, view in views.items()}
    return SafetensorsFile(path, tensors, metadata, views)


def _view(entry: Any, content: mmap.mmap, start: int, where: str) -> np.ndarray:
    """Returns the tensor of a header entry, which the library has checked."""
    try:
        code, shape, (begin, _) = entry["dtype"], entry["shape"], entry["data_offsets"]
        dtype = _DTYPES.get(code)
        if dtype is not None:
            return np.ndarray(shape, dtype, content, start + begin)
    except (TypeError, ValueError) as error:  # such as too many axes
        raise CheckpointError(f"{where} cannot be an array ({error}).") from error
    raise CheckpointError(
        f"{where} has the type {code}; expected one of {', '.join(_DTYPES)}. Convert "
        "it with the library that wrote it."
    )


@contextlib.contextmanager
def new_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] = HUGGING_FACE_METADATA,
) -> Iterator[None]:
    """Writes a temporary file that takes the name `path` when the block ends.

    Arguments and errors are those of `write`. The block is for what must happen after
    the tensors are written, but before the file appears.
    """
    path = pathlib.Path(path)
    header, order = _header(tensors, metadata, path)
    try:
        with atomic.new_file(path) as file:
            file.write(header)
            for name in order:
                array, info = np.asarray(read(name)), tensors[name]
                if array.shape != info.shape:
                    raise ValueError(
                        f"{name} has the shape {array.shape}, not {info.shape}"
                    )
                # As bytes: not every dtype, such as bfloat16, supports the buffer
                # protocol.
                contiguous = np.ascontiguousarray(array, info.dtype).ravel()
                file.write(contiguous.view("u1").data)
                del array, contiguous  # so that two are never in memory
            yield
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected a place for a file of "
            f"{_total_bytes(tensors):,} bytes."
        ) from error


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] = HUGGING_FACE_METADATA,
) -> None:
    """Writes a safetensors file with one tensor in memory at a time.

    The write is atomic. `path` may be the file that `read` reads: the old contents
    exist until nothing maps them.

    Args:
      path: the file; an existing one is replaced.
      tensors: the shape and dtype of each tensor, in the order in which they are
        written; except that wider types come first, so that every tensor is aligned.
      read: returns a tensor; called once for each name. Its arrays may have any memory
        order and dtype; they are written in C order, with the dtype of `tensors`.
      metadata: the strings under "__metadata__".

    Raises:
      CheckpointError: the file cannot be written, or a name or dtype is not possible in
        such a file.
      ValueError: an array does not have the shape of `tensors`.
    """
    with new_safetensors(path, tensors, read, metadata):
        pass


def _header(
    tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str], path: pathlib.Path
) -> tuple[bytes, list[str]]:
    """Returns the bytes before the tensors, and the order of the tensors."""
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    end = 0
    for name in order:
        info = tensors[name]
        if name in header or info.dtype not in _CODES:
            raise CheckpointError(
                f"{path}: a tensor {name!r} of type {info.dtype} cannot be written; "
                f"expected any name but {_METADATA}, and one of {', '.join(_DTYPES)}."
            )
        begin, end = end, end + info.size * info.dtype.itemsize
        header[name] = {
            "dtype": _CODES[info.dtype],
            "shape": list(info.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the tensors start at a multiple of 8
    return len(text).to_bytes(8, "little") + text, order


def _total_bytes(tensors: Mapping[str, TensorInfo]) -> int:
    return sum(info.size * info.dtype.itemsize for info in tensors.values())
