"""Unpacks .zip and .tar archives safely into a temporary directory.

An archive does not decide where, what or how much is written. Each member is checked
first, and becomes a plain file or directory inside the temporary directory.
"""

import contextlib
import gzip
import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from bertgen_jax.errors import BertgenError, CheckpointError

_ZIP, _TAR, _GZIPPED_TAR = ".zip", ".tar", (".tar.gz", ".tgz")

_MAX_MEMBERS = 2_000
_MAX_DEPTH = 20
# Headers of tar. Python before 3.11.10 needs quadratic time to read a long one.
_MAX_HEADER_BYTES = 1 << 13
_MAX_HEADERS_BYTES = 1 << 22
# Compression makes weights a tenth smaller and texts four times. An archive that grows
# a hundredfold is made to fill disks. Below the second limit that does not matter.
_MAX_RATIO = 100
_HARMLESS_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16

_ENCRYPTED = 1  # a bit of the flags of a zip member
# What the standard library raises for damaged archives.
UNREADABLE = (
    EOFError,
    NotImplementedError,
    OverflowError,  # of a number in a header, when it becomes a place in the file
    RecursionError,
    ValueError,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether the file exists and its name is that of an archive.

    The contents do not tell, because torch.save writes zip archives as well.
    """
    path = pathlib.Path(path)
    return path.name.lower().endswith((_ZIP, _TAR, *_GZIPPED_TAR)) and path.is_file()


@contextlib.contextmanager
def unpacked(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Unpacks an archive for as long as the context lasts.

    On Linux a removed file exists while it is mapped into memory, so that tensors may
    outlive the context. On other systems the tensors must be gone before it ends.

    An error that the block raises names the archive in place of the directory.

    Args:
      path: a .zip, .tar, .tar.gz or .tgz.

    Yields:
      A new directory with the contents of the archive, inside the one of TMPDIR.

    Raises:
      CheckpointError: the archive is damaged or encrypted; a member is a link or a
        device, its name leads out of the archive, or two have the same name; there are
        more than 2,000 members, or they need more than the free disk space or than 100
        times the size of the archive.
    """
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(prefix="bertgen-") as folder:
        root = pathlib.Path(folder)
        try:
            unpacking = _Unpacking(path, root)
            if path.name.lower().endswith(_ZIP):
                _unpack_zip(unpacking)
            else:
                _unpack_tar(unpacking)
        except CheckpointError:
            raise
        except UNREADABLE as error:
            raise CheckpointError(
                f"{path}: not a whole archive ({error}). Copy or download it again."
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be unpacked ({error}). Expected an archive, and a "
                "place for its files in the directory that TMPDIR names."
            ) from error
        try:
            yield root
        except BertgenError as error:  # the user knows the archive, not the directory
            raise type(error)(str(error).replace(folder, str(path))) from error


class _Unpacking:
    """The state of unpacking: which names are taken, and how many bytes may follow.

    Attributes:
      path: the archive.
    """

    def __init__(self, path: pathlib.Path, root: pathlib.Path):
        self.path = path
        self._root = root
        self._names: set[pathlib.PurePosixPath] = set()
        self._free = shutil.disk_usage(root).free
        self._left = max(_HARMLESS_BYTES, _MAX_RATIO * path.stat().st_size)

    def refused(self, member: str, problem: str) -> CheckpointError:
        """Returns the error for a member."""
        return CheckpointError(
            f"{self.path}: the member {member!r:.99} {problem}. Expected plain files "
            "of a checkpoint. If you trust the archive, unpack it and name the "
            "directory."
        )

    def count(self, size: int, member: str) -> None:
        """Subtracts `size` bytes from those that the archive may still fill."""
        self._left -= size
        self._free -= size
        if self._left < 0:
            limit = f"{_MAX_RATIO} times the size of the archive"
            raise self.refused(member, f"makes its files exceed {limit}")
        if self._free < 0:
            limit = "the free space of the directory that TMPDIR names"
            raise self.refused(member, f"makes its files exceed {limit}")

    def make_directory(self, member: str) -> None:
        """Creates a directory."""
        self._target(member).mkdir(parents=True, exist_ok=True)

    def make_file(self, member: str, size: int, stream: IO[bytes]) -> None:
        """Creates a file of the next `size` bytes of a stream."""
        target = self._target(member)
        self.count(size, member)
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size
        with target.open("xb") as file:
            while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
                left -= file.write(chunk)
        if left:
            raise self.refused(member, f"has {size - left:,} bytes, not {size:,}")

    def _target(self, member: str) -> pathlib.Path:
        """Returns the path that a member is written to, after checking its name."""
        name = pathlib.PurePosixPath(member)  # without "." and "//"
        if (
            name.is_absolute()
            or ".." in name.parts
            or {"\\", ":"} & set(member)  # C:\file
            or not member.isprintable()
            or len(name.parts) > _MAX_DEPTH
        ):
            raise self.refused(member, "has a name that is no path inside an archive")
        if name in self._names:
            raise self.refused(member, "has the name of another member")
        if len(self._names) == _MAX_MEMBERS:
            raise self.refused(member, f"comes after {_MAX_MEMBERS:,} other members")
        self._names.add(name)
        return self._root / name


def _unpack_zip(unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(unpacking.path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if not written on Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise unpacking.refused(info.filename, "is a link or a device")
            if info.flag_bits & _ENCRYPTED:
                raise unpacking.refused(info.filename, "is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise unpacking.refused(info.filename, "is compressed in a rare way")
            if info.filename.endswith("/"):
                unpacking.make_directory(info.filename)
                continue
            with archive.open(info) as stream:  # verifies the CRC-32
                unpacking.make_file(info.filename, info.file_size, stream)


def _unpack_tar(unpacking: _Unpacking) -> None:
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(unpacking.path.open("rb"))
        if unpacking.path.name.lower().endswith(_GZIPPED_TAR):
            file = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=file)))
        headers = _Headers(file)
        # tarfile needs no other methods to read.
        fileobj = cast(IO[bytes], headers)
        archive = stack.enter_context(tarfile.open(fileobj=fileobj, mode="r:"))
        while (info := archive.next()) is not None:
            cast(Any, archive).members.clear()  # tarfile would keep them all
            if info.isdir():
                unpacking.make_directory(info.name)
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse:
                raise unpacking.refused(info.name, "is a link, a device or sparse")
            file.seek(info.offset_data)
            unpacking.make_file(info.name, info.size, file)
        # An archive ends with a block of zeros. tarfile also stops at a damaged header.
        if headers.last != bytes(tarfile.BLOCKSIZE):
            raise CheckpointError(
                f"{unpacking.path}: cut off or damaged after its first "
                f"{archive.offset:,} bytes. Copy or download it again."
            )
        while rest := file.read(_CHUNK_BYTES):  # to the end, where gzip has a CRC-32
            unpacking.count(len(rest), "(after the last)")


class _Headers:
    """The tar file from which tarfile reads headers, with bounds on their sizes.

    A header may declare that a long name follows it, of any size.

    Attributes:
      last: the bytes that were read last.
    """

    def __init__(self, file: IO[bytes]):
        self.seek, self.tell = file.seek, file.tell
        self._file = file
        self._left = _MAX_HEADERS_BYTES
        self.last = b""

    def read(self, size: int) -> bytes:
        """Reads a header, or raises an error that tarfile passes on."""
        self._left -= size
        if not 0 <= size <= min(_MAX_HEADER_BYTES, self._left):
            raise tarfile.ReadError(f"a header of {size:,} bytes, or too many")
        self.last = self._file.read(size)
        return self.last
