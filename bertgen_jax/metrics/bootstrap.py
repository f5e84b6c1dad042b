"""Bootstrap: measurements in, their scores on resamples of the examples out."""

from collections.abc import Iterator

import numpy as np

from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics.measurement import Measurement

_MOST_COUNTS = 1 << 31  # 8 GiB
_DRAWN_AT_ONCE = 1 << 20  # indices: 8 MiB, whatever the number of samples and examples


class Resamples:
    """How often each of n examples is drawn in each of some samples of n examples.

    Everything is measured on the same samples, so that it can be compared. The same
    seed gives the same samples on every machine, those of sacreBLEU.

    Attributes:
      counts: f32[samples, n].
      seed: of the draws.

    Raises:
      ConfigError: there is no example or no sample, or too many; a negative seed.
    """

    def __init__(self, examples: int, samples: int = 1_000, seed: int = 0):
        if examples < 1 or samples < 1:
            raise ConfigError(
                f"A bootstrap needs examples and samples; found {examples} examples "
                f"and {samples} samples."
            )
        if seed < 0:
            raise ConfigError(f"the seed is {seed}; expected 0 or more.")
        if examples * samples > _MOST_COUNTS:
            raise ConfigError(
                f"{samples:,} samples of {examples:,} examples are too many to be "
                f"held; expected {_MOST_COUNTS // examples:,} samples at most."
            )
        self.seed = seed
        self.counts = np.empty((samples, examples), np.float32)
        for sample, drawn in enumerate(_draws(examples, samples, seed)):
            self.counts[sample] = np.bincount(drawn, minlength=examples)

    def values(self, measurement: Measurement) -> np.ndarray:
        """The score of each sample: f64[samples]."""
        rows = max(1, _DRAWN_AT_ONCE // self.counts.shape[1])
        sums = [  # in blocks, as each becomes f64
            self.counts[start : start + rows] @ measurement.statistics
            for start in range(0, len(self.counts), rows)
        ]
        return measurement.value_of(np.concatenate(sums))

    def interval(
        self, measurement: Measurement, confidence: float = 0.95
    ) -> tuple[float, float]:
        """The percentile interval of the score.

        Args:
          measurement: of the n examples.
          confidence: the share of the samples' scores that lies inside.

        Raises:
          ConfigError: `confidence` is no share.
        """
        if not 0 < confidence < 1:
            raise ConfigError(
                f"confidence is {confidence}; expected a share between 0 and 1."
            )
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.values(measurement), [tail, 1 - tail])
        return float(low), float(high)


def _draws(examples: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // examples)
    for start in range(0, samples, rows):
        yield from generator.integers(
            examples, size=(min(rows, samples - start), examples)
        )
