"""Decompresses .gz files into the cache, because their rows are read in any order."""

import gzip
import logging
import pathlib
import shutil
import zlib

from bertgen_jax import errors
from bertgen_jax.data import cache
from bertgen_jax.data.formats import byte_file

_log = logging.getLogger(__name__)

_FORMAT = 1  # part of the key: raise it when the entry changes
_CHUNK_BYTES = 1 << 20


def decompressed(compressed: byte_file.ByteFile) -> byte_file.ByteFile:
    """Returns the content of a gzip file; the first time, decompresses and verifies it.

    The key of an entry is made of path, size and time of the last change:

        CACHE/decompressed/KEY/SIZE    the content; its name is its size in bytes

    By its name, an entry that was cut off later is noticed and made again.

    Raises:
      DataError: the file is not a gzip file, or it is damaged or cut off.
    """
    folder = cache.folder_of("decompressed", [_FORMAT, *compressed.identity])
    content = _find(folder)
    if content is None:
        shutil.rmtree(folder, ignore_errors=True)
        with cache.new_entry(folder) as building:
            _decompress(compressed, building)
        content = _find(folder)
    if content is None:
        raise errors.DataError(f"The cache entry {folder} was removed while in use.")
    return byte_file.ByteFile(content, compressed.name)


def _find(folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the file of an entry; None if there is no undamaged one."""
    if not folder.exists():
        return None
    files = list(folder.iterdir())
    if len(files) == 1 and files[0].name == str(files[0].stat().st_size):
        return files[0]
    _log.warning("The cached content %s is damaged: made again.", folder)
    return None


def _decompress(compressed: byte_file.ByteFile, folder: pathlib.Path) -> None:
    _log.info("Decompressing %s (%s bytes).", compressed.name, f"{compressed.size:,}")
    part = folder / "part"
    try:
        # The gzip module verifies the length and the CRC-32 of every member.
        with gzip.open(compressed.path) as content, part.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise errors.DataError(
            f"{compressed.name} cannot be decompressed: {error}. It is damaged, cut "
            "off or not a gzip file; get it again."
        ) from error
    compressed.check_unchanged()
    part.rename(folder / str(part.stat().st_size))
