"""The interface of all readers: a table whose rows are found by their addresses."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

EXCERPT_CHARACTERS = 80


class BadRow(Exception):
    """A row that is not a valid example.

    Attributes:
      reason: a few words that are equal for rows with the same fault, for counting.
      detail: a sentence that says what was found and what was expected.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Record(NamedTuple):
    """One row of a table, as the pass over the whole table yields it.

    Attributes:
      address: the arguments of `Table.read` for this row, such as the bytes where it
        begins and ends; all rows of a table have the same number of them.
      number: where users find the row: the line of a text file, else the row; from 1.
      values: the columns by name, or why there are none.
    """

    address: tuple[int, ...]
    number: int
    values: Mapping[str, object] | BadRow


class Table(Protocol):
    """A data file, files that belong together, or a dataset of the hub.

    Attributes:
      name: the name for messages.
      unit: the unit of `Record.number`, such as "line", "record" or "row".
      size: the size on disk in bytes.
      identity: a JSON-like value that is cheap to get and changes with the content;
        None if the table has no such value.
    """

    name: str
    unit: str
    size: int
    identity: list[str | int] | None

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[Record]:
        """Yields every row in one pass and feeds the content to a digest.

        Raises:
          DataError: the rows cannot be told apart.
        """
        ...

    def read(self, *address: int) -> Mapping[str, object]:
        """Returns the columns of the row at an address; safe in several threads."""
        ...


def excerpt(content: str | bytes) -> str:
    """Quotes the beginning of a text on one line, for a message."""
    if isinstance(content, bytes):
        content = content[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")
    if len(content) <= EXCERPT_CHARACTERS:
        return repr(content)
    return repr(content[:EXCERPT_CHARACTERS]) + "..."


def decode(content: bytes) -> str:
    """Decodes UTF-8.

    Raises:
      BadRow: the content is not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadRow(
            "invalid UTF-8",
            f"byte {error.start + 1} of the row, 0x{content[error.start]:02x}, is not "
            f"UTF-8, in {excerpt(content[max(0, error.start - 30) :])}.",
        ) from None
