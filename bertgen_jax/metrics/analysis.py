"""Length, repetition and novelty of predictions, as in the paper's Table 7.

Words are separated by whitespace. To analyse the references, put them in the place of
the predictions with `Outputs.replace_predictions`.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from bertgen_jax import errors
from bertgen_jax.metrics import metric_value
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.text import ngrams

FREQUENT_WORDS = 500  # as in the paper
NOVELTY_ORDERS = 4

Frequent = Literal["references", "predictions", "both"]

_FREQUENT: Mapping[str, tuple[bool, bool]] = {  # in references, in predictions
    "references": (True, False),
    "predictions": (False, True),
    "both": (True, True),
}


def compute_length(outputs: Outputs, *, name: str = "length") -> list[MetricValue]:
    """Computes the mean number of words, and all words in percent of the references'.

    The length of several references is their mean. The ratio is 0 if no reference has
    words.

    Args:
      outputs: predictions and references.
      name: of the mean; the ratio is NAME_ratio.
    """
    lengths = [len(text.split()) for text in outputs.predictions]
    reference_lengths = [
        np.mean([len(text.split()) for text in texts]) for texts in outputs.references
    ]
    signature = "tok:blanks"
    return [
        metric_value.mean(name, lengths, signature),
        metric_value.ratio(
            f"{name}_ratio",
            lengths,
            reference_lengths,
            f"nrefs:{outputs.reference_count}|{signature}",
        ),
    ]


def compute_repetition(
    outputs: Outputs,
    *,
    frequent: Frequent = "references",
    lowercase: bool = False,
    name: str = "repetition",
) -> list[MetricValue]:
    """Computes the percentage of predictions in which a rare word occurs twice or more.

    All words are rare but the 500 most frequent ones. Equally frequent words are
    ranked alphabetically.

    Args:
      outputs: predictions and references.
      frequent: the texts in which words are counted: "references", which makes systems
        comparable; "predictions"; "both", as in the paper.
      lowercase: whether case is ignored.
      name: of the value.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("frequent", frequent, _FREQUENT)
    in_references, in_predictions = _FREQUENT[frequent]
    predictions = [_words(text, lowercase) for text in outputs.predictions]
    counts: Counter[str] = Counter()
    if in_references:
        for text in itertools.chain.from_iterable(outputs.references):
            counts.update(_words(text, lowercase))
    if in_predictions:
        counts.update(itertools.chain.from_iterable(predictions))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    common = set(ranked[:FREQUENT_WORDS])
    repeats = [100 * _has_repeats(words, common) for words in predictions]
    signature = (
        f"frequent:{FREQUENT_WORDS} of {frequent}"
        f"|case:{'lc' if lowercase else 'mixed'}|tok:blanks"
    )
    return [metric_value.mean(name, repeats, signature)]


def compute_novelty(outputs: Outputs, *, name: str = "novelty") -> list[MetricValue]:
    """Computes the percentage of n-grams of the predictions that their sources lack.

    Case is ignored. The n-grams of all predictions are pooled, and repeated n-grams
    count each time. The value is 0 if no prediction has n-grams.

    Args:
      outputs: predictions and sources.
      name: the values for n-grams of 1 to 4 words are called NAME1 to NAME4.

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
            predicted = list(ngrams(words, order))
            novel = sum(gram not in known for gram in predicted)
            counts[row, order - 1] = novel, len(predicted)
    return [
        metric_value.ratio(
            f"{name}{order}",
            counts[:, order - 1, 0],
            counts[:, order - 1, 1],
            "case:lc|tok:blanks",
        )
        for order in range(1, NOVELTY_ORDERS + 1)
    ]


def _words(text: str, lowercase: bool) -> list[str]:
    return (text.lower() if lowercase else text).split()


def _has_repeats(words: Sequence[str], common: set[str]) -> bool:
    rare = [word for word in words if word not in common]
    return len(set(rare)) < len(rare)
