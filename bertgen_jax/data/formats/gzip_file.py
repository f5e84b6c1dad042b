"""A .gz file in, its content out: a file in the cache that gives random access."""

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
    """The content of a gzip file, decompressed and verified when it is asked for first.

    Entries are named after path, size and time of the last change, and hold

        CACHE/decompressed/KEY/SIZE    the content, with its size in bytes as its name

    so that an entry that was cut off later is noticed and made again.

    Raises:
      DataError: the file is no gzip file, damaged or cut off.
    """
    folder = cache.folder_of("decompressed", [_FORMAT, *compressed.identity])
    content = _find(folder)
    if content is None:
        shutil.rmtree(folder, ignore_errors=True)
        with cache.new_entry(folder) as built:
            _decompress(compressed, built)
        content = _find(folder)
    return byte_file.ByteFile(content, compressed.name)


def _find(folder: pathlib.Path) -> pathlib.Path | None:
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
        with gzip.open(compressed.path) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise errors.DataError(
            f"{compressed.name} cannot be decompressed: {error}. It is damaged, cut "
            "off or no gzip file; get it again."
        ) from error
    compressed.check_unchanged()
    part.rename(folder / str(part.stat().st_size))
