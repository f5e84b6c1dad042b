"""Reads parallel texts: files whose lines or SGML segments belong together by number.

Each file is a column. The position of every row is noted for each file, so a row is
read with one read a column.
"""

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, no_such_column
from bertgen_jax.data.formats import byte_file, lines, sgml, table

_Piece = lines.Line | sgml.Segment


@dataclasses.dataclass(frozen=True)
class Division:
    """How the files are divided into pieces.

    Attributes:
      unit: the name of a piece.
      split: file, name -> the pieces in order. Pieces at the end that are blank in all
        files are no row.
      parse: the bytes of a piece -> its text.
    """

    unit: str
    split: Callable[[IO[bytes], str], Iterator[_Piece]]
    parse: Callable[[bytes], str]


LINES = Division("line", lines.lines, lines.line_text)
SEGMENTS = Division("segment", sgml.segments, sgml.segment_text)


class ParallelText:
    """Several files of which the first pieces make a row, the second ones, and so on.

    An address is the start and the end of the piece in the first file, then in the
    second, and so on.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, byte_file.ByteFile],
        columns: Columns,
        division: Division,
    ):
        for column in columns.names:
            if column not in files:
                raise errors.DataError(
                    f"{name}: {no_such_column(column, files)} The names in the braces "
                    "are the columns."
                )
        self._files, self._division = dict(files), division
        self.name, self.unit = name, division.unit
        self.size = sum(file.size for file in files.values())
        self.identity: list[str | int] | None = [division.unit]
        for column, file in files.items():
            self.identity += [column, *file.identity]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`.

        Raises:
          DataError: the files differ in the number or the names of their pieces, or one
            of them is malformed.
        """
        digests = {column: hashlib.blake2b() for column in self._files}
        with contextlib.ExitStack() as opened:
            files = [
                self._division.split(
                    opened.enter_context(file.stream(digests[column].update)), file.name
                )
                for column, file in self._files.items()
            ]
            rows = enumerate(itertools.zip_longest(*files), start=1)
            for number, pieces in _without_blank_end(rows):
                row = self._check_row(pieces, number)
                address = [position for piece in row for position in piece[:2]]
                contents = [piece.content for piece in row]
                yield table.Record(tuple(address), number, self._try(contents))
        # The digest depends on which text is which column, not on the order of columns.
        for column in sorted(digests):
            feed(f"{column}\n".encode() + digests[column].digest())

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        positions = zip(address[::2], address[1::2], strict=True)
        return self._parse(
            file.read(start, end)
            for file, (start, end) in zip(self._files.values(), positions, strict=True)
        )

    def _try(self, contents: Iterable[bytes]) -> Mapping[str, object] | table.BadRow:
        try:
            return self._parse(contents)
        except table.BadRow as bad:
            return bad

    def _parse(self, contents: Iterable[bytes]) -> Mapping[str, object]:
        values = {}
        for column, content in zip(self._files, contents, strict=True):
            try:
                values[column] = self._division.parse(content)
            except table.BadRow as bad:
                detail = f"in column {column!r}, {bad.detail}"
                raise table.BadRow(bad.reason, detail) from None
        return values

    def _check_row(
        self, pieces: Sequence[_Piece | None], number: int
    ) -> Sequence[_Piece]:
        """Checks that every file has this row, under the same name if it has one."""
        row = [piece for piece in pieces if piece is not None]
        if len(row) < len(pieces):
            counts = [
                f"{self._count(file):,} in {file.name}" for file in self._files.values()
            ]
            raise errors.DataError(
                f"{self.name}: files that belong together have as many {self.unit}s; "
                f"found {' and '.join(counts)}. One of them is cut off, or belongs to "
                "other files."
            )
        first, *further = self._files.values()
        for file, piece in zip(further, row[1:], strict=True):
            if _label(piece) != _label(row[0]):
                raise errors.DataError(
                    f"{self.name}: {self.unit} {number} is {_label(row[0])} of "
                    f"{first.name} and {_label(piece)} of {file.name}; files that "
                    "belong together have the same ones in the same order."
                )
        return row

    def _count(self, file: byte_file.ByteFile) -> int:
        with file.stream() as stream:
            return sum(1 for _ in self._division.split(stream, file.name))


def _label(piece: _Piece) -> str | None:
    """Returns the name of a segment in its file; lines have none."""
    return piece.label if isinstance(piece, sgml.Segment) else None


def _without_blank_end(
    rows: Iterable[tuple[int, tuple[_Piece | None, ...]]],
) -> Iterator[tuple[int, tuple[_Piece | None, ...]]]:
    """Leaves out the last rows, as long as no file has a text in them."""
    blank = []
    for number, pieces in rows:
        blank.append((number, pieces))
        if any(piece is not None and piece.content.strip() for piece in pieces):
            yield from blank
            blank.clear()
