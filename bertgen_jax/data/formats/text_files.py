"""JSON lines, CSV and TSV files in, rows of named columns out."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, joined, no_such_column
from bertgen_jax.data.formats import byte_file, table

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# The csv module's own limit, one for the whole process, is 128 kB a field: too little
# for documents.
csv.field_size_limit(byte_file.MAX_RECORD_BYTES)


class Line(NamedTuple):
    """A record's bytes, line end included, and where in the file they stand."""

    start: int
    end: int
    number: int  # of its first line, from 1
    content: bytes


class JsonLines:
    """One JSON object a line; its keys are the columns (jsonlines.org)."""

    unit = "line"

    def __init__(self, file: byte_file.ByteFile):
        self._file = file
        self.name, self.size = file.name, file.size
        self.identity = ["jsonl", *file.identity]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`."""
        with self._file.stream(feed) as stream:
            yield from _rows(lines(stream, self.name), _parse_object)

    def read(self, first: int, second: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return _parse_object(self._file.read(first, second))


class Delimited:
    """CSV (RFC 4180), or TSV, which knows no quotes: a tab always ends a column.

    The first record names the columns, unless the mapping gives positions: then there
    is no such header and the columns are named "0", "1" and so on. Every record must
    have as many columns as the first: one too many is a delimiter inside of a text.
    """

    unit = "line"

    def __init__(self, file: byte_file.ByteFile, columns: Columns, *, quoted: bool):
        self._file = file
        self._split = _quoted_records if quoted else lines
        self._fields = _quoted_fields if quoted else _tab_fields
        self.name, self.size = file.name, file.size
        self.identity = ["csv" if quoted else "tsv", *file.identity]
        self._has_header = not _by_position(columns)
        self._header = self._read_header(columns)

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`."""
        with self._file.stream(feed) as stream:
            records = self._split(stream, self.name)
            if self._has_header:
                next(records)
            yield from _rows(records, self._parse)

    def read(self, first: int, second: int) -> Mapping[str, object]:
        """See `table.Table`."""
        return self._parse(self._file.read(first, second))

    def _parse(self, content: bytes) -> Mapping[str, object]:
        fields = self._fields(content)
        if len(fields) != len(self._header):
            raise table.BadRow(
                "wrong number of columns",
                f"columns: {len(fields)} found in {table.excerpt(content)}, "
                f"{len(self._header)} expected, as in the first line.",
            )
        return dict(zip(self._header, fields, strict=True))

    def _read_header(self, columns: Columns) -> list[str]:
        """The names of the columns; all of the mapped ones are among them."""
        with self._file.stream() as stream:
            first = next(self._split(stream, self.name), None)
        if first is None:
            raise errors.DataError(f"{self.name} is empty; rows of text are expected.")
        try:
            fields = self._fields(first.content)
        except table.BadRow as bad:
            raise errors.DataError(f"{self.name}, line 1: {bad.detail}") from None
        header = fields if self._has_header else [str(i) for i in range(len(fields))]
        for name in columns.names:
            if header.count(name) > 1:
                raise errors.DataError(
                    f"{self.name} has {header.count(name)} columns {name!r}; the name "
                    "of a mapped column must occur once."
                )
            if name not in header:
                raise errors.DataError(
                    f"{self.name}: {no_such_column(name, header)} The first "
                    "line names the columns; where a file has no such line, map by "
                    'position, as in {"source": "0", "target": "1"}.'
                )
        return header


def read_column(
    file: byte_file.ByteFile,
    column: str | None,
    default: Callable[[Sequence[str]], str],
    *,
    quoted: bool,
    hint: str,
) -> tuple[str, Iterator[table.Record]]:
    """Rows of CSV or TSV in one pass, for who does not know what columns there are.

    Args:
      file: of these rows.
      column: its name in the first line, or several joined by "+"; or positions, from
        "0", where the first line is a row like the others; None: `default` decides.
      default: names of all columns -> the column.
      quoted: see `Delimited`.
      hint: a sentence on how another column is named.

    Returns:
      The column, and the rows, their columns by name or by position.

    Raises:
      DataError: there is no row or no such column, or it stands there twice.
    """
    # By position, so that the header is a row as well.
    positions = Columns("0", ("0",))
    records = Delimited(file, positions, quoted=quoted).scan(lambda content: None)
    first = next(records, None)
    if first is None or isinstance(first.values, table.BadRow):
        raise errors.DataError(f"{file.name}, line 1: a row is expected; found none.")
    if column and all(map(str.isdecimal, joined(column))):
        names = list(first.values)
        records = itertools.chain([first], records)
    else:
        names = list(first.values.values())
        column = column or default(names)
    for name in joined(column):
        if name not in names:
            raise errors.DataError(f"{file.name}: {no_such_column(name, names)} {hint}")
        if names.count(name) > 1:
            raise errors.DataError(
                f"{file.name} has {names.count(name)} columns {name!r}; expected one."
            )
    return column, (_named(record, names) for record in records)


def _named(record: table.Record, names: Sequence[str]) -> table.Record:
    if isinstance(record.values, table.BadRow):
        return record
    values = zip(names, record.values.values(), strict=True)
    return record._replace(values=dict(values))


def _parse_object(content: bytes) -> Mapping[str, object]:
    text = table.decode(content)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise table.BadRow(
            "malformed JSON",
            f"{error}, in {table.excerpt(text)}; one JSON object a line is expected.",
        ) from None
    if not isinstance(value, dict):
        raise table.BadRow(
            "no JSON object",
            f"found {table.excerpt(text)}; one JSON object a line is expected "
            "(`jq -c '.[]'` makes lines of an array).",
        )
    return value


def _by_position(columns: Columns) -> bool:
    """Whether columns are mapped by position: all of them are, or none."""
    positions = [name for name in columns.names if name.isdecimal()]
    if positions and len(positions) < len(columns.names):
        raise errors.ConfigError(
            f"columns maps {', '.join(map(repr, columns.names))}: some by position and "
            "some by name. Positions are for files without a header, so all are "
            "positions or none."
        )
    return bool(positions)


def lines(stream: io.BufferedReader, name: str) -> Iterator[Line]:
    """Splits at line feeds only: U+2028 and the like are text.

    Raises:
      DataError: a line is too long, or the file in UTF-16.
    """
    start = skip_byte_order_mark(stream, name)
    number = 0
    while content := stream.readline(byte_file.MAX_RECORD_BYTES + 1):
        number += 1
        _check_size(len(content), name, number)
        yield Line(start, start + len(content), number, content)
        start += len(content)


def _quoted_records(stream: io.BufferedReader, name: str) -> Iterator[Line]:
    """Splits where the csv module does: a quoted field may have several lines."""
    taken: list[Line] = []
    at_end = False

    def taking() -> Iterator[str]:
        nonlocal at_end
        for line in lines(stream, name):
            taken.append(line)
            _check_size(line.end - taken[0].start, name, taken[0].number)
            # Latin-1 has a character for each byte, and only ASCII ends a record.
            yield line.content.decode("latin-1")
        at_end = True

    reader = csv.reader(taking(), strict=True)
    while True:
        try:
            next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A fault within a line is found again, and told, when the row is parsed.
            if at_end:
                raise errors.DataError(
                    f"{name}, line {taken[0].number}: a quote is opened in "
                    f"{table.excerpt(taken[0].content)} and never closed. Inside of a "
                    'quoted field quotes are doubled (""), by RFC 4180.'
                ) from None
        content = b"".join(line.content for line in taken)
        yield Line(taken[0].start, taken[-1].end, taken[0].number, content)
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


def _tab_fields(content: bytes) -> list[str]:
    return line_text(content).split("\t")


def line_text(content: bytes) -> str:
    """What stands in a line, without its end.

    Raises:
      BadRow: it is no UTF-8.
    """
    return table.decode(content).removesuffix("\n").removesuffix("\r")


def _rows(
    lines: Iterator[Line], parse: Callable[[bytes], Mapping[str, object]]
) -> Iterator[table.Record]:
    """Parses records. Blank lines are no rows at the end of a file, else bad ones."""
    blank = []
    for line in lines:
        if not line.content.strip():
            blank.append(line)
            continue
        for empty in blank:
            bad = table.BadRow("blank line", "the line is blank; a row is expected.")
            yield table.Record((empty.start, empty.end), empty.number, bad)
        blank.clear()
        try:
            values = parse(line.content)
        except table.BadRow as bad:
            values = bad
        yield table.Record((line.start, line.end), line.number, values)


def skip_byte_order_mark(stream: io.BufferedReader, name: str) -> int:
    """Where the text begins; the mark of UTF-8 says nothing, that of UTF-16 a lot.

    Raises:
      DataError: it is in UTF-16.
    """
    beginning = stream.peek(len(_BYTE_ORDER_MARK))
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise errors.DataError(
            f"{name} begins like a file in UTF-16; UTF-8 is expected. "
            "`iconv -f UTF-16 -t UTF-8` converts it."
        )
    if beginning.startswith(_BYTE_ORDER_MARK):
        return len(stream.read(len(_BYTE_ORDER_MARK)))
    return 0


def _check_size(size: int, name: str, number: int) -> None:
    if size > byte_file.MAX_RECORD_BYTES:
        raise errors.DataError(
            f"{name}, line {number}: the record is longer than "
            f"{byte_file.MAX_RECORD_BYTES:,} bytes. Is a line end or a closing quote "
            "missing?"
        )
