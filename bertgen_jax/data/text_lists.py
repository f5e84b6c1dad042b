"""A file in, what stands in one column of it out: for each row a text, or several.

For texts that are to be compared: row n of one file belongs to row n of another, so an
empty line is an empty text, and a row that cannot be read is an error.
"""

import functools
import json
import pathlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bertgen_jax import errors
from bertgen_jax.data import columns
from bertgen_jax.data.formats import byte_file, gzip_file, table, text_files

_SUFFIX = re.compile(
    r"(\.(?P<format>jsonl|json|csv|tsv))?(?P<gz>\.gz)?$", re.IGNORECASE
)
# What `bertgen generate` writes in the place of a text that failed.
_FAILED = "error"
_TEXT = "text"  # the one column of an array of texts

Row = tuple[str, ...]


def read(name: str, names: Sequence[str], column: str | None = None) -> list[Row]:
    """The texts of each row.

    Args:
      name: path of a file; with .gz it is decompressed. The suffix tells the format:
        - .jsonl: an object a line, whose column is one text or a list of them;
        - .json: an array of such objects, or of texts;
        - .csv: rows below a line that names the columns;
        - .tsv: where `column` is None every column is a text, and empty ones at the end
          of a row are none; else as .csv;
        - any other: a text a line.
      names: the columns to look for where `column` is None; the first that is there.
      column: its name, or two that are joined: "a+b"; "0", "1", ... in csv and tsv
        without a line of names.

    Returns:
      One tuple a row; an empty one for an empty list, or where the column is null; one
      empty text for an object that says "error" instead.

    Raises:
      DataError: no such file or column, or a row that is no text, with its number.
      ConfigError: a column is named, and the rows are texts.
    """
    kind = _kind(name)
    file = _opened(name)
    if kind == "lines":
        if column is not None:
            raise errors.ConfigError(
                f"the column {column!r} is asked for, and each line of {name} is a "
                "text; expected no column, or a file whose name ends in .jsonl, .json, "
                ".csv or .tsv."
            )
        return [(line,) for line in _lines(file)]
    if kind == "tsv" and column is None:
        rows = [_fields(line) for line in _lines(file)]
        if rows and set(rows[0]) <= set(names):
            raise errors.DataError(
                f"{name}: the first row holds {', '.join(map(repr, rows[0]))}, which "
                "look like names of columns; expected one of them to be asked for, or "
                "rows of texts alone."
            )
        return rows
    records = _records(file, kind, names, column)
    return list(_texts_of(file.name, records, names, column))


def has_column(name: str, names: Sequence[str]) -> bool:
    """Whether a .jsonl, .json or .csv file has one of these columns."""
    kind = _kind(name)
    if kind not in ("jsonl", "json", "csv"):
        return False
    # By position, so that no column is missed.
    column = "0" if kind == "csv" else None
    first = next(iter(_records(_opened(name), kind, names, column)), None)
    if first is None or isinstance(first.values, table.BadRow):
        return False
    found = first.values.values() if kind == "csv" else first.values
    return any(one in found for one in names)


def _kind(name: str) -> str:
    return (_SUFFIX.search(name)["format"] or "lines").lower()


def _opened(name: str) -> byte_file.ByteFile:
    path = pathlib.Path(name).expanduser()
    if not path.exists():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = errors.nearest(path.name, [entry.name for entry in beside])
        raise errors.DataError(f"{name} cannot be read: there is no such file.{near}")
    if not path.is_file():
        kind = "folder" if path.is_dir() else "pipe or a device"
        raise errors.DataError(f"{name} is a {kind}; expected a file.")
    file = byte_file.ByteFile(path, name)
    return gzip_file.decompressed(file) if _SUFFIX.search(name)["gz"] else file


def _undigested(content: bytes) -> None:
    """Takes what the readers would feed to a digest."""


def _lines(file: byte_file.ByteFile) -> Iterator[str]:
    with file.stream() as stream:
        for line in text_files.lines(stream, file.name):
            try:
                yield text_files.line_text(line.content)
            except table.BadRow as bad:
                raise _error(file.name, line.number, bad) from None


def _fields(line: str) -> Row:
    fields = line.split("\t")
    while len(fields) > 1 and not fields[-1].strip():
        fields.pop()
    return tuple(fields)


def _records(
    file: byte_file.ByteFile, kind: str, names: Sequence[str], column: str | None
) -> Iterable[table.Record]:
    if kind == "json":
        return _array(file)
    if kind == "jsonl":
        return text_files.JsonLines(file).scan(_undigested)
    _, records = text_files.read_column(
        file,
        column,
        functools.partial(_first, names),
        quoted=kind == "csv",
        hint="Columns go by positions, from 0, where no line names them.",
    )
    return records


def _array(file: byte_file.ByteFile) -> Iterator[table.Record]:
    with file.stream() as stream:
        try:
            content = json.loads(stream.read())
        except (ValueError, RecursionError) as error:
            raise errors.DataError(
                f"{file.name}: {error}; expected a JSON array, or .jsonl behind the "
                "name of a file that has an object a line."
            ) from None
    if not isinstance(content, list):
        raise errors.DataError(
            f"{file.name} holds a JSON {type(content).__name__}; expected an array of "
            "objects or of texts."
        )
    for number, item in enumerate(content, 1):
        values = item if isinstance(item, dict) else {_TEXT: item}
        yield table.Record((0, 0), number, values)


def _texts_of(
    name: str,
    records: Iterable[table.Record],
    names: Sequence[str],
    column: str | None,
) -> Iterator[Row]:
    for record in records:
        values = record.values
        try:
            if isinstance(values, table.BadRow):
                raise values
            if column is None and _FAILED not in values:
                # The first row decides for all: no other column takes its place.
                column = _TEXT if set(values) == {_TEXT} else _first(names, values)
            if _FAILED in values and not _has_all(values, column):
                yield ("",)
                continue
            yield tuple(columns.texts(values, column))
        except table.BadRow as bad:
            raise _error(name, record.number, bad) from None


def _has_all(values: Mapping[str, object], column: str | None) -> bool:
    return column is not None and all(one in values for one in columns.joined(column))


def _first(names: Sequence[str], found: Collection[str]) -> str:
    return next((name for name in names if name in found), names[0])


def _error(name: str, number: int, bad: table.BadRow) -> errors.DataError:
    return errors.DataError(f"{name}, row {number}: {bad.detail}")
