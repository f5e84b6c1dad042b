"""Recognizes the format of a data file by the suffix of its name, and opens files."""

import pathlib
import re

from bertgen_jax.data.formats import byte_file, gzip_file

_FORMATS = [
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "tfrecord",
    "tfrecords",
    "sgm",
    "sgml",
]
# A shard's number may stand behind the suffix: train.tfrecord-00000-of-00010.gz
_SUFFIX = re.compile(
    rf"\.(?P<format>{'|'.join(_FORMATS)})(-\d+-of-\d+)?(\.gz)?$", re.IGNORECASE
)


def format_of(name: str) -> str | None:
    """Returns the format in lower case, such as "jsonl"; None for any other suffix.

    "train.CSV.gz" -> "csv"    "train.en" -> None
    """
    match = _SUFFIX.search(name)
    return None if match is None else match["format"].lower()


def open_file(path: pathlib.Path, name: str | None = None) -> byte_file.ByteFile:
    """Opens a file for reading; with the suffix .gz, its decompressed content.

    Args:
      path: the file.
      name: what messages call it; None means the path.

    Raises:
      DataError: it cannot be opened or decompressed.
    """
    file = byte_file.ByteFile(path, str(path) if name is None else name)
    is_compressed = path.name.lower().endswith(".gz")
    return gzip_file.decompressed(file) if is_compressed else file
