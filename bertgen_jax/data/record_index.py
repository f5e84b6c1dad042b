"""Indexes the rows of a table: where the good ones are, and which ones are bad.

A table is read once. Every row is parsed, so that a malformed one is reported before
any training, and its address is kept, so that later reads go straight to it. The result
is cached on disk:

    CACHE/indexes/KEY/rows.npy      i64[N, A + 2], see `RecordIndex`
                      report.json   the digest of the content, what was skipped, and a
                                    checksum of both files
"""

import array
import collections
import dataclasses
import hashlib
import json
import logging
import pathlib
import shutil
from collections.abc import Mapping

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import cache
from bertgen_jax.data.columns import MISSING, Columns
from bertgen_jax.data.formats.table import BadRow, Table
from bertgen_jax.files import json_files

_log = logging.getLogger(__name__)

_FORMAT = 2  # part of the key: raise it when the files or the rules for rows change
_MESSAGES_KEPT = 5


@dataclasses.dataclass(frozen=True)
class Skipped:
    """The rows that were left out because they are not valid examples.

    Attributes:
      count: the number of rows.
      reasons: the number of rows for each reason.
      messages: the first few messages, in full.
    """

    count: int = 0
    reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    messages: tuple[str, ...] = ()

    def __add__(self, other: "Skipped") -> "Skipped":
        return Skipped(
            self.count + other.count,
            collections.Counter(self.reasons) + collections.Counter(other.reasons),
            (self.messages + other.messages)[:_MESSAGES_KEPT],
        )

    def __str__(self) -> str:
        """Returns, for example, "3 rows skipped (2 empty source, 1 malformed JSON)"."""
        counts = sorted(self.reasons.items())
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
        return f"{self.count:,} rows skipped ({reasons})"


@dataclasses.dataclass(frozen=True, eq=False)
class RecordIndex:
    """The positions of the good rows of a table.

    Attributes:
      rows: i64[N, A + 2], mapped from disk if it is cached. A row has the A numbers of
        its address (mostly 2), its number in the table from 1, and a digest of its id
        (without meaning if no column gives the id).
      content_digest: digest of the whole content of the table.
      skipped: the bad rows, which are not in `rows`.
    """

    rows: np.ndarray
    content_digest: str
    skipped: Skipped

    def __reduce__(self):
        # Another process maps the same file: a copy would need memory for each row.
        if isinstance(self.rows.base, np.memmap) and self.rows.base.filename:
            path = pathlib.Path(self.rows.base.filename)
            return _map, (path, self.content_digest, self.skipped)
        return RecordIndex, (np.array(self.rows), self.content_digest, self.skipped)


def _map(path: pathlib.Path, content_digest: str, skipped: Skipped) -> RecordIndex:
    # A plain view of the mapped file: slicing an np.memmap is ten times slower.
    rows = np.asarray(np.load(path, mmap_mode="r"))
    return RecordIndex(rows, content_digest, skipped)


def build(table: Table, columns: Columns, on_bad_row: str) -> RecordIndex:
    """Builds the index of a table, or loads it from the cache.

    Args:
      table: the rows; its `identity` is part of the key in the cache.
      columns: the columns that make an example.
      on_bad_row: "raise", or "skip" to leave bad rows out and count them.

    Raises:
      DataError: a row is bad, or no row is good.
    """
    if table.identity is None:
        return _scan(table, columns, on_bad_row)
    key = [_FORMAT, table.identity, dataclasses.astuple(columns), on_bad_row]
    folder = cache.folder_of("indexes", key)
    index = _load(folder)
    if index is None:
        index = _scan(table, columns, on_bad_row)
        with cache.new_entry(folder) as building:
            _save(index, building)
        index = _load(folder) or index  # mapped, so that it needs no memory
    return index


def _scan(table: Table, columns: Columns, on_bad_row: str) -> RecordIndex:
    _log.info("Indexing %s (%s bytes).", table.name, f"{table.size:,}")
    content = hashlib.blake2b(digest_size=16)
    rows = array.array("q")
    reasons: collections.Counter[str] = collections.Counter()
    messages: list[str] = []
    number = good = 0
    for number, record in enumerate(table.scan(content.update), start=1):
        try:
            if isinstance(record.values, BadRow):
                raise record.values
            example = columns.to_example(record.values, "")
        except BadRow as bad:
            message = f"{table.name}, {table.unit} {record.number}: {bad.detail}"
            if on_bad_row == "raise":
                if number == 1 and bad.reason == MISSING:
                    raise errors.DataError(f"{message} {columns.advice()}") from None
                raise errors.DataError(
                    f"{message} Correct the row, or leave such rows out and count them "
                    "with on_bad_row='skip'."
                ) from None
            reasons[bad.reason] += 1
            if len(messages) < _MESSAGES_KEPT:
                messages.append(message)
            continue
        good += 1
        identifier = hashlib.blake2b(example.id.encode(), digest_size=8).digest()
        rows.extend(
            (*record.address, number, int.from_bytes(identifier, "little", signed=True))
        )
    if not good:
        raise errors.DataError(
            f"{table.name} has no rows; expected at least one."
            if not messages
            else f"{table.name}: not one of {number:,} rows is good. {messages[0]}"
        )
    return RecordIndex(
        np.frombuffer(rows, np.int64).reshape(good, -1),
        content.hexdigest(),
        Skipped(reasons.total(), dict(reasons), tuple(messages)),
    )


def _save(index: RecordIndex, folder: pathlib.Path) -> None:
    np.save(folder / "rows.npy", index.rows)
    report = {
        "content_digest": index.content_digest,
        "skipped": dataclasses.asdict(index.skipped),
    }
    saved = {"report": report, "checksum": _checksum(index.rows, report)}
    json_files.write_object(folder / "report.json", saved)


def _load(folder: pathlib.Path) -> RecordIndex | None:
    """Maps an entry of the cache; removes a damaged one and returns None."""
    if not folder.exists():
        return None
    try:
        saved = json_files.read_object(folder / "report.json", error=errors.DataError)
        report = saved["report"]
        skipped = report["skipped"]
        index = _map(
            folder / "rows.npy",
            report["content_digest"],
            Skipped(skipped["count"], skipped["reasons"], tuple(skipped["messages"])),
        )
        rows = index.rows
        if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] < 4:
            raise ValueError(f"rows are {rows.dtype}{list(rows.shape)}")
        if saved["checksum"] != _checksum(rows, report):
            raise ValueError("wrong checksum")
        return index
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        _log.warning("The cached index %s is damaged (%s): made again.", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _checksum(rows: np.ndarray, report: Mapping[str, object]) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16)
    digest.update(json.dumps(report, sort_keys=True).encode())
    return digest.hexdigest()
