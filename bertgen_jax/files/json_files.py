"""Reads and writes JSON objects. Reading is strict: a repeated key is an error."""

import json
import os
import pathlib
import reprlib
from typing import Any

from bertgen_jax.errors import BertgenError, CheckpointError
from bertgen_jax.files import atomic

# The largest published file, a tokenizer.json, has 35 MB. Parsing takes several times
# its size in memory.
MAX_BYTES = 1 << 27


def read_object(
    path: str | os.PathLike[str],
    *,
    error: type[BertgenError] = CheckpointError,
    expected: str = "a file with a JSON object",
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Args:
      path: the file.
      error: the class of error to raise.
      expected: what the file should be, for the message.
      max_bytes: a larger file is refused before it is read.

    Raises:
      error: the file is missing, too large, not UTF-8 or not a JSON object, or an
        object has a key twice.
    """
    path = pathlib.Path(path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise error(
                f"{path}: {size:,} bytes; expected {expected} of at most "
                f"{max_bytes:,} bytes."
            )
        data = path.read_bytes()
    except OSError as failure:
        raise error(
            f"{path}: {failure.strerror or failure}. Expected {expected}."
        ) from failure
    return parse_object(data, str(path), error=error)


def parse_object(
    data: bytes | str, name: str, *, error: type[BertgenError] = CheckpointError
) -> dict[str, Any]:
    """Parses one JSON object.

    Args:
      data: the text, in UTF-8 if it is bytes. Its length bounds the memory needed.
      name: what messages call it, usually its file.
      error: the class of error to raise.

    Raises:
      error: it is not a JSON object, or an object has a key twice; readers differ in
        which of the two values they use.
    """
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as failure:
        raise error(
            f"{name}: not JSON ({failure}). Copy or download the file again."
        ) from failure
    if not isinstance(value, dict):
        raise error(
            f"{name}: found a JSON {type(value).__name__}, expected a JSON object."
        )
    return value


def write_object(path: pathlib.Path, value: Any, *, indent: int = 2) -> None:
    """Writes a JSON-like value atomically, with a line break at the end.

    Raises:
      OSError: the file cannot be written.
    """
    atomic.write_text(path, json.dumps(value, indent=indent) + "\n")


def shown(value: Any) -> str:
    """Returns a short representation of a value for messages, on one line."""
    return reprlib.repr(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shown(key)} stands twice in one object")
            seen.add(key)
    return values
