"""A path in; its bytes out, in one digested pass or at random from several threads."""

import contextlib
import functools
import io
import os
import pathlib
from collections.abc import Callable, Iterator

from bertgen_jax import errors

# A longer record is taken for damage, such as a quote that is never closed.
MAX_RECORD_BYTES = 1 << 28
_BUFFER_BYTES = 1 << 20
_OPEN_FILES = 128  # kept open for random access; the usual limit of a process is 1024


class ByteFile:
    """A local file that must not change while it is used.

    Raises:
      DataError: it cannot be opened.

    Attributes:
      path: where it is.
      name: what messages call it; the compressed file where this is its content.
      size: in bytes.
      identity: path, size and time of the last change (in nanoseconds).
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
        self.identity = [str(self.path), status.st_size, status.st_mtime_ns]

    @contextlib.contextmanager
    def stream(
        self, feed: Callable[[bytes], object] | None = None
    ) -> Iterator[io.BufferedReader]:
        """The file from its first byte; what is read is fed to a digest on its way.

        Raises:
          DataError: the file changed before it was read to its end.
        """
        with open(self.path, "rb", buffering=0) as raw:
            source = raw if feed is None else _Fed(raw, feed)
            yield io.BufferedReader(source, _BUFFER_BYTES)
            self.check_unchanged(raw.fileno())

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`.

        Raises:
          DataError: the file is no longer the one that was indexed.
        """
        opened = _descriptor(*self.identity)
        self.check_unchanged(opened.number)
        return os.pread(opened.number, end - start, start)

    def check_unchanged(self, descriptor: int | None = None) -> None:
        """Compares size and time of an open file, else of whatever has the name now.

        Raises:
          DataError: the file is no longer what it was at first.
        """
        status = os.stat(self.path if descriptor is None else descriptor)
        if [status.st_size, status.st_mtime_ns] != self.identity[1:]:
            raise errors.DataError(
                f"{self.name} was changed while it was in use. Start again; a run that "
                "is resumed goes on only with the texts it began with."
            )


class _Fed(io.RawIOBase):
    """A raw file that shows what it reads to a function."""

    def __init__(self, raw: io.RawIOBase, feed: Callable[[bytes], object]):
        self._raw = raw
        self._feed = feed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        count = self._raw.readinto(buffer)
        self._feed(buffer[:count])
        return count


class _Descriptor:
    """An open file, closed when the last thread lets go of it."""

    def __init__(self, number: int):
        self.number = number

    def __del__(self):
        os.close(self.number)


@functools.lru_cache(maxsize=_OPEN_FILES)
def _descriptor(path: str, size: int, changed: int) -> _Descriptor:
    """Keyed by the whole identity: a file of the same name is another file."""
    del size, changed
    return _Descriptor(os.open(path, os.O_RDONLY))
