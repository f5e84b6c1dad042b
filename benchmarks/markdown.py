"""Formats tables and text in Markdown."""

import textwrap
from collections.abc import Iterable, Sequence


def header(cells: Sequence[str]) -> list[str]:
    """Returns the first two lines of a table."""
    return [line(cells), "|---" * len(cells) + "|"]


def line(cells: Iterable[str]) -> str:
    """Returns a line of a table."""
    return "| " + " | ".join(cells) + " |"


def wrapped(text: str) -> str:
    """Breaks a paragraph into lines as the documentation does."""
    return textwrap.fill(text, 100, break_on_hyphens=False, break_long_words=False)
