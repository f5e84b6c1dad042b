"""Splits text files into lines, with the position of each line in its file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, NamedTuple

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file, table

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Line(NamedTuple):
    """A line, or the lines of a quoted record, and where it stands in its file."""

    start: int  # the first byte
    end: int  # the byte behind the last one
    number: int  # of its first line, from 1
    content: bytes  # line end included


def lines(stream: IO[bytes], name: str) -> Iterator[Line]:
    """Splits at line feeds only, because U+2028 and the like are text.

    Raises:
      DataError: a line is too long, or the file is in UTF-16.
    """
    start = number = 0
    while content := stream.readline(byte_file.MAX_RECORD_BYTES + 1):
        number += 1
        end = start + len(content)
        if number == 1:
            content = remove_byte_order_mark(content, name)
        check_size(len(content), name, number)
        if content:
            yield Line(end - len(content), end, number, content)
        start = end


def line_text(content: bytes) -> str:
    """Returns the text of a line, without the line end.

    Raises:
      BadRow: it is not UTF-8.
    """
    return table.decode(content).removesuffix("\n").removesuffix("\r")


def remove_byte_order_mark(content: bytes, name: str) -> bytes:
    """Removes the byte-order mark of UTF-8 from the beginning of a file.

    Raises:
      DataError: the file is in UTF-16, as its mark says.
    """
    if content.startswith(_UTF_16_MARKS):
        raise errors.DataError(
            f"{name} begins like a file in UTF-16; expected UTF-8. "
            "`iconv -f UTF-16 -t UTF-8` converts it."
        )
    return content.removeprefix(_BYTE_ORDER_MARK)


def check_size(size: int, name: str, number: int) -> None:
    """Rejects a record that is so long that its end is probably missing."""
    if size > byte_file.MAX_RECORD_BYTES:
        raise errors.DataError(
            f"{name}, line {number}: the record is longer than "
            f"{byte_file.MAX_RECORD_BYTES:,} bytes. Is a line end or a closing quote "
            "missing?"
        )


def records(
    rows: Iterable[Line], parse: Callable[[bytes], Mapping[str, object]]
) -> Iterator[table.Record]:
    """Parses rows. Blank lines at the end of a file are no rows; others are bad rows.

    Args:
      rows: the lines of a file, or the quoted records made of them.
      parse: returns the columns of a row, or raises `BadRow`.
    """
    blank: list[Line] = []
    for row in rows:
        if not row.content.strip():
            blank.append(row)
            continue
        for line in blank:
            bad = table.BadRow("blank line", "the line is blank; expected a row.")
            yield table.Record((line.start, line.end), line.number, bad)
        blank.clear()
        try:
            values = parse(row.content)
        except table.BadRow as bad:
            values = bad
        yield table.Record((row.start, row.end), row.number, values)
