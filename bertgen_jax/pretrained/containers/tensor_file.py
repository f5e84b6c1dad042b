"""The interface of files with named tensors, whatever their format: `TensorFile`."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

_MAX_LISTED = 8  # lines in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What the header of a file says about a tensor.

    Attributes:
      shape: its shape.
      dtype: a type of numpy, or `ml_dtypes.bfloat16`; object for strings.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)


class TensorFile(Protocol):
    """The tensors of one checkpoint, in one file or several.

    Opening it has checked everything that shows without reading tensors: that the files
    exist, and that every tensor lies within them.
    """

    @property
    def path(self) -> pathlib.Path:
        """The file that messages name."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """The shapes and types of the tensors by name, in the order of the file."""
        ...

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor, read-only.

        It is a view of the memory-mapped file where the format allows it. Reading a
        whole checkpoint then takes no memory but the page cache.

        Raises:
          CheckpointError: the bytes of the tensor are damaged.
        """
        ...


class Arrays:
    """A `TensorFile` of arrays in memory."""

    def __init__(self, path: pathlib.Path, arrays: Mapping[str, np.ndarray]):
        self.path = path
        self._arrays = arrays
        self.tensors = {
            name: TensorInfo(tuple(array.shape), array.dtype)
            for name, array in arrays.items()
        }

    def read(self, name: str) -> np.ndarray:
        """Returns an array."""
        return self._arrays[name]


def listed(lines: Iterable[str]) -> str:
    """Returns the first few lines of a message, and how many more there are."""
    lines = list(lines)
    more = len(lines) - _MAX_LISTED
    rest = [f"... and {more} more"] if more > 0 else []
    return "\n".join(lines[:_MAX_LISTED] + rest)


def shown(name: str) -> str:
    """Returns a foreign name for a message: short, and without control characters."""
    return f"{name if name.isprintable() else repr(name):.99}"
