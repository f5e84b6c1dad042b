"""The index of a checkpoint in several files in; one `TensorFile` over them out.

Hugging Face writes `model.safetensors.index.json` or `pytorch_model.bin.index.json`,
where "weight_map" says of each tensor in which of the files beside the index it is.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files
from bertgen_jax.files.memory_maps import mapped
from bertgen_jax.pretrained.containers.tensor_file import TensorFile, TensorInfo

_SUFFIX = ".index.json"
_MAX_INDEX_BYTES = 32 << 20
_LISTED = 8  # lines of a message; the rest are counted


@dataclasses.dataclass(frozen=True, eq=False)
class ShardedFile:
    """A `TensorFile` of several files.

    Attributes:
      path: of the index.
      tensors: by name, in the order of the index.
      shards: by the name of a tensor, the open file that it is in.
    """

    path: pathlib.Path
    tensors: Mapping[str, TensorInfo]
    shards: Mapping[str, TensorFile]

    def read(self, name: str) -> np.ndarray:
        """The tensor of that name, as its shard reads it."""
        return self.shards[name].read(name)


def is_index(path: pathlib.Path) -> bool:
    """Whether a file is, by its name, the index of several."""
    return path.name.endswith(_SUFFIX)


def open_index(
    path: pathlib.Path, open_shard: Callable[[pathlib.Path], TensorFile]
) -> ShardedFile:
    """Opens an index and all of its shards.

    Args:
      path: of the index.
      open_shard: opens one of the files beside it.

    Raises:
      CheckpointError: the index is damaged or names a file that is not beside it; a
        shard is missing or damaged; index and shards do not list the same tensors, each
        once.
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
        more = len(problems) - _LISTED
        lines = problems[:_LISTED] + ([f"... and {more} more"] if more > 0 else [])
        raise CheckpointError(
            f"{path}: the index does not list what its files hold, so they are not of "
            "one checkpoint; download them together (- in the index only, + in the "
            "file only):\n" + "\n".join(lines)
        )
    tensors = {name: shards[file].tensors[name] for name, file in files.items()}
    return ShardedFile(path, tensors, {name: shards[files[name]] for name in files})


def _weight_map(path: pathlib.Path) -> dict[str, str]:
    """Which file each tensor is in, all of them plain names."""
    content = mapped(path)
    if len(content) > _MAX_INDEX_BYTES:
        raise CheckpointError(
            f"{path}: {len(content):,} bytes; expected an index of at most "
            f"{_MAX_INDEX_BYTES:,}."
        )
    files = json_files.parse_object(content[:], str(path)).get("weight_map")
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
    """Whether it names a file of a directory, and cannot name one outside it."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and not {"/", "\\"} & set(name)
        and name not in ("", ".", "..")
    )
