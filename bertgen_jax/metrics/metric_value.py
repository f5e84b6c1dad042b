"""The value of a metric: `MetricValue` to compute with, `Score` to report.

A metric over a corpus is a function of sums over its examples: the sums of n-gram
counts for BLEU, the sum of the values and the number of examples for a mean. A
`MetricValue` keeps the summands of each example, so that the metric of any subset or
resample of the examples is computed without reading a text again.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class MetricValue:
    """One metric over n examples.

    Attributes:
      name: such as "rougeL".
      signature: every choice that fixes the value, as "key:value" joined by "|".
      statistics: f64[n, k], the k numbers of each example that are summed.
      value_of: maps sums f64[..., k] to values f64[...], mostly 0 to 100.
    """

    name: str
    signature: str
    statistics: np.ndarray
    value_of: Callable[[np.ndarray], np.ndarray]

    @property
    def value(self) -> float:
        """The value over all examples."""
        return float(self.value_of(self.statistics.sum(axis=0)))

    @property
    def per_example(self) -> np.ndarray:
        """The value of each example alone: f64[n]."""
        return self.value_of(self.statistics)


@dataclasses.dataclass(frozen=True)
class Score:
    """The value of one metric with its confidence interval.

    Attributes:
      name: such as "rougeL".
      value: mostly 0 to 100.
      low: lower end of the 95% bootstrap interval.
      high: upper end.
      signature: every choice that fixes the value, as "key:value" joined by "|".
    """

    name: str
    value: float
    low: float
    high: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def signatures(scores: Mapping[str, Score]) -> list[str]:
    """Returns lines "rouge1, rouge2: rouge-score 0.1.2|...", one for each signature."""
    names_of: dict[str, list[str]] = {}
    for name, score in scores.items():
        names_of.setdefault(score.signature, []).append(name)
    return [f"{', '.join(names)}: {signature}" for signature, names in names_of.items()]


def mean(name: str, values: npt.ArrayLike, signature: str) -> MetricValue:
    """Returns the mean of the values f64[n] of single examples."""
    values = np.asarray(values, np.float64)
    return MetricValue(
        name, signature, np.stack([values, np.ones_like(values)], axis=1), _quotient
    )


def ratio(
    name: str, parts: npt.ArrayLike, wholes: npt.ArrayLike, signature: str
) -> MetricValue:
    """Returns the percentage of the summed parts f64[n] in the summed wholes f64[n]."""
    statistics = np.stack([np.asarray(parts), np.asarray(wholes)], axis=1)
    return MetricValue(name, signature, statistics.astype(np.float64), _percentage)


def with_choice(values: Sequence[MetricValue], choice: str) -> list[MetricValue]:
    """Appends a choice, such as "texts:quotes", to the signature of each value."""
    return [
        dataclasses.replace(value, signature=f"{value.signature}|{choice}")
        for value in values
    ]


def _quotient(sums: np.ndarray) -> np.ndarray:
    """Divides parts by wholes; 0 where the whole is 0."""
    wholes = sums[..., 1]
    return np.divide(sums[..., 0], wholes, out=np.zeros_like(wholes), where=wholes != 0)


def _percentage(sums: np.ndarray) -> np.ndarray:
    return 100 * _quotient(sums)
