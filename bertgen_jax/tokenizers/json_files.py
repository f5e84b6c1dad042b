"""JSON files of tokenizers in; checked Python values out."""

import json
import os
import pathlib
import reprlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax import errors

# The largest published tokenizer.json has 35 MB. Reading takes several times as much.
MOST_BYTES = 2**27


def read_text(file: str | os.PathLike[str]) -> str:
    """The text of a file of moderate size; line ends of any kind become "\\n".

    Raises:
      TokenizerError: it cannot be read, is not UTF-8, or too large for a tokenizer's.
    """
    file = pathlib.Path(file)
    try:
        if file.stat().st_size > MOST_BYTES:
            raise errors.TokenizerError(
                f"{file} has {file.stat().st_size:,} bytes; expected a file of a "
                f"tokenizer, which has at most {MOST_BYTES:,}."
            )
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise errors.TokenizerError(f"Cannot read {file}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise errors.TokenizerError(
            f"{file} is not text in UTF-8 ({error.reason} at byte {error.start:,}); "
            "expected a file of a tokenizer."
        ) from error


def read_object(file: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      TokenizerError: it cannot be read, or holds something else.
    """
    text = read_text(file)
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise errors.TokenizerError(f"{file} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise errors.TokenizerError(
            f"{file} holds a JSON {type(value).__name__}; expected an object."
        )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shown(twice)} stands in an object twice")
    return value


def field(
    value: Mapping[str, Any], key: str, kind: Any, file: str | os.PathLike[str]
) -> Any:
    """`value[key]`; None if it is absent or null.

    Raises:
      TokenizerError: it is not of the type, or union of types, `kind`.
    """
    found = value.get(key)
    if found is None:
        return None
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise errors.TokenizerError(
            f"{key} in {file} is {shown(found)}; expected "
            f"{getattr(kind, '__name__', kind)}."
        )
    return found


def shown(value: Any) -> str:
    """A value as a message quotes it: on a line, and not to any depth."""
    return reprlib.repr(value)
