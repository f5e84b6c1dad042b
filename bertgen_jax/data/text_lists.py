"""A file in, what stands in one column of it out: for each row a text, or several.

For texts that are to be compared: row n of one file belongs to row n of another, so
nothing is left out, and an empty line is an empty text.
"""

import json
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from bertgen_jax import errors, suggest
from bertgen_jax.data import byte_file, decompression, mapping, table, text_files

_SUFFIX = re.compile(r"\.(?P<format>jsonl|json|csv|tsv)(\.gz)?$", re.IGNORECASE)

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
      column: its name; or "0", "1", ... in csv and tsv without a line of names.

    Returns:
      One tuple a row; an empty one for an empty list, or where the column is null.

    Raises:
      DataError: no such file or column, or a row that is no text, with its line.
      ConfigError: a column is named, and the rows are texts.
    """
    file = _opened(name)
    suffix = _SUFFIX.search(name)
    kind = suffix["format"].lower() if suffix else "text"
    if kind == "text" and column is not None:
        raise errors.ConfigError(
            f"the column {column!r} is asked for, and each line of {name} is a text; "
            "expected no column, or a file whose name ends in .jsonl, .json, .csv or "
            ".tsv."
        )
    if kind == "text":
        return [(line,) for line in _lines(file)]
    if kind == "tsv" and column is None:
        return [_fields(line) for line in _lines(file)]
    if kind == "json":
        return list(_array(file, names, column))
    if kind == "jsonl":
        records = text_files.JsonLines(file).scan(_undigested)
    else:
        records = _delimited(file, names, column, quoted=kind == "csv")
    return [_row(file.name, record, names, column) for record in records]


def has_column(name: str, names: Sequence[str]) -> bool:
    """Whether the first row of a .jsonl or .json file has one of these columns."""
    suffix = _SUFFIX.search(name)
    if not suffix or suffix["format"].lower() not in ("jsonl", "json"):
        return False
    file = _opened(name)
    if suffix["format"].lower() == "json":
        first = next(iter(_parsed(file)), None)
    else:
        record = next(text_files.JsonLines(file).scan(_undigested), None)
        first = record.values if record else None
    return isinstance(first, Mapping) and any(column in first for column in names)


def _opened(name: str) -> byte_file.ByteFile:
    path = pathlib.Path(name).expanduser()
    if not path.is_file():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = suggest.nearest(path.name, [entry.name for entry in beside])
        raise errors.DataError(f"{name} cannot be read: there is no such file.{near}")
    file = byte_file.ByteFile(path, name)
    return decompression.decompressed(file) if name.endswith(".gz") else file


def _undigested(content: bytes) -> None:
    """Takes what the readers would feed to a digest."""


def _lines(file: byte_file.ByteFile) -> Iterator[str]:
    """Splits at line feeds only: U+2028 and the like are text."""
    with file.stream() as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield table.decode(line.removesuffix(b"\n").removesuffix(b"\r"))
            except table.BadRow as bad:
                raise _error(file.name, number, bad) from None


def _fields(line: str) -> Row:
    fields = line.split("\t")
    while len(fields) > 1 and not fields[-1].strip():
        fields.pop()
    return tuple(fields)


def _parsed(file: byte_file.ByteFile) -> Sequence[object]:
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
    return content


def _array(
    file: byte_file.ByteFile, names: Sequence[str], column: str | None
) -> Iterator[Row]:
    for number, item in enumerate(_parsed(file), 1):
        values = item if isinstance(item, dict) else {"": item}
        wanted = column if isinstance(item, dict) else ""
        record = table.Record((0, 0), number, values)
        yield _row(file.name, record, names, wanted)


def _delimited(
    file: byte_file.ByteFile, names: Sequence[str], column: str | None, *, quoted: bool
) -> Iterator[table.Record]:
    # Read by position: which columns there are need not be known before.
    positions = mapping.Columns("0", ("0",))
    records = text_files.Delimited(file, positions, quoted=quoted).scan(_undigested)
    if column is not None and column.isdecimal():
        yield from records
        return
    first = next(records)
    if isinstance(first.values, table.BadRow):
        raise _error(file.name, first.number, first.values)
    header = list(first.values.values())
    wanted = mapping.joined(column) if column else (_first(names, header),)
    for name in wanted:
        if name in header:
            continue
        missing = mapping.no_such_column(name, header)
        raise errors.DataError(f"{file.name}: {missing}")
    for record in records:
        if not isinstance(record.values, table.BadRow):
            values = dict(zip(header, record.values.values(), strict=True))
            record = record._replace(values=values)
        yield record


def _row(
    name: str, record: table.Record, names: Sequence[str], column: str | None
) -> Row:
    values = record.values
    try:
        if isinstance(values, table.BadRow):
            raise values
        if column is None:
            column = _first(names, values)
        return tuple(mapping.texts(values, column))
    except table.BadRow as bad:
        raise _error(name, record.number, bad) from None


def _first(names: Sequence[str], found: Collection[str]) -> str:
    return next((name for name in names if name in found), names[0])


def _error(name: str, number: int, bad: table.BadRow) -> errors.DataError:
    return errors.DataError(f"{name}, row {number}: {bad.detail}")
