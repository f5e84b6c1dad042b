"""Reads checkpoints whose tensors are in several files, listed by an index.

Hugging Face names the index `model.safetensors.index.json` or
`pytorch_model.bin.index.json`. Its "weight_map" gives the file of each tensor.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files
from bertgen_jax.pretrained.containers.tensor_file import (
    TensorFile,
    TensorInfo,
    listed,
)

_SUFFIX = ".index.json"
_MAX_INDEX_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class ShardedFile:
    """Several files, as one `TensorFile`.

    Attributes:
      path: the index.
      tensors: shapes and types by name, in the order of the index.
      shards: the open file of each tensor, by the name of the tensor.
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    shards: Mapping[str, TensorFile]

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor, as its file reads it."""
        return self.shards[name].read(name)


def is_index(path: pathlib.Path) -> bool:
    """Whether the name of a file is that of an index."""
    return path.name.endswith(_SUFFIX)


def open_index(
    path: pathlib.Path, open_shard: Callable[[pathlib.Path], TensorFile]
) -> ShardedFile:
    """Opens an index and all files that it lists.

    Args:
      path: the index.
      open_shard: opens one of the files.

    Raises:
      CheckpointError: the index is damaged, or names a file of another directory; a
        file is missing or damaged; or the index does not list exactly the tensors of
        the files.
    """
    files = _weight_map(path)
    shards = {
        file: open_shard(path.parent / file) for file in dict.fromkeys(files.values())
    }
    problems = [
        f"- {name!r:.99} in {file:.99}"
        for name, file in files.items()
        if name not in shards[file].tensors
    ] + [
        f"+ {name!r:.99} in {file:.99}"
        for file, shard in shards.items()
        for name in shard.tensors
        if files.get(name) != file
    ]
    if problems:
        raise CheckpointError(
            f"{path}: the index does not list the tensors of its files, so these are "
            "not of one checkpoint; download them together (- in the index only, + in "
            f"the file only):\n{listed(problems)}"
        )
    tensors = {name: shards[file].tensors[name] for name, file in files.items()}
    return ShardedFile(path, tensors, {name: shards[files[name]] for name in files})


def _weight_map(path: pathlib.Path) -> dict[str, str]:
    """Returns the file of each tensor, after checking that it is a plain name."""
    index = json_files.read_object(
        path, expected="an index of tensors", max_bytes=_MAX_INDEX_BYTES
    )
    files = index.get("weight_map")
    if not isinstance(files, dict) or not files:
        raise CheckpointError(
            f"{path}: weight_map is {'empty' if files == {} else 'no object'}; "
            "expected the file of each tensor by its name."
        )
    for name, file in files.items():
        if not _is_plain(file):
            raise CheckpointError(
                f"{path}: weight_map says that {name!r:.99} is in {file!r:.99}; "
                "expected the name of a file beside the index."
            )
    return files


def _is_plain(name: object) -> bool:
    """Whether a name stands for a file in the same directory."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and not {"/", "\\"} & set(name)
        and name not in ("", ".", "..")
    )
