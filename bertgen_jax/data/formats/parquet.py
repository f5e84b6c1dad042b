"""Parquet files in, rows of named columns out, a few row groups in memory at a time."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, no_such_column
from bertgen_jax.data.formats import byte_file, table

_GROUPS_KEPT = 4  # decoded row groups, so that neighbouring rows are decoded once
_BATCH_ROWS = 1024  # turned into Python objects at once
_READ_BYTES = 1 << 20


class ParquetTable:
    """A Parquet file, of which only the mapped columns are ever decoded."""

    unit = "row"

    def __init__(self, file: byte_file.ByteFile, columns: Columns):
        self._file = file
        self._names = list(columns.names)
        self.name, self.size = file.name, file.size
        self.identity = ["parquet", *file.identity]
        self._lock = threading.Lock()
        self._group = functools.lru_cache(_GROUPS_KEPT)(self._read_group)
        with self._opened() as opened:
            found = opened.schema_arrow.names
        for name in columns.names:
            if name not in found:
                raise errors.DataError(f"{file.name}: {no_such_column(name, found)}")

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`. An address is a row group and a row of it."""
        with self._file.stream(feed) as stream:
            while stream.read(_READ_BYTES):
                pass
        number = 0
        with self._opened() as opened:
            for group in range(opened.num_row_groups):
                first = number
                for batch in opened.iter_batches(
                    _BATCH_ROWS, row_groups=[group], columns=self._names
                ):
                    for values in batch.to_pylist():
                        address = (group, number - first)
                        number += 1
                        yield table.Record(address, number, values)

    def read(self, first: int, second: int) -> Mapping[str, object]:
        """See `table.Table`."""
        with self._lock:  # threads that want neighbouring rows: decode their group once
            group = self._group(first)
        return group.slice(second, 1).to_pylist()[0]

    def _read_group(self, group: int) -> Any:
        """A pyarrow.Table of the mapped columns."""
        self._file.check_unchanged()
        with self._opened() as opened:
            return opened.read_row_group(group, columns=self._names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file as a pyarrow.parquet.ParquetFile, with its faults in our words."""
        try:
            import pyarrow  # an optional dependency
            from pyarrow import parquet
        except ImportError:
            raise errors.DataError(
                f"{self.name} is a Parquet file, which needs pyarrow: "
                "pip install 'bertgen_jax[datasets]'"
            ) from None
        try:
            with parquet.ParquetFile(
                self._file.path, page_checksum_verification=True
            ) as opened:
                yield opened
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise errors.DataError(
                f"{self.name} cannot be read as Parquet: {error}. It is damaged or of "
                "another kind; get it again."
            ) from error
