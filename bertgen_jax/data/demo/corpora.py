"""The embedded corpora by name.

They are made by code, so that a first run needs no download, and are the same on every
machine. No source and no reference of one split occurs in another.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from bertgen_jax import errors
from bertgen_jax.data.columns import Example
from bertgen_jax.data.demo import fusions, headlines, news, splits, translations
from bertgen_jax.data.demo.draw import Draw

# Made in this order, so that the other splits do not depend on the size of "train".
SIZES: Mapping[str, int] = {"test": 200, "validation": 200, "train": 20_000}

CORPORA: Mapping[str, Callable[[Draw], Iterator[tuple[str, str]]]] = {
    "english_german": translations.english_german,
    "fusions": fusions.fusions,
    "german_english": translations.german_english,
    "headlines": headlines.headlines,
    "highlights": news.highlights,
    "news": news.news,
    "splits": splits.splits,
}


def corpus(name: str, split: str) -> Sequence[Example]:
    """Returns the examples of one split of an embedded corpus.

    Args:
      name: one of `CORPORA`.
      split: "train", "validation" or "test".

    Returns:
      Examples with ids such as "news-test-17", counted from 1.

    Raises:
      DataError: an unknown corpus or split.
    """
    if name not in CORPORA:
        raise errors.DataError(
            f"There is no embedded corpus {name!r}.{errors.nearest(name, CORPORA)} "
            f"Expected one of {', '.join(CORPORA)}."
        )
    if split not in SIZES:
        raise errors.DataError(
            f"The embedded corpus {name!r} has no split {split!r}."
            f"{errors.nearest(split, SIZES)} Expected train, validation or test."
        )
    return _splits(name)[split]


@functools.cache
def _splits(name: str) -> dict[str, tuple[Example, ...]]:
    pairs = _distinct(CORPORA[name](Draw(seed=2019)))  # the year of the paper
    return {
        split: tuple(
            Example(f"{name}-{split}-{number}", source, (target,))
            for number, (source, target) in enumerate(itertools.islice(pairs, size), 1)
        )
        for split, size in SIZES.items()
    }


def _distinct(pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yields the pairs whose source and target are both new."""
    seen = set()
    for source, target in pairs:
        if source not in seen and target not in seen:
            seen |= {source, target}
            yield source, target
