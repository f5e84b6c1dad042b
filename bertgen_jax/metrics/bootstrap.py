"""Confidence intervals of metric values, and p-values of differences between systems.

Everything is computed from `MetricValue.statistics`, so it works for any metric. Both
tests follow sacreBLEU 2 to the same random numbers.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics.metric_value import MetricValue, Score

_MAX_COUNTS = 1 << 31  # 8 GiB
_DRAWN_AT_ONCE = 1 << 20  # indices: 8 MiB, whatever the number of samples and examples
_ROUNDING = 1e-9  # of values up to 100 whose sums are taken in different orders
_TRIALS_AT_ONCE = 256  # bounds memory: each trial and example takes eight bytes


class Resamples:
    """Bootstrap samples: how often each of n examples is drawn in each sample.

    Use the same samples for all metrics, so that they can be compared. A seed gives the
    same samples on every machine, and the samples of sacreBLEU.

    Attributes:
      counts: f32[samples, n].
      seed: of the draws.
    """

    def __init__(self, examples: int, samples: int = 1_000, seed: int = 0):
        """Draws the samples, each of as many examples as there are.

        Raises:
          ConfigError: no examples or no samples, too many of them, or a negative seed.
        """
        if examples < 1 or samples < 1:
            raise ConfigError(
                f"A bootstrap needs examples and samples; found {examples} examples "
                f"and {samples} samples."
            )
        if seed < 0:
            raise ConfigError(f"the seed is {seed}; expected 0 or more.")
        if examples * samples > _MAX_COUNTS:
            raise ConfigError(
                f"{samples:,} samples of {examples:,} examples do not fit in memory; "
                f"expected at most {_MAX_COUNTS // examples:,} samples."
            )
        self.seed = seed
        self.counts = np.empty((samples, examples), np.float32)
        for sample, drawn in enumerate(_draws(examples, samples, seed)):
            self.counts[sample] = np.bincount(drawn, minlength=examples)

    def values(self, metric: MetricValue) -> np.ndarray:
        """Returns the value of the metric on each sample: f64[samples]."""
        rows = max(1, _DRAWN_AT_ONCE // self.counts.shape[1])
        sums = [  # in blocks, because each block becomes f64
            self.counts[start : start + rows] @ metric.statistics
            for start in range(0, len(self.counts), rows)
        ]
        return metric.value_of(np.concatenate(sums))

    def interval(
        self, metric: MetricValue, confidence: float = 0.95
    ) -> tuple[float, float]:
        """Returns the percentile interval of a metric.

        Args:
          metric: over the n examples.
          confidence: the share of the samples whose values lie inside.

        Raises:
          ConfigError: `confidence` is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ConfigError(
                f"confidence is {confidence}; expected a share between 0 and 1."
            )
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.values(metric), [tail, 1 - tail])
        return float(low), float(high)


def scores(values: Iterable[MetricValue], resamples: Resamples) -> dict[str, Score]:
    """Returns each value with its 95% interval, by name."""
    samples, examples = resamples.counts.shape
    choices = f"bootstrap:{samples}|seed:{resamples.seed}|n:{examples}"
    return {
        metric.name: Score(
            metric.name,
            metric.value,
            *resamples.interval(metric),
            f"{metric.signature}|{choices}",
        )
        for metric in values
    }


def paired_bootstrap(
    system: MetricValue, baseline: MetricValue, resamples: Resamples
) -> float:
    """Returns the p-value of a difference under resampling (Koehn 2004).

    Args:
      system: one metric over the n examples.
      baseline: the same metric over another system's outputs for the same examples.
      resamples: of these examples.

    Raises:
      DataError: the numbers of examples differ.
    """
    _check_same_examples(system, baseline)
    differences = np.abs(resamples.values(system) - resamples.values(baseline))
    return _p_value(
        differences - differences.mean(), abs(system.value - baseline.value)
    )


def approximate_randomization(
    system: MetricValue, baseline: MetricValue, trials: int = 10_000, seed: int = 0
) -> float:
    """Returns the p-value of a difference under random swaps (Riezler & Maxwell 2005).

    Args:
      system: one metric over the n examples.
      baseline: the same metric over another system's outputs for the same examples.
      trials: how many times the two systems swap the outputs of random examples.
      seed: of the swaps.

    Raises:
      DataError: the numbers of examples differ.
    """
    _check_same_examples(system, baseline)
    generator = np.random.default_rng(seed)
    coins = generator.integers(2, size=(trials, len(system.statistics)), dtype=bool)
    both = system.statistics.sum(axis=0) + baseline.statistics.sum(axis=0)
    blocks = []
    for start in range(0, trials, _TRIALS_AT_ONCE):
        swaps = coins[start : start + _TRIALS_AT_ONCE].astype(np.float64)
        mixed = swaps @ baseline.statistics + (1 - swaps) @ system.statistics
        blocks.append(system.value_of(mixed) - system.value_of(both - mixed))
    differences = np.abs(np.concatenate(blocks))
    return _p_value(differences, abs(system.value - baseline.value))


def _p_value(by_chance: np.ndarray, difference: float) -> float:
    # Strictly larger, so that a system compared with itself, whose differences are all
    # 0, has the smallest p-value.
    exceeding = np.sum(by_chance > difference + _ROUNDING)
    return float((exceeding + 1) / (len(by_chance) + 1))


def _check_same_examples(system: MetricValue, baseline: MetricValue) -> None:
    if len(system.statistics) != len(baseline.statistics):
        raise DataError(
            f"{system.name} is computed over {len(system.statistics):,} examples and "
            f"over {len(baseline.statistics):,} for the other system; expected the "
            "same examples."
        )


def _draws(examples: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // examples)
    for start in range(0, samples, rows):
        yield from generator.integers(
            examples, size=(min(rows, samples - start), examples)
        )
