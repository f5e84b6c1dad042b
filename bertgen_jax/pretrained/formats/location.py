"""The name of a checkpoint in, the directory and the file that are meant by it, out."""

import dataclasses
import os
import pathlib
import re

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files import paths
from bertgen_jax.pretrained.formats import own_runs

_OF_PREFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(\.\w+)$")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a checkpoint lies.

    Attributes:
      directory: the directory.
      prefix: of the TensorFlow checkpoint in it that was named; None if none was.
      file: the other file in it that was named; None if none was. For one of several
        that have an index it is the index.
    """

    directory: pathlib.Path
    prefix: pathlib.Path | None = None
    file: pathlib.Path | None = None


def locate(name: str | os.PathLike[str], what: str = "checkpoint") -> Place:
    """Finds what a name stands for.

    Args:
      name: of a directory, a file in it, or TensorFlow's prefix `bert_model.ckpt`;
        relative to BERTGEN_DATA_DIR or the working directory.
      what: what messages call it, such as "init.encoder".

    Raises:
      CheckpointError: there is nothing of that name.
    """
    name = os.fspath(name)
    if not name:
        raise CheckpointError(f"{what} is empty; expected a directory or a file.")
    index = _found(_OF_PREFIX.sub("", name) + ".index", what)
    if isinstance(index, pathlib.Path) and index.is_file():
        return Place(index.parent, prefix=index.with_suffix(""))
    path = _found(name, what)
    if isinstance(path, ConfigError):
        raise CheckpointError(str(path)) from path
    if path.is_file():
        if own_runs.find_model(path.parent) != path.parent:
            return Place(own_runs.find_model(path.parent))
        index = path.with_name(_SHARD.sub(r"\1.index.json", path.name))
        return Place(path.parent, file=index if index.is_file() else path)
    try:
        inner = [child for child in path.iterdir() if not child.name.startswith(".")]
    except OSError as error:
        raise CheckpointError(
            f"{what}: {path} cannot be read ({error.strerror}); expected a directory."
        ) from error
    if len(inner) == 1 and inner[0].is_dir():  # as archives unpack
        path = inner[0]
    return Place(own_runs.find_model(path))


def _found(name: str, what: str) -> pathlib.Path | ConfigError:
    """What is there of that name, or why there is nothing."""
    try:
        return paths.find(name, what).resolve()
    except ConfigError as error:
        return error
    except OSError as error:  # such as a name that is too long
        return ConfigError(f"{what} is {name!r:.99}: {error.strerror}.")
