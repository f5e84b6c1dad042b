"""Entries of the cache on disk: folders that are whole or not there."""

import contextlib
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

from bertgen_jax import errors
from bertgen_jax.files import paths


def folder_of(kind: str, key: Sequence[object]) -> pathlib.Path:
    """The folder of the entry that is decided by `key`, a JSON-like value."""
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16)
    return paths.cache_dir() / kind / digest.hexdigest()


@contextlib.contextmanager
def new_entry(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to fill, which gets the entry's name when it was filled without error.

    Several processes may make the same entry at once: the first one to finish gives it,
    and what the others made is dropped. What a killed process leaves half-made stays in
    a hidden folder that nobody opens.

    Raises:
      DataError: the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            built = pathlib.Path(scratch) / folder.name
            built.mkdir()
            yield built
            try:
                built.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    except OSError as error:
        raise errors.DataError(
            f"The cache entry {folder} cannot be written: {error}. BERTGEN_CACHE_DIR "
            "names another folder for derived files."
        ) from error
