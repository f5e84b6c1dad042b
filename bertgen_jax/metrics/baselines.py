"""Answers that nobody had to learn: a source in, a prediction out."""

import functools
from collections.abc import Callable, Mapping

from bertgen_jax.metrics import sentences
from bertgen_jax.normalization import SEPARATOR


def copy(source: str) -> str:
    """The source itself."""
    return source


def halve(source: str) -> str:
    """Two sentences for one: cut in the middle, the first half ended by a full stop.

      "it rained , so we left ." -> "it rained . <::::> so we left ."

    A comma at the cut is dropped. A source of fewer than two words is not cut.
    """
    words = source.split()
    if len(words) < 2:
        return source
    middle = len(words) // 2
    first = words[:middle]
    if first[-1] == ",":
        first.pop()
    return " ".join([*first, ".", SEPARATOR, *words[middle:]])


def concatenate(source: str) -> str:
    """One text for several sentences: those between separators, joined by a blank."""
    return " ".join(part.strip() for part in source.split(SEPARATOR) if part.strip())


BASELINES: Mapping[str, Callable[[str], str]] = {
    "copy": copy,  # what rewrites a little
    "lead-1": sentences.lead,  # one-sentence summaries
    "lead-3": functools.partial(sentences.lead, sentences=3),  # longer ones
    "halve": halve,  # sentence splitting
    "concatenate": concatenate,  # sentence fusion
}
