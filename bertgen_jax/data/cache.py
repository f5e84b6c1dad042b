"""Stores derived data in a cache on disk, one complete folder an entry."""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence

from bertgen_jax import errors
from bertgen_jax.files import atomic, paths


def folder_of(kind: str, key: Sequence[object]) -> pathlib.Path:
    """Returns the folder of the entry with this key, a JSON-like value."""
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16)
    return paths.cache_dir() / kind / digest.hexdigest()


@contextlib.contextmanager
def new_entry(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Creates a folder to fill, which becomes the entry at the end of the block.

    Several processes may fill the same entry at once: the first one to finish provides
    it, and the others' folders are dropped. A killed process leaves a hidden folder
    that nobody opens.

    Raises:
      DataError: the folder cannot be written.
    """
    is_filled = False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic.new_directory(folder) as building:
            yield building
            is_filled = True
    except OSError as error:
        if is_filled and folder.is_dir():
            return  # another process has finished the same entry
        raise errors.DataError(
            f"The cache entry {folder} cannot be written: {error}. BERTGEN_CACHE_DIR "
            "names another folder for derived files."
        ) from error
