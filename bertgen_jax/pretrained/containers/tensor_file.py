"""`TensorFile`: named tensors on disk, of any format, each read when asked for."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What a file says of a tensor before it is read.

    Attributes:
      shape: its shape.
      dtype: numpy's, or `ml_dtypes.bfloat16`; object for strings.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


class TensorFile(Protocol):
    """Tensors of one checkpoint, in one file or several.

    Opening one has checked all that shows without reading tensors: that the files are
    there, and that every tensor lies within them.

    Attributes:
      path: what messages name.
      tensors: by name, in the file's order.
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, read-only.

        A view of the mapped file where the format allows it, so that reading all of a
        checkpoint takes no memory but the page cache.

        Raises:
          CheckpointError: its bytes are damaged.
        """
        ...


class Arrays:
    """Arrays in memory as a `TensorFile`."""

    def __init__(self, path: pathlib.Path, arrays: Mapping[str, np.ndarray]):
        self.path = path
        self._arrays = arrays
        self.tensors = {
            name: TensorInfo(tuple(array.shape), array.dtype)
            for name, array in arrays.items()
        }

    def read(self, name: str) -> np.ndarray:
        """The array of that name."""
        return self._arrays[name]
