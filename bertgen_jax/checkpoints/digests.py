"""Digests of the files in a directory, to detect damage before a checkpoint is read.

Orbax writes zstd without a checksum and restores flipped bits as wrong numbers without
an error, so each step has digests of its own.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any


def compute(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Returns the size and SHA-256 of every file below a directory.

    Returns:
      {"a/b": {"bytes": 12, "sha256": "9f86d0..."}, ...}
    """
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    return {
        file.relative_to(directory).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
        }
        for file in files
    }


def find_damage(
    directory: pathlib.Path, recorded: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """Compares files with their recorded digests; files without one are ignored.

    Args:
      directory: what `compute` was called with.
      recorded: what it returned.

    Returns:
      None if all files are unchanged, else what is wrong with the first damaged one, as
      the end of a sentence: "state/d/3f2a has 10 bytes, 12 were written".
    """
    try:
        digests = [
            (name, directory / name, digest["bytes"], digest["sha256"])
            for name, digest in recorded.items()
        ]
    except (AttributeError, KeyError, TypeError) as error:
        return f"the list of its digests is malformed ({error!r})"
    try:
        # Sizes first: they reveal a truncated file before gigabytes are hashed.
        for name, file, expected_size, _ in digests:
            if not file.is_file():
                return f"{name} is missing"
            if (size := file.stat().st_size) != expected_size:
                return f"{name} has {size} bytes, {expected_size} were written"
        for name, file, _, sha256 in digests:
            if _sha256(file) != sha256:
                return f"{name} differs from what was written (its SHA-256 changed)"
    except OSError as error:
        return f"a file cannot be read ({error})"
    return None


def _sha256(file: pathlib.Path) -> str:
    with open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
