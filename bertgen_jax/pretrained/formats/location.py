"""Finds the directory and the file that the name of a checkpoint stands for."""

import dataclasses
import os
import pathlib
import re

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files import paths

MODEL_CONFIG = "model_config.json"  # the architecture, in a work directory

_BUNDLE_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_SHARD_SUFFIX = re.compile(r"-\d{5}-of-\d{5}(\.\w+)$")


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a checkpoint is.

    Attributes:
      directory: the directory with its files.
      prefix: the TensorFlow prefix, such as DIR/bert_model.ckpt, if one was named.
      file: the other file in the directory, if one was named. For a shard it is the
        index of the shards.
    """

    directory: pathlib.Path
    prefix: pathlib.Path | None = None
    file: pathlib.Path | None = None


def locate(name: str | os.PathLike[str], what: str = "checkpoint") -> Location:
    """Finds the directory and the file that a name stands for.

    Args:
      name: a directory, a file in it, or TensorFlow's prefix `bert_model.ckpt`;
        relative to BERTGEN_DATA_DIR or the working directory.
      what: the name of the checkpoint in messages, such as "init.encoder".

    Raises:
      CheckpointError: there is no such file or directory.
    """
    name = os.fspath(name)
    if not name:
        raise CheckpointError(f"{what} is empty; expected a directory or a file.")
    try:
        index = _find(_BUNDLE_SUFFIX.sub("", name) + ".index", what)
    except CheckpointError:
        index = None
    if index is not None and index.is_file():
        return Location(index.parent, prefix=index.with_suffix(""))
    path = _find(name, what)
    if path.is_file():
        model = _model_of_run(path.parent)
        if model != path.parent:
            return Location(model)
        index = path.with_name(_SHARD_SUFFIX.sub(r"\1.index.json", path.name))
        return Location(path.parent, file=index if index.is_file() else path)
    try:
        inner = [child for child in path.iterdir() if not child.name.startswith(".")]
    except OSError as error:
        raise CheckpointError(
            f"{what}: {path} cannot be read ({error.strerror}); expected a directory."
        ) from error
    if len(inner) == 1 and inner[0].is_dir():  # as in many unpacked archives
        path = inner[0]
    return Location(_model_of_run(path))


def _model_of_run(directory: pathlib.Path) -> pathlib.Path:
    """Returns WORKDIR/model of a finished run; any other directory unchanged."""
    model = directory / "model"
    is_run = (directory / MODEL_CONFIG).is_file()
    return model if is_run and (model / "config.json").is_file() else directory


def _find(name: str, what: str) -> pathlib.Path:
    try:
        return paths.find(name, what).resolve()
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:  # such as a name that is too long
        raise CheckpointError(f"{what} is {name!r:.99}: {error.strerror}.") from error
