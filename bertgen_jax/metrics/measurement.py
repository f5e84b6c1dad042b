"""`Measurement`: what a metric finds of each example, and how sums become a number.

A corpus score is a function of sums over the examples: of n-gram counts for BLEU, of
scores and of examples for a mean. So any part of the examples, or a resample of them,
is scored without looking at a text again.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """One metric of n examples.

    Attributes:
      name: what was measured, such as "rougeL".
      signature: every choice that fixes the value, as "key:value" joined by "|".
      statistics: f64[n, k], what is summed over the examples.
      value_of: sums f64[..., k] to scores f64[...], mostly 0 to 100.
    """

    name: str
    signature: str
    statistics: np.ndarray
    value_of: Callable[[np.ndarray], np.ndarray]

    @property
    def value(self) -> float:
        """The score of all examples."""
        return float(self.value_of(self.statistics.sum(axis=0)))

    @property
    def per_example(self) -> np.ndarray:
        """The score of each example alone: f64[n]."""
        return self.value_of(self.statistics)


def sign(measurements: Sequence[Measurement], choice: str) -> list[Measurement]:
    """The same with one more choice in their signatures, such as "texts:quotes"."""
    return [
        dataclasses.replace(one, signature=f"{one.signature}|{choice}")
        for one in measurements
    ]


def mean(name: str, values: np.ndarray, signature: str) -> Measurement:
    """The mean of scores f64[n] of single examples."""
    values = np.asarray(values, np.float64)
    return Measurement(
        name, signature, np.stack([values, np.ones_like(values)], axis=1), _quotient
    )


def ratio(
    name: str, parts: np.ndarray, wholes: np.ndarray, signature: str
) -> Measurement:
    """The percentage that the parts f64[n] are of the wholes f64[n], corpus-wide."""
    statistics = np.stack([np.asarray(parts), np.asarray(wholes)], axis=1)
    return Measurement(name, signature, statistics.astype(np.float64), _percentage)


def _quotient(sums: np.ndarray) -> np.ndarray:
    """Parts over wholes; 0 where there is no whole."""
    wholes = sums[..., 1]
    return np.divide(sums[..., 0], wholes, out=np.zeros_like(wholes), where=wholes != 0)


def _percentage(sums: np.ndarray) -> np.ndarray:
    return 100 * _quotient(sums)
