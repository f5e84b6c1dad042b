"""Baselines that need no model: functions from a source to a prediction."""

import functools
from collections.abc import Callable, Mapping

from bertgen_jax.metrics import text
from bertgen_jax.normalization import SEPARATOR


def copy(source: str) -> str:
    """Returns the source itself."""
    return source


def lead(source: str, sentences: int = 1) -> str:
    """Returns the first sentences of the source, one a line."""
    return "\n".join(text.split_sentences(source)[:sentences])


def halve(source: str) -> str:
    """Cuts a sentence in the middle and ends the first half with a full stop.

      "it rained , so we left ." -> "it rained . <::::> so we left ."

    A comma at the cut is dropped. A source of fewer than two words is not cut.
    """
    words = source.split()
    if len(words) < 2:
        return source
    middle = len(words) // 2
    first_half = words[:middle]
    if first_half[-1] == ",":
        first_half.pop()
    return " ".join([*first_half, ".", SEPARATOR, *words[middle:]])


def concatenate(source: str) -> str:
    """Joins the sentences between separators with spaces."""
    return " ".join(part.strip() for part in source.split(SEPARATOR) if part.strip())


BASELINES: Mapping[str, Callable[[str], str]] = {
    "copy": copy,  # tasks that change little
    "lead-1": lead,  # one-sentence summaries
    "lead-3": functools.partial(lead, sentences=3),  # longer summaries
    "halve": halve,  # sentence splitting
    "concatenate": concatenate,  # sentence fusion
}
