"""Reads datasets of the Hugging Face hub.

The optional library `datasets` finds, downloads and caches them; with HF_HUB_OFFLINE=1
it uses only its cache.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, no_such_column
from bertgen_jax.data.formats import table

PREFIX = "hf:"
_SPELLING = "hf:NAME[:CONFIG][@REVISION][#SPLIT]"
_LOCATION = re.compile(
    PREFIX + r"(?P<name>[^:@#]+)(:(?P<config>[^@#]+))?"
    r"(@(?P<revision>[^#]+))?(#(?P<split>.+))?"
)


class HubTable:
    """One split of a dataset."""

    unit = "row"

    def __init__(self, location: str, columns: Columns):
        self.name = location
        rows = _load(location)
        for name in columns.names:
            if name not in rows.column_names:
                raise errors.DataError(
                    f"{location}: {no_such_column(name, rows.column_names)}"
                )
        self._rows = rows.select_columns(list(columns.names))
        paths = [cached["filename"] for cached in rows.cache_files]
        statuses = [os.stat(path) for path in paths]
        self.size = sum(status.st_size for status in statuses)
        self.identity: list[str | int] | None = None
        if paths:  # a dataset in memory has no files
            changed = [status.st_mtime_ns for status in statuses]
            self.identity = ["hub", location, self.size, *paths, *changed]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`. An address is the indices of the row and of the next."""
        for row, values in enumerate(self._rows):
            feed(json.dumps(values, sort_keys=True, default=str).encode())
            yield table.Record((row, row + 1), row + 1, values)

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return self._rows[address[0]]


def _load(location: str) -> Any:
    """Loads the `datasets.Dataset` that a location names."""
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise errors.ConfigError(
            f"{location!r} names no dataset of the hub; expected {_SPELLING}, as in "
            "'hf:EdinburghNLP/xsum#validation'. The default split is 'train'."
        )
    try:
        import datasets  # an optional dependency
    except ImportError:
        raise errors.DataError(
            f"{location} is a dataset of the Hugging Face hub, which needs `datasets`: "
            "pip install 'bertgen_jax[datasets]'"
        ) from None
    try:
        return datasets.load_dataset(
            match["name"],
            match["config"],
            revision=match["revision"],
            split=match["split"] or "train",
        )
    except Exception as error:  # from any of two dozen packages, not from ours
        offline = os.environ.get("HF_HUB_OFFLINE")
        hint = f" with HF_HUB_OFFLINE={offline}" if offline else ""
        raise errors.DataError(
            f"{location} cannot be loaded{hint}: {error}. Expected {_SPELLING}, and a "
            "revision that holds data files, because scripts are not run."
        ) from error
