"""Reads JSON lines: one object a line, whose keys are the columns (jsonlines.org)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from bertgen_jax.data.formats import byte_file, lines, table


class JsonLines:
    """A file of JSON lines."""

    unit = "line"

    def __init__(self, file: byte_file.ByteFile):
        self._file = file
        self.name, self.size = file.name, file.size
        self.identity: list[str | int] | None = ["jsonl", *file.identity]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`."""
        with self._file.stream(feed) as stream:
            yield from records(lines.lines(stream, self.name))

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return _parse(self._file.read(*address))


def records(rows: Iterable[lines.Line]) -> Iterator[table.Record]:
    """Parses lines as JSON objects."""
    return lines.records(rows, _parse)


def _parse(content: bytes) -> Mapping[str, object]:
    text = table.decode(content)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise table.BadRow(
            "malformed JSON",
            f"{error}, in {table.excerpt(text)}; expected one JSON object a line.",
        ) from None
    if not isinstance(value, dict):
        raise table.BadRow(
            "no JSON object",
            f"found {table.excerpt(text)}; expected one JSON object a line "
            "(`jq -c '.[]'` makes lines of an array).",
        )
    return value
