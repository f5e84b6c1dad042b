"""chrF and TER by the sacrebleu library, and its statistics and signatures."""

import functools
import itertools
from typing import Literal

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs

# Words of a prediction times words of its reference. One example of this size takes
# half a minute.
_MAX_TER_CELLS = 1_000_000


def compute_chrf(
    outputs: Outputs,
    *,
    word_orders: Literal[0, 2] = 0,
    lowercase: bool = False,
    name: str = "chrf",
) -> list[MetricValue]:
    """Computes the F2 score of character n-grams of 1 to 6 characters (Popović 2015).

    Spaces are removed. An example whose prediction or reference is empty adds nothing;
    a corpus of such examples scores 0. Of several references the best one counts.

    Args:
      outputs: predictions and references.
      word_orders: 0 for chrF2; 2 for chrF++, which adds n-grams of 1 and 2 words.
      lowercase: whether case is ignored.
      name: of the value.
    """
    metric = CHRF(word_order=word_orders, lowercase=lowercase)
    example_statistics = statistics(metric, outputs)
    value_of = functools.partial(_chrf_value, beta=metric.beta)
    return [MetricValue(name, signature(metric), example_statistics, value_of)]


def compute_ter(outputs: Outputs, *, name: str = "ter") -> list[MetricValue]:
    """Computes the translation edit rate (Snover et al. 2006); lower is better.

    TER is the number of edits, of words and of moved blocks, in percent of the length
    of the reference; it can exceed 100. Case is ignored, and words are separated by
    whitespace. Of several references the nearest one gives the edits and their mean
    length is the length. Against a reference without words, a prediction with words
    scores 100 and one without words 0.

    Args:
      outputs: predictions and references; slow for texts of more than 200 words.
      name: of the value.

    Raises:
      DataError: a text is so long that this would take minutes.
    """
    outputs.check_size("TER", _MAX_TER_CELLS, lambda text: len(text.split()))
    metric = TER()
    example_statistics = statistics(metric, outputs)
    return [MetricValue(name, signature(metric), example_statistics, _ter_value)]


def statistics(metric: Metric, outputs: Outputs) -> np.ndarray:
    """Returns the statistics f64[n, k] that `metric` sums over the examples.

    They come from a private method, because sacrebleu's public scores are of sums.
    """
    # Streams: the first reference of every example, the second, ...; None where an
    # example has fewer references.
    streams = list(itertools.zip_longest(*outputs.references))
    rows = metric._extract_corpus_statistics(list(outputs.predictions), streams)
    return np.array(rows, np.float64)


def signature(metric: Metric) -> str:
    """Returns sacreBLEU's signature of a metric; call `statistics` first."""
    return str(metric.get_signature())


def _chrf_value(sums: np.ndarray, beta: int) -> np.ndarray:
    """Maps sums f64[..., 3 orders] to F scores of mean precision and mean recall."""
    # [..., orders] each: n-grams of the prediction, of the reference, of both.
    predicted, wanted, shared = np.moveaxis(
        sums.reshape(*sums.shape[:-1], -1, 3), -1, 0
    )
    exist = (predicted > 0) & (wanted > 0)
    orders = np.maximum(1, exist.sum(axis=-1))
    precision = _shares(shared, predicted, exist).sum(axis=-1) / orders
    recall = _shares(shared, wanted, exist).sum(axis=-1) / orders
    top, bottom = (1 + beta**2) * precision * recall, beta**2 * precision + recall
    return 100 * _shares(top, bottom, bottom > 0)


def _ter_value(sums: np.ndarray) -> np.ndarray:
    """Maps sums of edits and of reference lengths, f64[..., 2], to percentages."""
    edits, lengths = sums[..., 0], sums[..., 1]
    without_reference = np.where(edits > 0, 1.0, 0.0)
    return 100 * np.divide(edits, lengths, out=without_reference, where=lengths > 0)


def _shares(parts: np.ndarray, wholes: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=where)
