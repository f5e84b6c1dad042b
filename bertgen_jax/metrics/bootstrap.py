"""Bootstrap intervals: scores of the examples in, the interval of their mean out."""

import numpy as np

from bertgen_jax.errors import ConfigError

_DRAWN_AT_ONCE = 1 << 20  # indices: 8 MiB, whatever the number of samples and examples


def interval(
    per_example: np.ndarray,
    *,
    samples: int = 1_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    """The percentile interval of the mean under resampling of the examples.

    Columns are resampled together, so that what was measured on the same examples can
    be compared. The same seed gives the same interval on every machine.

    Args:
      per_example: f64[n], or f64[n, k] for k measurements of the same examples.
      samples: how often the n examples are drawn anew, with replacement.
      seed: of the draws.
      confidence: the share of the resampled means that lies inside.

    Returns:
      The lower and the upper end; each a float, or f64[k].

    Raises:
      ConfigError: when there is no example or no sample, or `confidence` is no share.
    """
    values = np.asarray(per_example, np.float64)
    n = len(values)
    if n == 0 or samples < 1 or not 0 < confidence < 1:
        raise ConfigError(
            "A bootstrap interval needs examples, samples and a confidence between 0 "
            f"and 1; found {n} examples, samples={samples}, confidence={confidence}."
        )
    columns = np.ascontiguousarray(values.reshape(n, -1).T)  # [k, n]
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // n)
    means = []
    for start in range(0, samples, rows):
        drawn = generator.integers(n, size=(min(rows, samples - start), n))
        means.append([column[drawn].mean(axis=1) for column in columns])
    tail = (1 - confidence) / 2
    ends = np.quantile(np.concatenate(means, axis=1), [tail, 1 - tail], axis=1)
    low, high = ends.reshape(2, *values.shape[1:])
    return (float(low), float(high)) if values.ndim == 1 else (low, high)
