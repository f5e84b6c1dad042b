"""safetensors files: mapped tensors out of them; tensors into them, one at a time.

The format (github.com/huggingface/safetensors): 8 bytes with the length of the header,
little-endian; the header, a JSON object that gives "dtype", "shape" and "data_offsets"
of each tensor, and strings under "__metadata__"; then the tensors, row-major and
little-endian, without gaps.
"""

import contextlib
import dataclasses
import json
import mmap
import os
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files
from bertgen_jax.files.memory_maps import mapped
from bertgen_jax.pretrained.containers import sharded_checkpoint
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

# The peer refuses files that do not say which framework's layout they hold.
PEER_METADATA: Mapping[str, str] = types.MappingProxyType({"format": "pt"})

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
    """A `TensorFile` of one safetensors file.

    Attributes:
      path: of the file.
      tensors: by name, in the order of the header.
      metadata: the strings under "__metadata__".
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    _views: Mapping[str, np.ndarray] = dataclasses.field(repr=False)

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, a read-only view of the file."""
        return self._views[name]


def open_safetensors(
    path: str | os.PathLike[str],
) -> SafetensorsFile | sharded_checkpoint.ShardedFile:
    """Opens a safetensors file, or an index of several (`*.index.json`).

    Raises:
      CheckpointError: a file is missing or damaged, or holds numbers of a kind that
        numpy does not have; see `sharded_checkpoint.open_index` too.
    """
    path = pathlib.Path(path)
    return (
        sharded_checkpoint.open_index(path, _open)
        if sharded_checkpoint.is_index(path)
        else _open(path)
    )


def _open(path: pathlib.Path) -> SafetensorsFile:
    content = mapped(path)
    header_bytes = int.from_bytes(content[:8], "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path}: begins with the length of a header, {header_bytes:,} bytes; "
            f"expected a safetensors file, and {_MAX_HEADER_BYTES:,} at most. Copy or "
            "download it again."
        )
    try:
        # The library checks that the tensors fill the file, without holes or overlaps,
        # each with as many bytes as its shape takes. What it reads, it copies, though.
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
    """The tensor of an entry that the library has checked."""
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


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    metadata: Mapping[str, str] = PEER_METADATA,
) -> None:
    """Writes a safetensors file with one tensor in memory at a time.

    The file appears under its name once it is complete. It may be the one that `read`
    reads: that one lives on until nothing refers to it.

    Args:
      path: what is there is replaced.
      tensors: shape and dtype of each, in the order in which they are written; wider
        types come first, though, so that every tensor is aligned.
      read: called once for each name. The array may have any layout and dtype; it is
        written row by row, in the dtype that `tensors` says.
      metadata: what to write under "__metadata__".

    Raises:
      CheckpointError: the file cannot be written, or not with such a name or dtype;
        also whatever `read` raises.
      ValueError: an array is not of the shape that `tensors` says.
    """
    path = pathlib.Path(path)
    header, order = _header(tensors, metadata, path)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(header)
            for name in order:
                array, info = np.asarray(read(name)), tensors[name]
                if array.shape != info.shape:
                    raise ValueError(
                        f"{name} has the shape {array.shape}, not {info.shape}"
                    )
                # As bytes: not every dtype, such as bfloat16, has a buffer of its own.
                file.write(np.ascontiguousarray(array, info.dtype).ravel().view("u1"))
                del array  # or the next one is read while this one lives
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise CheckpointError(
                f"{path}: {error.strerror or error}. Expected a place for a file of "
                f"{_total_bytes(tensors):,} bytes."
            ) from error
        raise


def _header(
    tensors: Mapping[str, TensorInfo], metadata: Mapping[str, str], path: pathlib.Path
) -> tuple[bytes, list[str]]:
    """All that stands before the tensors, and the order in which these follow."""
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
