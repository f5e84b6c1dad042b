"""Reads CSV and TSV files.

CSV follows RFC 4180. TSV has no quotes: a tab always ends a column.
"""

import csv
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bertgen_jax import errors
from bertgen_jax.data import columns as columns_lib
from bertgen_jax.data.columns import Columns
from bertgen_jax.data.formats import byte_file, lines, table

# The csv module's own limit, one for the whole process, is 128 kB a field: too little
# for documents.
csv.field_size_limit(byte_file.MAX_RECORD_BYTES)


class Delimited:
    """A CSV or TSV file of which the columns are known.

    The first record names the columns, unless the mapping gives positions: then the
    file has no such header and the columns are named "0", "1" and so on. Every record
    must have as many columns as the first: one too many is a delimiter inside a text.
    """

    unit = "line"

    def __init__(self, file: byte_file.ByteFile, columns: Columns, *, quoted: bool):
        self._file = file
        self._dialect = _CSV if quoted else _TSV
        self.name, self.size = file.name, file.size
        self.identity: list[str | int] | None = [self._dialect.name, *file.identity]
        self._has_header = not _are_positions(columns)
        self._header = self._read_header(columns)

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`."""
        with self._file.stream(feed) as stream:
            rows = self._dialect.split(lines.lines(stream, self.name), self.name)
            if self._has_header:
                next(rows)
            yield from lines.records(rows, self._parse)

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return self._parse(self._file.read(*address))

    def _parse(self, content: bytes) -> Mapping[str, object]:
        fields = self._dialect.fields(content)
        if len(fields) != len(self._header):
            raise _wrong_width(fields, len(self._header), content)
        return dict(zip(self._header, fields, strict=True))

    def _read_header(self, columns: Columns) -> list[str]:
        """Returns the names of all columns, after checking the mapped ones."""
        with self._file.stream() as stream:
            rows = self._dialect.split(lines.lines(stream, self.name), self.name)
            first = next(rows, None)
        if first is None:
            raise _empty(self.name)
        try:
            fields = self._dialect.fields(first.content)
        except table.BadRow as bad:
            raise errors.DataError(f"{self.name}, line 1: {bad.detail}") from None
        header = fields if self._has_header else _positions(fields)
        for name in columns.names:
            _check_column(
                self.name,
                name,
                header,
                "The first line names the columns; where a file has no such line, map "
                'by position, as in {"source": "0", "target": "1"}.',
            )
        return header


def records(
    content: Iterable[lines.Line], name: str, *, quoted: bool
) -> Iterator[table.Record]:
    """Reads rows in one pass, the first one included; "0", "1", ... are the columns.

    Args:
      content: the lines of the file.
      name: the file, for messages.
      quoted: whether it is CSV; else TSV.

    Raises:
      DataError: a quote is never closed.
    """
    dialect = _CSV if quoted else _TSV
    positions: list[str] = []

    def parse(row: bytes) -> Mapping[str, object]:
        fields = dialect.fields(row)
        if not positions:  # the first row decides for all
            positions.extend(_positions(fields))
        if len(fields) != len(positions):
            raise _wrong_width(fields, len(positions), row)
        return dict(zip(positions, fields, strict=True))

    return lines.records(dialect.split(iter(content), name), parse)


def select(
    rows: Iterator[table.Record],
    name: str,
    column: str | None,
    default: Callable[[Sequence[str]], str],
    hint: str,
) -> tuple[str, Iterator[table.Record]]:
    """Names the columns of rows that `records` yields.

    Args:
      rows: the rows, the first one included.
      name: the file, for messages.
      column: a name in the first row, or several joined by "+"; or positions from "0",
        where the first row is a row like the others. None: `default` chooses.
      default: returns one of the names in the first row.
      hint: a sentence that says how to choose another column.

    Returns:
      The column, and the rows below the first one with their columns by name; by
      position, all rows.

    Raises:
      DataError: there is no row or no such column, or two columns have this name.
    """
    first = next(rows, None)
    if first is None:
        raise _empty(name)
    if isinstance(first.values, table.BadRow):
        raise errors.DataError(f"{name}, line {first.number}: {first.values.detail}")
    if column and all(map(str.isdecimal, columns_lib.split_joined(column))):
        header = list(first.values)
        rows = itertools.chain([first], rows)
    else:
        header = [str(field) for field in first.values.values()]
        column = column or default(header)
    for part in columns_lib.split_joined(column):
        _check_column(name, part, header, hint)
    return column, (_rename(record, header) for record in rows)


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """How a file is divided into rows, and a row into fields."""

    name: str
    split: Callable[[Iterator[lines.Line], str], Iterator[lines.Line]]
    fields: Callable[[bytes], list[str]]


def _quoted_rows(content: Iterator[lines.Line], name: str) -> Iterator[lines.Line]:
    """Splits where the csv module does: a quoted field may have several lines."""
    taken: list[lines.Line] = []
    at_end = False

    def take() -> Iterator[str]:
        nonlocal at_end
        for line in content:
            taken.append(line)
            lines.check_size(line.end - taken[0].start, name, taken[0].number)
            # Latin-1 has a character for each byte, and only ASCII ends a record.
            yield line.content.decode("latin-1")
        at_end = True

    reader = csv.reader(take(), strict=True)
    while True:
        try:
            next(reader)
        except StopIteration:
            return
        except csv.Error:
            # Parsing the row will find a fault within a line again, and report it.
            if at_end:
                raise errors.DataError(
                    f"{name}, line {taken[0].number}: a quote is opened in "
                    f"{table.excerpt(taken[0].content)} and never closed. Inside of a "
                    'quoted field quotes are doubled (""), by RFC 4180.'
                ) from None
        joined = b"".join(line.content for line in taken)
        yield lines.Line(taken[0].start, taken[-1].end, taken[0].number, joined)
        taken.clear()


def _quoted_fields(content: bytes) -> list[str]:
    text = table.decode(content)
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise table.BadRow(
            "malformed CSV",
            f"{error}, in {table.excerpt(text)}; fields with quotes, delimiters or "
            "line ends are quoted as a whole, by RFC 4180.",
        ) from None


def _lines(content: Iterator[lines.Line], name: str) -> Iterator[lines.Line]:
    del name
    return content


def _tab_fields(content: bytes) -> list[str]:
    return lines.line_text(content).split("\t")


_CSV = _Dialect("csv", _quoted_rows, _quoted_fields)
_TSV = _Dialect("tsv", _lines, _tab_fields)


def _are_positions(columns: Columns) -> bool:
    """Whether columns are mapped by position: all of them are, or none."""
    positions = [name for name in columns.names if name.isdecimal()]
    if positions and len(positions) < len(columns.names):
        raise errors.ConfigError(
            f"columns maps {', '.join(map(repr, columns.names))}: some by position and "
            "some by name. Positions are for files without a header, so all are "
            "positions or none."
        )
    return bool(positions)


def _positions(fields: Sequence[str]) -> list[str]:
    return [str(position) for position in range(len(fields))]


def _rename(record: table.Record, header: Sequence[str]) -> table.Record:
    if isinstance(record.values, table.BadRow):
        return record
    return record._replace(
        values=dict(zip(header, record.values.values(), strict=True))
    )


def _wrong_width(fields: Sequence[str], width: int, content: bytes) -> table.BadRow:
    return table.BadRow(
        "wrong number of columns",
        f"columns: {len(fields)} found in {table.excerpt(content)}, {width} expected, "
        "as in the first line.",
    )


def _check_column(file: str, name: str, header: Sequence[str], hint: str) -> None:
    if header.count(name) > 1:
        raise errors.DataError(
            f"{file} has {header.count(name)} columns {name!r}; expected one."
        )
    if name not in header:
        raise errors.DataError(
            f"{file}: {columns_lib.no_such_column(name, header)} {hint}"
        )


def _empty(name: str) -> errors.DataError:
    return errors.DataError(f"{name} is empty; expected rows of text.")
