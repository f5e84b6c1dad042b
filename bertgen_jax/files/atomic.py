"""Atomic writes: a file or directory appears complete, or it does not appear."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

from bertgen_jax.errors import DataError


@contextlib.contextmanager
def new_file(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file that takes the name `path` when the block ends.

    The parent directories are created, and the contents reach the disk before the
    rename, so that a power cut leaves either the old file or the new one. If the block
    raises, an existing file at `path` stays as it was.

    Yields:
      A file to write bytes to.

    Raises:
      OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_name(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: pathlib.Path, text: str | Iterable[str]) -> None:
    """Writes a UTF-8 text file, given whole or in parts.

    Raises:
      OSError: the file cannot be written.
    """
    with new_file(path) as file:
        for part in [text] if isinstance(text, str) else text:
            file.write(part.encode("utf-8"))


@contextlib.contextmanager
def new_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Creates a temporary directory that takes the name `path` when the block ends.

    If the block raises, nothing is left, not even parent directories that were created
    for it. A directory at `path` must be empty or absent by the end of the block.

    Yields:
      An empty directory beside `path`, with the same name as `path`.

    Raises:
      OSError: the directory cannot be written, or `path` is not empty.
    """
    new_parents = [parent for parent in path.parents if not parent.exists()]
    outer = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Hidden, so that a glob over the parent does not see it. mkdtemp makes it
        # private; the inner directory gets the user's ordinary permissions.
        outer = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
        inner = pathlib.Path(outer) / path.name
        inner.mkdir()
        yield inner
        os.replace(inner, path)
    finally:
        if outer is not None:
            shutil.rmtree(outer, ignore_errors=True)
        for parent in new_parents:  # rmdir removes only empty ones
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_writable(path: pathlib.Path) -> None:
    """Checks that a file can be written to `path`, before the work that fills it.

    Raises:
      DataError: it cannot be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        _temporary_name(path).touch()
        _temporary_name(path).unlink()
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from None


def _temporary_name(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".tmp")
