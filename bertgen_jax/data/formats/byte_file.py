"""Reads the bytes of a file, in one pass or at any position from several threads."""

import contextlib
import functools
import io
import os
import pathlib
from collections.abc import Callable, Iterator

from bertgen_jax import errors

# A longer record counts as damage, such as a quote that is never closed.
MAX_RECORD_BYTES = 1 << 28
_BUFFER_BYTES = 1 << 20
_OPEN_FILES = 128  # kept open for random access; the usual limit of a process is 1024


class ByteFile:
    """A local file that must not change while it is used.

    Attributes:
      path: the path without symbolic links.
      name: the name for messages; of decompressed content, the compressed file's.
      size: in bytes.
      identity: path, size and time of the last change (in nanoseconds).

    Raises:
      DataError: the file cannot be opened.
    """

    def __init__(self, path: pathlib.Path, name: str):
        self.path = path.resolve()
        self.name = name
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
        except OSError as error:
            raise errors.DataError(
                f"{name} cannot be read: {error.strerror}."
            ) from error
        self.size = status.st_size
        self.identity: list[str | int] = [
            str(self.path),
            status.st_size,
            status.st_mtime_ns,
        ]

    @contextlib.contextmanager
    def stream(
        self, feed: Callable[[bytes], object] | None = None
    ) -> Iterator[io.BufferedReader]:
        """Opens the file for reading from its first byte.

        Args:
          feed: called with all bytes that are read, such as the update of a digest.

        Raises:
          DataError: the file changed before the end of the block.
        """
        with open(self.path, "rb", buffering=0) as raw:
            reader = raw if feed is None else _FeedingReader(raw, feed)
            yield io.BufferedReader(reader, _BUFFER_BYTES)
            self.check_unchanged(raw.fileno())

    def read(self, start: int, end: int) -> bytes:
        """Returns the bytes from `start` to `end`; safe to call from several threads.

        Raises:
          DataError: the file has changed.
        """
        path, size, changed = self.identity
        descriptor = _descriptor(str(path), int(size), int(changed))
        self.check_unchanged(descriptor.number)
        return os.pread(descriptor.number, end - start, start)

    def check_unchanged(self, descriptor: int | None = None) -> None:
        """Checks the size and the time of the last change.

        Args:
          descriptor: the open file; None checks the file that has the path now.

        Raises:
          DataError: the file has changed.
        """
        status = os.stat(self.path if descriptor is None else descriptor)
        if [status.st_size, status.st_mtime_ns] != self.identity[1:]:
            raise errors.DataError(
                f"{self.name} was changed while it was in use. Start again; a resumed "
                "run continues only with the texts that it began with."
            )


class _FeedingReader(io.RawIOBase):
    """A raw file that passes all bytes that are read to a function."""

    def __init__(self, raw: io.FileIO, feed: Callable[[bytes], object]):
        self._raw = raw
        self._feed = feed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = self._raw.readinto(buffer)
        self._feed(buffer[:count])
        return count


class _Descriptor:
    """An open file, which is closed when no thread uses it any more."""

    def __init__(self, number: int):
        self.number = number

    def __del__(self):
        os.close(self.number)


@functools.lru_cache(maxsize=_OPEN_FILES)
def _descriptor(path: str, size: int, changed: int) -> _Descriptor:
    """Opens a file. The whole identity is the key: a replaced file is another file."""
    del size, changed
    return _Descriptor(os.open(path, os.O_RDONLY))
