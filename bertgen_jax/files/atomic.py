"""Text in, a file out that is written whole or not at all."""

import errno
import os
import pathlib
from collections.abc import Iterable

from bertgen_jax.errors import DataError


def write(path: pathlib.Path, parts: Iterable[str]) -> None:
    """Writes text, in parts, in UTF-8; a file that was there is replaced at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    with temporary.open("w", encoding="utf-8") as file:
        file.writelines(parts)
    temporary.replace(path)


def check(path: pathlib.Path) -> None:
    """Makes sure that `path` can be written, before the work that is to fill it.

    Raises:
      DataError: it cannot.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _beside(path).touch()
        _beside(path).unlink()
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from None


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".tmp")
