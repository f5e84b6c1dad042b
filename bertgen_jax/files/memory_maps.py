"""Maps files of weights into memory, so that only the used parts are read.

Its errors are `CheckpointError`s, because only readers of checkpoints use it.
"""

import mmap
import pathlib
import stat

from bertgen_jax.errors import CheckpointError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def mapped(path: pathlib.Path) -> mmap.mmap:
    """Maps a file, read-only.

    The mapping stays valid as long as it is referenced, on Linux even after the file is
    removed. But reading beyond the end of a file that was truncated kills the process.
    So replace a file by writing another one and renaming it.

    Raises:
      CheckpointError: there is no such file, or it is empty or a pointer of Git LFS.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
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
            f"{path}: a pointer of Git LFS instead of the file itself. Fetch the file "
            "with `git lfs pull`."
        )
    return content
