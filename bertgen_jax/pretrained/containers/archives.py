"""A .zip or .tar in; its files out, in a private directory that goes with a `with`.

Nothing in an archive decides where, what or how much is written: each member is checked
before it is, and becomes a plain file or directory below that directory.
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
from typing import BinaryIO

from bertgen_jax.errors import CheckpointError

_ZIP, _TAR, _GZIPPED_TAR = ".zip", ".tar", (".tar.gz", ".tgz")

_MAX_MEMBERS = 2_000
_MAX_DEPTH = 20
# Of tar. In Python before 3.11.10 it takes the square of their length to read them.
_MAX_HEADER_BYTES = 1 << 13
_MAX_HEADERS_BYTES = 1 << 22
# Weights shrink by a tenth and texts to a fourth. What grows a hundredfold is made to
# fill disks, once there is enough of it to matter.
_MAX_RATIO = 100
_HARMLESS_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16

_ENCRYPTED = 1  # bit of a zip member's flags
# What the readers of the standard library raise for damaged archives.
UNREADABLE = (
    EOFError,
    NotImplementedError,
    RecursionError,
    ValueError,
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, and it is an archive by its name.

    The bytes do not tell: what torch.save writes is a zip archive too.
    """
    path = pathlib.Path(path)
    return path.name.lower().endswith((_ZIP, _TAR, *_GZIPPED_TAR)) and path.is_file()


@contextlib.contextmanager
def unpacked(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Unpacks an archive for as long as the context lasts.

    Linux keeps a removed file while it is mapped into memory, so tensors may outlive
    the context there; elsewhere the directory cannot be removed before they are gone.

    Args:
      path: a .zip, .tar, .tar.gz or .tgz.

    Yields:
      A new directory, in the one that TMPDIR names, with all that is in the archive.

    Raises:
      CheckpointError: the archive is damaged or encrypted; a member is a link or a
        device, its name leads out of the archive, or two have one name; there are more
        than 2,000, or they need more than the free disk or 100 times the archive.
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
        yield root


class _Unpacking:
    """What is unpacked so far, and how much may still be.

    Attributes:
      path: of the archive.
    """

    def __init__(self, path: pathlib.Path, root: pathlib.Path):
        self.path = path
        self._root = root
        self._names: set[pathlib.PurePosixPath] = set()
        self._free = shutil.disk_usage(root).free
        self._left = max(_HARMLESS_BYTES, _MAX_RATIO * path.stat().st_size)

    def refused(self, member: str, found: str) -> CheckpointError:
        """The error of one member."""
        return CheckpointError(
            f"{self.path}: the member {member!r:.99} {found}. Expected plain files "
            "of a checkpoint. Or unpack what you trust, and name the directory."
        )

    def count(self, size: int, member: str) -> None:
        """Takes `size` bytes from what may still come out of the archive."""
        self._left -= size
        self._free -= size
        if self._left < 0:
            limit = f"{_MAX_RATIO} times the size of the archive"
            raise self.refused(member, f"makes its files exceed {limit}")
        if self._free < 0:
            limit = "the free space of the directory that TMPDIR names"
            raise self.refused(member, f"makes its files exceed {limit}")

    def make_directory(self, member: str) -> None:
        """Makes a directory."""
        self._place(member).mkdir(parents=True, exist_ok=True)

    def make_file(self, member: str, size: int, source: BinaryIO) -> None:
        """Makes a file of the next `size` bytes."""
        target = self._place(member)
        self.count(size, member)
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size
        with target.open("xb") as file:
            while left > 0 and (chunk := source.read(min(left, _CHUNK_BYTES))):
                left -= file.write(chunk)
        if left:
            raise self.refused(member, f"has {size - left:,} bytes, not {size:,}")

    def _place(self, member: str) -> pathlib.Path:
        """Where a member goes, if it may."""
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
            raise self.refused(member, "has the name of another one")
        if len(self._names) == _MAX_MEMBERS:
            raise self.refused(member, f"comes after {_MAX_MEMBERS:,} others")
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
            with archive.open(info) as source:  # which verifies the CRC-32
                unpacking.make_file(info.filename, info.file_size, source)


def _unpack_tar(unpacking: _Unpacking) -> None:
    with contextlib.ExitStack() as stack:
        file: BinaryIO = stack.enter_context(unpacking.path.open("rb"))
        if unpacking.path.name.lower().endswith(_GZIPPED_TAR):
            file = stack.enter_context(gzip.GzipFile(fileobj=file))
        headers = _Headers(file)
        archive = stack.enter_context(tarfile.open(fileobj=headers, mode="r:"))
        while (info := archive.next()) is not None:
            archive.members.clear()  # it keeps them all
            if info.isdir():
                unpacking.make_directory(info.name)
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse:
                raise unpacking.refused(info.name, "is a link, a device or sparse")
            file.seek(info.offset_data)
            unpacking.make_file(info.name, info.size, file)
        # The end is a block of zeros, but tarfile takes a damaged header for it too.
        if headers.last != bytes(tarfile.BLOCKSIZE):
            raise CheckpointError(
                f"{unpacking.path}: cut off or damaged after its first "
                f"{archive.offset:,} bytes. Copy or download it again."
            )
        while rest := file.read(_CHUNK_BYTES):  # to its end, where gzip has a CRC-32
            unpacking.count(len(rest), "(after the last)")


class _Headers:
    """A tar file of which the headers are read, and no more of them than is sensible.

    What they say before a name, or in place of it, has the size that they say.

    Attributes:
      last: what was read last.
    """

    def __init__(self, file: BinaryIO):
        self.seek, self.tell = file.seek, file.tell
        self._file = file
        self._left = _MAX_HEADERS_BYTES
        self.last = b""

    def read(self, size: int) -> bytes:
        self._left -= size
        if not 0 <= size <= min(_MAX_HEADER_BYTES, self._left):
            raise tarfile.ReadError(f"a header of {size:,} bytes, or too many")
        self.last = self._file.read(size)
        return self.last
