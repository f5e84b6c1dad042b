"""What commands say on standard error."""

import logging
import sys


def say(message: str) -> None:
    """Says one line; texts that were asked for go to standard output."""
    print(f"bertgen: {message}", file=sys.stderr)


class Sayer(logging.Handler):
    """Says what the library warns of."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        say(record.getMessage())


def several(count: int, noun: str) -> str:
    """1, "text" -> "1 text"; 2,000, "text" -> "2,000 texts"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
