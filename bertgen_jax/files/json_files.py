"""Bytes of a foreign JSON file in; an object out whose keys are all different."""

import json
from typing import Any

from bertgen_jax.errors import CheckpointError


def parse(data: bytes, where: str) -> dict[str, Any]:
    """Parses a JSON object.

    Args:
      data: UTF-8. Its length bounds the memory that is needed.
      where: what messages name.

    Raises:
      CheckpointError: it is no JSON object, or one key stands in an object twice, of
        which other readers take either value.
    """
    try:
        values = json.loads(str(data, "utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{where}: not JSON ({error}). Copy or download the file again."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{where}: expected a JSON object.")
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r:.99} stands in an object twice")
        values[key] = value
    return values
