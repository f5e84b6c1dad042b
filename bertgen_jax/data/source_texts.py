"""A file, or what is piped in, gives the texts in it, one after the other."""

import contextlib
import dataclasses
import io
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bertgen_jax import errors
from bertgen_jax.data import columns
from bertgen_jax.data.formats import byte_file, gzip_file, table, text_files

FORMATS = ("text", "jsonl", "csv", "tsv")
DEFAULT_COLUMNS = ("source", "text")  # the first that is there
_ID = "id"
_SUFFIX = re.compile(r"(\.(?P<format>jsonl?|csv|tsv))?(?P<gz>\.gz)?$", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclasses.dataclass(frozen=True)
class SourceText:
    """One text.

    Attributes:
      line: where it begins in its file, from 1.
      text: the text, or why there is none.
      id: what its row has in the column "id"; None where there is no such thing.
    """

    line: int
    text: str | table.BadRow
    id: Any = None


def read(
    source: str | io.BufferedIOBase,
    format: str | None = None,
    column: str | None = None,
) -> Iterator[SourceText]:
    """Opens a file and gives its texts, however many, in constant memory.

    What is no text is among them, with the reason. Blank lines at the end of a file of
    rows are none.

    Args:
      source: path of a file or a named pipe, or an open stream.
      format: one of `FORMATS`: a text a line; a JSON object a line; rows of CSV or TSV.
        None: by the suffix, text where it says nothing. With .gz behind it (or alone) a
        file is decompressed.
      column: the key of a JSON object, or a name in the first line of CSV or TSV, or a
        position from "0" where the first line is a text like the others; "a+b" joins
        two. None: the first of `DEFAULT_COLUMNS` that is there. What is in it is one
        text, or a list of texts, which are joined by blanks, as in training.

    Raises:
      ConfigError: an unknown format; a column, and the texts are lines.
      DataError: no such file, column or header; while reading: a file that is damaged,
        or rows whose ends cannot be told.
    """
    if format not in (None, *FORMATS):
        raise errors.ConfigError(
            f"format is {format!r}; expected {', '.join(FORMATS)}."
            f"{errors.nearest(format, FORMATS)}"
        )
    suffix = _SUFFIX.search(source) if isinstance(source, str) else None
    if format is None:
        found = ((suffix and suffix["format"]) or "text").lower()
        format = "jsonl" if found == "json" else found
    file = _opened(source, is_compressed=bool(suffix and suffix["gz"]))
    if format == "text":
        if column is not None:
            raise errors.ConfigError(
                f"the column {column!r} is asked for, and each line of {file.name} is "
                "read as a text; expected no column, or --format jsonl, csv or tsv."
            )
        return _lines(file)
    if format == "jsonl":
        return _rows(text_files.JsonLines(file).scan(_undigested), column)
    column, records = text_files.read_column(
        file,
        column,
        _default_column,
        quoted=format == "csv",
        hint="--column names another; by its position, from 0, where no line names the "
        "columns.",
    )
    return _rows(records, column)


def _opened(
    source: str | io.BufferedIOBase, is_compressed: bool
) -> "byte_file.ByteFile | _Pipe":
    if not isinstance(source, str):
        return _Pipe(source, "standard input")
    path = pathlib.Path(source).expanduser()
    if not path.exists():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = errors.nearest(path.name, [entry.name for entry in beside])
        raise errors.DataError(f"{source} cannot be read: there is no such file.{near}")
    if path.is_fifo() or path.is_char_device():  # as in `generate MODEL <(command)`
        return _Pipe(path.open("rb"), source)
    file = byte_file.ByteFile(path, source)
    return gzip_file.decompressed(file) if is_compressed else file


class _Pipe:
    """What can be read once only, in the manner of a `byte_file.ByteFile`.

    Looks at its beginning, which feed no digest, keep what they read, and the pass over
    all of it begins with that.
    """

    size, identity = 0, ()

    def __init__(self, file: io.BufferedIOBase, name: str):
        self._file, self.name = file, name
        self._beginning = b""

    @contextlib.contextmanager
    def stream(
        self, feed: Callable[[bytes], object] | None = None
    ) -> Iterator[io.BufferedReader]:
        """See `byte_file.ByteFile.stream`."""
        kept = bytearray()
        replay = _Replay(self._beginning, self._file, feed or kept.extend)
        yield io.BufferedReader(replay)
        self._beginning = bytes(kept)
        if feed is not None:
            self._file.close()


class _Replay(io.RawIOBase):
    """Some bytes, then what comes from a stream; a function is shown all of it."""

    def __init__(
        self, first: bytes, rest: io.BufferedIOBase, feed: Callable[[bytes], object]
    ):
        self._first, self._rest, self._feed = io.BytesIO(first), rest, feed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        # At most one read of the pipe: a line is a text as soon as it is there.
        count = self._first.readinto(buffer) or self._rest.readinto1(buffer)
        self._feed(buffer[:count])
        return count


def _undigested(content: bytes) -> None:
    """Takes what the readers would feed to a digest."""


def _lines(file: "byte_file.ByteFile | _Pipe") -> Iterator[SourceText]:
    with file.stream(_undigested) as stream:
        for number in itertools.count(1):
            content = stream.readline(byte_file.MAX_RECORD_BYTES + 1)
            if not content:
                return
            if len(content) > byte_file.MAX_RECORD_BYTES:
                raise errors.DataError(
                    f"{file.name}, line {number}: the line is longer than "
                    f"{byte_file.MAX_RECORD_BYTES:,} bytes; a text a line is expected."
                )
            if number == 1:
                if content.startswith(_UTF_16):
                    raise errors.DataError(
                        f"{file.name} begins like a file in UTF-16; UTF-8 is expected. "
                        "`iconv -f UTF-16 -t UTF-8` converts it."
                    )
                content = content.removeprefix(_BYTE_ORDER_MARK)
            try:
                text = table.decode(content.removesuffix(b"\n").removesuffix(b"\r"))
            except table.BadRow as bad:
                text = bad
            yield SourceText(number, text)


def _rows(records: Iterator[table.Record], column: str | None) -> Iterator[SourceText]:
    for record in records:
        if isinstance(record.values, table.BadRow):
            yield SourceText(record.number, record.values)
            continue
        try:
            text = _text(record.values, column or _default_column(record.values))
        except table.BadRow as bad:
            text = bad
        yield SourceText(record.number, text, record.values.get(_ID))


def _default_column(names: Sequence[str] | Mapping[str, object]) -> str:
    return next((name for name in DEFAULT_COLUMNS if name in names), DEFAULT_COLUMNS[0])


def _text(values: Mapping[str, object], column: str) -> str:
    names = columns.joined(column)
    for name in names:
        if name not in values:
            missing = columns.no_such_column(name, values)
            raise table.BadRow("missing column", f"{missing} --column names another.")
    texts = [values[name] for name in names]
    if all(isinstance(text, str) and not text.strip() for text in texts):
        return " ".join(texts)  # no example to learn from, but a text
    return columns.Columns(column, (column,)).to_example(values, "").source
