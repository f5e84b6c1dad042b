"""Reads texts for commands: a stream of inputs to generate from, or columns to score.

Training data are read by `examples`, which indexes files and returns their rows in any
order. Here a file is opened once and read in one pass, so a pipe will do.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from bertgen_jax import errors
from bertgen_jax.data import columns
from bertgen_jax.data.formats import delimited, json_lines, lines, suffixes, table

FORMATS = ("text", "jsonl", "csv", "tsv")
DEFAULT_COLUMNS = ("source", "text")  # the first one that the file has is read
_ID = "id"
# The key that `bertgen generate` writes instead of a text where it failed.
_ERROR = "error"
_TEXT = "text"  # the one column of an array of texts


@dataclasses.dataclass(frozen=True)
class SourceText:
    """One text of a stream.

    Attributes:
      line: the line of the file where it begins, from 1.
      text: the text, or why the row has none.
      id: the row's value in the column "id"; None without such a column.
    """

    line: int
    text: str | table.BadRow
    id: Any = None


def stream(
    file: str | IO[bytes], format: str | None = None, column: str | None = None
) -> Iterator[SourceText]:
    """Opens a file and yields its texts, however many, in constant memory.

    A row without a text is yielded too, with the reason, so that it costs no other row.
    Blank lines at the end of a JSON, CSV or TSV file are no rows.

    Args:
      file: path of a file or a named pipe, or an open stream.
      format: one of `FORMATS`: a text a line; a JSON object a line; rows of CSV or TSV.
        None: by the suffix, a text a line where the suffix is none of these. A file
        with the suffix .gz is decompressed.
      column: the key of a JSON object, or a name in the first line of CSV or TSV, or a
        position from "0" where the first line is a text like the others; "a+b" joins
        two. None: the first of `DEFAULT_COLUMNS` that the file has. The column holds
        one text, or a list of texts, which are joined by blanks, as in training.

    Raises:
      ConfigError: an unknown format, or a column of a file whose lines are texts.
      DataError: no such file, column or header; while reading: a damaged file, or rows
        that cannot be told apart.
    """
    if format is None:
        format = _format_by_suffix(file) if isinstance(file, str) else "text"
    errors.check_choice("format", format, FORMATS)
    name, content = _open_lines(file)
    if format == "text":
        _check_no_column(name, column, "--format jsonl, csv or tsv")
        return (SourceText(line.number, _line_text(line)) for line in content)
    if format == "jsonl":
        rows = _checked_first(json_lines.records(content), name, column)
        return _source_texts(rows, column)
    column, rows = delimited.select(
        delimited.records(content, name, quoted=format == "csv"),
        name,
        column,
        _default_column,
        "--column names another; by its position, from 0, where no line names the "
        "columns.",
    )
    return _source_texts(rows, column)


class TextTable:
    """The rows of a file in memory, from which columns of texts are read.

    For texts that are compared: row n of one file belongs to row n of another, so an
    empty line is an empty text, and a row that cannot be read is an error.

    Attributes:
      name: the path as the user wrote it; with .gz the file is decompressed. The suffix
        states the format:
        - .jsonl: an object a line, whose values are one text or a list of texts;
        - .json: an array of such objects, or of texts;
        - .csv: rows below a line that names the columns;
        - .tsv: the same, or rows of texts alone;
        - any other: a text a line.

    Raises:
      DataError: there is no such file, or it is damaged.
    """

    def __init__(self, name: str):
        self.name = name
        self._format = suffixes.format_of(name)
        if self._format not in ("jsonl", "json", "csv", "tsv"):
            self._format = "text"
        self._lines: list[lines.Line] = []  # of text and TSV
        self._records: list[table.Record] = []  # of the other formats
        if self._format == "json":
            self._records = list(_array(name))
            return
        _, content = _open_lines(name)
        if self._format == "jsonl":
            self._records = list(json_lines.records(content))
        elif self._format == "csv":
            self._records = list(delimited.records(content, name, quoted=True))
        else:
            self._lines = list(content)

    def has_column(self, names: Sequence[str]) -> bool:
        """Whether a .jsonl, .json or .csv file has one of these columns."""
        if not self._records or isinstance(self._records[0].values, table.BadRow):
            return False
        first = self._records[0].values
        header = first.values() if self._format == "csv" else first
        return any(name in header for name in names)

    def texts(
        self, names: Sequence[str], column: str | None = None
    ) -> list[tuple[str, ...]]:
        """Returns the texts of a column in each row.

        Args:
          names: the columns to look for where `column` is None; the first that the file
            has is read. A .tsv file is then read as rows of texts alone: every column
            is a text, and empty ones at the end of a row are none.
          column: its name, or two that are joined: "a+b"; "0", "1", ... in CSV and TSV
            without a line of names.

        Returns:
          One tuple a row; an empty one for an empty list, or where the column is null;
          one empty text for an object that has "error" instead.

        Raises:
          DataError: there is no such column, or a row without a text; its number.
          ConfigError: a column is named, and the lines are texts.
        """
        if self._format == "text":
            _check_no_column(
                self.name,
                column,
                "a file whose name ends in .jsonl, .json, .csv or .tsv",
            )
            return [(text,) for text in self._line_texts()]
        if self._format == "tsv" and column is None:
            rows = [_fields(text) for text in self._line_texts()]
            if rows and set(rows[0]) <= set(names):
                raise errors.DataError(
                    f"{self.name}: the first row holds "
                    f"{', '.join(map(repr, rows[0]))}, which look like names of "
                    "columns; expected one of them to be asked for, or rows of texts "
                    "alone."
                )
            return rows
        return list(self._column(names, column))

    def _line_texts(self) -> Iterator[str]:
        for line in self._lines:
            text = _line_text(line)
            if isinstance(text, table.BadRow):
                raise self._error(line.number, text)
            yield text

    def _column(
        self, names: Sequence[str], column: str | None
    ) -> Iterator[tuple[str, ...]]:
        rows = iter(self._records)
        if self._format == "tsv":
            rows = delimited.records(self._lines, self.name, quoted=False)
        if self._format in ("csv", "tsv"):
            column, rows = delimited.select(
                rows,
                self.name,
                column,
                functools.partial(_first, names),
                "Columns go by positions, from 0, where no line names them.",
            )
        for record in rows:
            values = record.values
            try:
                if isinstance(values, table.BadRow):
                    raise values
                if column is None and _ERROR not in values:
                    # The first row decides for all: no other column takes its place.
                    column = _TEXT if set(values) == {_TEXT} else _first(names, values)
                if column is None or (
                    _ERROR in values and not _has_all(values, column)
                ):
                    yield ("",)
                    continue
                yield tuple(columns.texts(values, column))
            except table.BadRow as bad:
                raise self._error(record.number, bad) from None

    def _error(self, number: int, bad: table.BadRow) -> errors.DataError:
        return errors.DataError(f"{self.name}, row {number}: {bad.detail}")


def _format_by_suffix(name: str) -> str:
    format = suffixes.format_of(name) or "text"
    if format == "json":
        return "jsonl"
    return format if format in FORMATS else "text"


def _open_lines(file: str | IO[bytes]) -> tuple[str, Iterator[lines.Line]]:
    """Opens a file, pipe or stream; returns its name for messages, and its lines."""
    if not isinstance(file, str):
        name = "standard input"
        return name, lines.lines(file, name)
    path = _find(file)
    if path.is_fifo() or path.is_char_device():  # as in `generate MODEL <(command)`
        return file, _lines_of(path.open("rb"), file)
    return file, _lines_of(suffixes.open_file(path, file).stream(), file)


def _lines_of(
    opened: contextlib.AbstractContextManager[IO[bytes]], name: str
) -> Iterator[lines.Line]:
    with opened as content:
        yield from lines.lines(content, name)


def _find(name: str) -> pathlib.Path:
    path = pathlib.Path(name).expanduser()
    if not path.exists():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = errors.nearest(path.name, [entry.name for entry in siblings])
        raise errors.DataError(f"{name} cannot be read: there is no such file.{hint}")
    if path.is_dir():
        raise errors.DataError(f"{name} is a folder; expected a file.")
    return path


def _array(name: str) -> Iterator[table.Record]:
    """Reads a JSON array of objects or of texts."""
    with suffixes.open_file(_find(name), name).stream() as content:
        try:
            items = json.loads(content.read())
        except (ValueError, RecursionError) as error:
            raise errors.DataError(
                f"{name}: {error}; expected a JSON array, or .jsonl behind the name of "
                "a file that has an object a line."
            ) from None
    if not isinstance(items, list):
        raise errors.DataError(
            f"{name} holds a JSON {type(items).__name__}; expected an array of objects "
            "or of texts."
        )
    for number, item in enumerate(items, start=1):
        values = item if isinstance(item, dict) else {_TEXT: item}
        yield table.Record((0, 0), number, values)


def _line_text(line: lines.Line) -> str | table.BadRow:
    try:
        return lines.line_text(line.content)
    except table.BadRow as bad:
        return bad


def _fields(line: str) -> tuple[str, ...]:
    fields = line.split("\t")
    while len(fields) > 1 and not fields[-1].strip():
        fields.pop()
    return tuple(fields)


def _check_no_column(name: str, column: str | None, alternative: str) -> None:
    if column is not None:
        raise errors.ConfigError(
            f"the column {column!r} is asked for, and each line of {name} is a text; "
            f"expected no column, or {alternative}."
        )


def _checked_first(
    rows: Iterator[table.Record], name: str, column: str | None
) -> Iterable[table.Record]:
    """Returns the rows, of which the first has the column, as a header of CSV has it.

    Raises:
      DataError: it has not, so the column is probably misnamed.
    """
    first = next(rows, None)
    if first is None:
        return ()
    if not isinstance(first.values, table.BadRow) and _ERROR not in first.values:
        try:
            _source(first.values, column or _default_column(first.values))
        except table.BadRow as bad:
            if bad.reason == columns.MISSING:
                raise errors.DataError(
                    f"{name}, line {first.number}: {bad.detail}"
                ) from None
    return itertools.chain([first], rows)


def _source_texts(
    rows: Iterable[table.Record], column: str | None
) -> Iterator[SourceText]:
    for record in rows:
        if isinstance(record.values, table.BadRow):
            yield SourceText(record.number, record.values)
            continue
        try:
            text = _source(record.values, column or _default_column(record.values))
        except table.BadRow as bad:
            text = bad
        yield SourceText(record.number, text, record.values.get(_ID))


def _source(values: Mapping[str, object], column: str) -> str:
    """Returns the source that an example with this row would have.

    Other than in training, an empty source is a text too.
    """
    names = columns.split_joined(column)
    for name in names:
        if name not in values:
            missing = columns.no_such_column(name, values)
            raise table.BadRow(columns.MISSING, f"{missing} --column names another.")
    fields = [values[name] for name in names]
    blank = [field for field in fields if isinstance(field, str) and not field.strip()]
    if len(blank) == len(fields):
        return " ".join(blank)
    return columns.Columns(column, (column,)).to_example(values, "").source


def _default_column(names: Iterable[str]) -> str:
    return _first(DEFAULT_COLUMNS, names)


def _first(names: Sequence[str], available: Iterable[str]) -> str:
    """Returns the first of the names that is available, else the first of all."""
    available = set(available)
    return next((name for name in names if name in available), names[0])


def _has_all(values: Mapping[str, object], column: str) -> bool:
    return all(name in values for name in columns.split_joined(column))
