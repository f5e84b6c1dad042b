"""Reads Parquet files, with a few row groups in memory at a time."""

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
    """A Parquet file, of which only the mapped columns are decoded."""

    unit = "row"

    def __init__(self, file: byte_file.ByteFile, columns: Columns):
        self._file = file
        self._columns = columns
        self._names = list(columns.names)
        self.name, self.size = file.name, file.size
        self.identity: list[str | int] | None = ["parquet", *file.identity]
        self._lock = threading.Lock()
        self._group = functools.lru_cache(_GROUPS_KEPT)(self._read_group)
        with self._opened() as opened:
            header = opened.schema_arrow.names
        for name in columns.names:
            if name not in header:
                raise errors.DataError(f"{file.name}: {no_such_column(name, header)}")

    def __reduce__(self):
        return ParquetTable, (self._file, self._columns)

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`. An address is a row group and a row in it."""
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

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        group, row = address
        with self._lock:  # so that threads decode a group that they share only once
            rows = self._group(group)
        return rows.slice(row, 1).to_pylist()[0]

    def _read_group(self, group: int) -> Any:
        """Returns the mapped columns as a pyarrow.Table."""
        self._file.check_unchanged()
        with self._opened() as opened:
            return opened.read_row_group(group, columns=self._names)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        """Opens the file as a pyarrow.parquet.ParquetFile; its errors become ours."""
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
                f"{self.name} cannot be read as Parquet: {error}. It is damaged or has "
                "another format; get it again."
            ) from error
