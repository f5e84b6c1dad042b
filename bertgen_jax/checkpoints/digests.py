"""Digests of a directory's files: taken when it is complete, compared before a read.

Orbax restores flipped bits as wrong numbers without an error (it writes zstd without a
checksum), hence digests of our own.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any


def take(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file: {"a/b": {"bytes": 12, "sha256": "9f86d0..."}}."""
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    return {
        file.relative_to(directory).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
        }
        for file in files
    }


def find_damage(
    directory: pathlib.Path, taken: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """Compares every file that `take` listed with its digest; files since do not count.

    Returns:
      None when all are as they were; else what is wrong with the first that is not, as
      the end of a sentence: "state/d/3f2a has 10 bytes, 12 were written".
    """
    try:
        digests = [
            (name, directory / name, digest["bytes"], digest["sha256"])
            for name, digest in taken.items()
        ]
    except (AttributeError, KeyError, TypeError) as error:
        return f"the list of its digests is malformed ({error!r})"
    try:
        # Sizes first: they find a truncated file before gigabytes are hashed.
        for name, file, size, _ in digests:
            if not file.is_file():
                return f"{name} is missing"
            if (found := file.stat().st_size) != size:
                return f"{name} has {found} bytes, {size} were written"
        for name, file, _, sha256 in digests:
            if _sha256(file) != sha256:
                return f"{name} is not what was written (its SHA-256 differs)"
    except OSError as error:
        return f"{name} cannot be read ({error})"
    return None


def _sha256(file: pathlib.Path) -> str:
    with open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
