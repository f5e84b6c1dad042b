"""A path in; the bytes of the file out, mapped into memory rather than read."""

import mmap
import pathlib
import stat

from bertgen_jax.errors import CheckpointError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def mapped(path: pathlib.Path) -> mmap.mmap:
    """Maps a file, read-only.

    The mapping lasts as long as something refers to it: on Linux also after the file
    is removed. A file that is cut off in the meantime, though, kills its readers, so
    whoever replaces a file should write another one and rename it.

    Raises:
      CheckpointError: there is no such file, or nothing in it.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for a writer
            raise CheckpointError(f"{path}: not a file. Expected one with weights.")
        if not status.st_size:
            raise CheckpointError(f"{path}: empty. Copy or download it again.")
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected a file with weights."
        ) from error
    if content[: len(_LFS_POINTER)] == _LFS_POINTER:
        raise CheckpointError(
            f"{path}: a pointer of Git LFS instead of the file that it stands for. "
            "Fetch that one with `git lfs pull`."
        )
    return content
