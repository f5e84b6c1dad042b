"""A model directory in, its configuration out, made by whichever kind it is of."""

import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError, ConfigError

CONFIG = "config.json"


def read(
    directory: str | os.PathLike[str],
    kinds: Mapping[str, Callable[[Mapping[str, Any]], Any]],
    file: str = CONFIG,
) -> Any:
    """Reads the configuration of a model directory.

    Args:
      directory: the model's.
      kinds: by `model_type`, what makes a configuration of the file's mapping.
      file: its name in the directory.

    Raises:
      CheckpointError: there is no such file, it describes a model of another kind, or a
        value in it cannot be meant.
    """
    path = pathlib.Path(directory) / file
    values = read_json(path)
    found = values.get("model_type")
    if found not in list(kinds):  # it may be a list or an object, which have no hash
        raise CheckpointError(
            f"{path}: model_type is {found!r}; expected "
            f"{' or '.join(map(repr, kinds))}."
        )
    try:
        return kinds[found](values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON file of a model directory.

    Raises:
      CheckpointError: the file is missing or holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected a model directory with a "
            f"{path.name}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}).") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object.")
    return values
