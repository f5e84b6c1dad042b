"""chrF and chrF++ by the sacrebleu library: texts in, scores out."""

import functools
from typing import Literal

import numpy as np
from sacrebleu.metrics import CHRF

from bertgen_jax.metrics import sacrebleu_counts
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs


def measure(
    outputs: Outputs,
    *,
    word_orders: Literal[0, 2] = 0,
    lowercase: bool = False,
    name: str = "chrf",
) -> list[Measurement]:
    """The F2 score of character n-grams, n from 1 to 6 (Popović 2015), blanks left out.

    An example without a character in prediction or reference adds nothing; a corpus of
    such examples scores 0. Of several references the best counts.

    Args:
      outputs: predictions and references.
      word_orders: 0, chrF2; 2, chrF++, with n-grams of 1 and 2 words.
      lowercase: whether case is ignored.
      name: of the measurement.
    """
    metric = CHRF(word_order=word_orders, lowercase=lowercase)
    statistics = sacrebleu_counts.statistics(metric, outputs)
    signature = sacrebleu_counts.signature(metric)
    value_of = functools.partial(_value, beta=metric.beta)
    return [Measurement(name, signature, statistics, value_of)]


def _value(sums: np.ndarray, beta: int) -> np.ndarray:
    """Sums f64[..., 3 orders] to F scores of the mean precision and the mean recall."""
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


def _shares(parts: np.ndarray, wholes: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=where)
