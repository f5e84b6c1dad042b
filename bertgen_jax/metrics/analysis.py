"""Length, repetition and novelty of predictions (the paper's Table 7 and its like).

Words are what blanks separate. References are measured by putting them in the place of
predictions: `outputs.replace_predictions`.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from bertgen_jax import errors
from bertgen_jax.metrics import measurement
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.ngrams import ngrams
from bertgen_jax.metrics.outputs import Outputs

FREQUENT_WORDS = 500  # the paper removes as many
NOVELTY_ORDERS = 4

Frequent = Literal["references", "predictions", "both"]

_FREQUENT: Mapping[str, tuple[bool, bool]] = {  # of references, of predictions
    "references": (True, False),
    "predictions": (False, True),
    "both": (True, True),
}


def measure_length(outputs: Outputs, *, name: str = "length") -> list[Measurement]:
    """Mean words of the predictions, and all their words in percent of the references'.

    A prediction has as many words to match as its references have on average. Where no
    reference has words the ratio is 0.

    Args:
      outputs: predictions and references.
      name: of the mean; the ratio is NAME_ratio.
    """
    lengths = [len(one.split()) for one in outputs.predictions]
    expected = [
        np.mean([len(one.split()) for one in several]) for several in outputs.references
    ]
    signature = "tok:blanks"
    return [
        measurement.mean(name, lengths, signature),
        measurement.ratio(
            f"{name}_ratio",
            lengths,
            expected,
            f"nrefs:{outputs.reference_count}|{signature}",
        ),
    ]


def measure_repetition(
    outputs: Outputs,
    *,
    frequent: Frequent = "references",
    lowercase: bool = False,
    name: str = "repetition",
) -> list[Measurement]:
    """The percentage of predictions that hold a rare word twice or more.

    Rare is every word but the 500 most frequent; of two as frequent the alphabet
    decides.

    Args:
      outputs: predictions and references.
      frequent: of which texts: "references", so that systems compare; "predictions";
        "both", as the paper says.
      lowercase: whether case is ignored.
      name: of the measurement.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("frequent", frequent, _FREQUENT)
    of_references, of_predictions = _FREQUENT[frequent]
    predictions = [_words(one, lowercase) for one in outputs.predictions]
    counts: Counter[str] = Counter()
    if of_references:
        for one in itertools.chain.from_iterable(outputs.references):
            counts.update(_words(one, lowercase))
    if of_predictions:
        counts.update(itertools.chain.from_iterable(predictions))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    common = set(ranked[:FREQUENT_WORDS])
    repeats = [100 * _repeats(words, common) for words in predictions]
    signature = (
        f"frequent:{FREQUENT_WORDS} of {frequent}"
        f"|case:{'lc' if lowercase else 'mixed'}|tok:blanks"
    )
    return [measurement.mean(name, repeats, signature)]


def measure_novelty(outputs: Outputs, *, name: str = "novelty") -> list[Measurement]:
    """The percentage of the predictions' n-grams that their sources do not have.

    Case is ignored. All predictions are pooled, and an n-gram counts as often as it
    stands there. It is 0 where no prediction has n-grams.

    Args:
      outputs: predictions and sources.
      name: NAME1 to NAME4 are of n-grams of 1 to 4 words.

    Raises:
      DataError: the sources are not known.
    """
    sources = outputs.known_sources("Novelty")
    counts = np.zeros((len(outputs), NOVELTY_ORDERS, 2))
    for row, (prediction, source) in enumerate(
        zip(outputs.predictions, sources, strict=True)
    ):
        words, source_words = _words(prediction, True), _words(source, True)
        for order in range(1, NOVELTY_ORDERS + 1):
            known = set(ngrams(source_words, order))
            own = list(ngrams(words, order))
            novel = sum(gram not in known for gram in own)
            counts[row, order - 1] = novel, len(own)
    return [
        measurement.ratio(
            f"{name}{order}",
            counts[:, order - 1, 0],
            counts[:, order - 1, 1],
            "case:lc|tok:blanks",
        )
        for order in range(1, NOVELTY_ORDERS + 1)
    ]


def _words(text: str, lowercase: bool) -> list[str]:
    return (text.lower() if lowercase else text).split()


def _repeats(words: Sequence[str], common: set[str]) -> bool:
    rare = [word for word in words if word not in common]
    return len(set(rare)) < len(rare)
