"""What the readers share: a table is something whose rows are found by an address."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

EXCERPT_CHARACTERS = 80


class BadRow(Exception):
    """A row that is no example.

    Attributes:
      reason: a few words that rows with the same fault share, for counting.
      detail: what was found and what was expected, in a sentence.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Record(NamedTuple):
    """One row of a table, as the pass over the whole table yields it.

    Attributes:
      address: the numbers that `Table.read` finds the row by, such as the bytes where
        it begins and ends; in one table each row has as many.
      number: where users find it: the line of a text file, else the row; from 1.
      values: the columns by name, or why there are none.
    """

    address: tuple[int, ...]
    number: int
    values: Mapping[str, object] | BadRow


class Table(Protocol):
    """A data file, files that belong together, or a dataset of the hub.

    Attributes:
      name: as the user wrote it, for messages.
      unit: what `Record.number` counts, such as "line", "record" or "row".
      size: the bytes that it takes on disk.
      identity: cheap and JSON-like; while it stays the same, so does the content. None
        when there is no such thing.
    """

    name: str
    unit: str
    size: int
    identity: list[str | int] | None

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[Record]:
        """Yields every row in one pass and feeds the content to a digest.

        Raises:
          DataError: it cannot be told where rows begin and end.
        """
        ...

    def read(self, *address: int) -> Mapping[str, object]:
        """The columns of the row at an address; safe to call from several threads."""
        ...


def excerpt(content: str | bytes) -> str:
    """The beginning of something in quotes, on one line, for a message."""
    if isinstance(content, bytes):
        content = content[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")
    if len(content) <= EXCERPT_CHARACTERS:
        return repr(content)
    return repr(content[:EXCERPT_CHARACTERS]) + "..."


def decode(content: bytes) -> str:
    """Text from UTF-8.

    Raises:
      BadRow: it is something else.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadRow(
            "invalid UTF-8",
            f"byte {error.start + 1} of the row, 0x{content[error.start]:02x}, is not "
            f"UTF-8, in {excerpt(content[max(0, error.start - 30) :])}.",
        ) from None
