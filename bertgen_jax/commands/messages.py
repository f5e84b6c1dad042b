"""Prints the messages of commands to standard error; results go to standard output."""

import logging
import sys


def print_message(message: str) -> None:
    """Prints one message."""
    print(f"bertgen: {message}", file=sys.stderr)


class MessageHandler(logging.Handler):
    """Prints the warnings that the library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        print_message(record.getMessage())


def plural(count: int, noun: str) -> str:
    """1, "text" -> "1 text"; 2000, "text" -> "2,000 texts"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
