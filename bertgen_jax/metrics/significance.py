"""Two systems' measurements of the same examples in, p-values of the difference out.

Both tests are those of sacreBLEU 2, to the same random numbers, for any metric that is
a `Measurement`.
"""

import numpy as np

from bertgen_jax.errors import DataError
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.measurement import Measurement

_ROUNDING = 1e-9  # of scores up to 100 whose sums are taken in different orders
_TRIALS_AT_ONCE = 256  # a part of the trials: each number takes eight bytes


def paired_bootstrap(
    system: Measurement, baseline: Measurement, resamples: Resamples
) -> float:
    """The p-value of the difference under resampling (Koehn 2004).

    Args:
      system, baseline: of one metric and the same examples.
      resamples: of these examples.

    Raises:
      DataError: the numbers of examples differ.
    """
    _check(system, baseline)
    found = np.abs(resamples.values(system) - resamples.values(baseline))
    return _p_value(found - found.mean(), abs(system.value - baseline.value))


def approximate_randomization(
    system: Measurement, baseline: Measurement, trials: int = 10_000, seed: int = 0
) -> float:
    """The p-value of the difference when outputs change sides at random (Riezler 2005).

    Args:
      system, baseline: of one metric and the same examples.
      trials: how often, for each example, the two swap outputs or do not.
      seed: of these coins.

    Raises:
      DataError: the numbers of examples differ.
    """
    _check(system, baseline)
    generator = np.random.default_rng(seed)
    coins = generator.integers(2, size=(trials, len(system.statistics)), dtype=bool)
    both = system.statistics.sum(axis=0) + baseline.statistics.sum(axis=0)
    found = []
    for start in range(0, trials, _TRIALS_AT_ONCE):
        swaps = coins[start : start + _TRIALS_AT_ONCE].astype(np.float64)
        mixed = swaps @ baseline.statistics + (1 - swaps) @ system.statistics
        found.append(system.value_of(mixed) - system.value_of(both - mixed))
    found = np.abs(np.concatenate(found))
    return _p_value(found, abs(system.value - baseline.value))


def _p_value(found: np.ndarray, difference: float) -> float:
    # Strictly larger: a system beside itself differs by 0, and never by chance.
    return float((np.sum(found > difference + _ROUNDING) + 1) / (len(found) + 1))


def _check(system: Measurement, baseline: Measurement) -> None:
    if len(system.statistics) != len(baseline.statistics):
        raise DataError(
            f"{system.name} is measured on {len(system.statistics):,} examples and "
            f"on {len(baseline.statistics):,} for the other system; expected the same "
            "examples."
        )
