"""Files that belong together in, line by line or segment by segment; rows of them out.

Each file is a column. Which row is where is noted for each file, so a row is read with
as many reads as there are columns.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, no_such_column
from bertgen_jax.data.formats import byte_file, lines, sgml, table

_Piece = lines.Line | sgml.Segment


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the files are divided.

    Attributes:
      unit: what a row is in each of them.
      split: a file and its name -> its pieces in order. Pieces that are blank in all
        files are no row at the end of these.
      parse: the bytes of a piece -> its text.
      label: what a piece is called in its file, and its counterparts in the others.
    """

    unit: str
    split: Callable[[io.BufferedReader, str], Iterator[_Piece]]
    parse: Callable[[bytes], str]
    label: Callable[[_Piece], str]


LINES = Layout("line", lines.lines, lines.line_text, lambda line: "")
SEGMENTS = Layout(
    "segment", sgml.segments, sgml.segment_text, lambda segment: segment.label
)


class ParallelFiles:
    """Several files of which the first pieces make a row, the second ones, and so on.

    An address is where the piece of the first file begins and ends, then that of the
    second, and so on.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, byte_file.ByteFile],
        columns: Columns,
        layout: Layout,
    ):
        for column in columns.names:
            if column not in files:
                raise errors.DataError(
                    f"{name}: {no_such_column(column, files)} What stands in "
                    "the braces names the columns."
                )
        self._files, self._layout = dict(files), layout
        self.name, self.unit = name, layout.unit
        self.size = sum(file.size for file in files.values())
        self.identity = [layout.unit]
        for column, file in files.items():
            self.identity += [column, *file.identity]

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`.

        Raises:
          DataError: the files have not as many rows, or these have other names; one of
            them is malformed.
        """
        digests = {column: hashlib.blake2b() for column in self._files}
        with contextlib.ExitStack() as opened:
            pieces = [
                self._layout.split(
                    opened.enter_context(file.stream(digests[column].update)), file.name
                )
                for column, file in self._files.items()
            ]
            rows = enumerate(itertools.zip_longest(*pieces), start=1)
            for number, row in _without_blank_end(rows):
                self._check_together(row, number)
                address = [place for one in row for place in (one.start, one.end)]
                yield table.Record(
                    tuple(address), number, self._try([one.content for one in row])
                )
        # Which text is which column must tell, and the order in the braces need not.
        for column in sorted(digests):
            feed(f"{column}\n".encode() + digests[column].digest())

    def read(self, *address: int) -> Mapping[str, object]:
        """See `table.Table`."""
        places = zip(address[::2], address[1::2], strict=True)
        return self._parse(
            file.read(*place)
            for file, place in zip(self._files.values(), places, strict=True)
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
                values[column] = self._layout.parse(content)
            except table.BadRow as bad:
                detail = f"in column {column!r}, {bad.detail}"
                raise table.BadRow(bad.reason, detail) from None
        return values

    def _check_together(self, row: Iterable[_Piece | None], number: int) -> None:
        """Refuses a row of which a file has nothing, or something of another name."""
        if None in row:
            counts = [
                f"{self._count(file):,} in {file.name}" for file in self._files.values()
            ]
            raise errors.DataError(
                f"{self.name}: files that belong together have as many {self.unit}s; "
                f"found {' and '.join(counts)}. One of them is cut off, or another's."
            )
        labels = [self._layout.label(one) for one in row]
        for file, label in zip(self._files.values(), labels, strict=True):
            if label != labels[0]:
                first = next(iter(self._files.values()))
                raise errors.DataError(
                    f"{self.name}: {self.unit} {number} is {labels[0]} of {first.name} "
                    f"and {label} of {file.name}; files that belong together have the "
                    "same ones in the same order."
                )

    def _count(self, file: byte_file.ByteFile) -> int:
        with file.stream() as stream:
            return sum(1 for _ in self._layout.split(stream, file.name))


def _without_blank_end(
    rows: Iterable[tuple[int, tuple[_Piece | None, ...]]],
) -> Iterator[tuple[int, tuple[_Piece | None, ...]]]:
    """Leaves out the last rows, as long as no file has a text in them."""
    blank = []
    for number, row in rows:
        blank.append((number, row))
        if any(one is not None and one.content.strip() for one in row):
            yield from blank
            blank.clear()
