"""Outputs in, their measurements by name out, of texts that are normalised before."""

from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.metrics import catalogue, measurement
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.normalization import normalize


def measure(
    names: Sequence[str],
    outputs: Outputs,
    steps: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
) -> list[Measurement]:
    """Measures normalised texts; the signatures say how, as "texts:quotes".

    Args:
      names, options: see `catalogue.measure`.
      outputs: as they are.
      steps: names of `normalization.STEPS`; () leaves the texts alone.

    Raises:
      ConfigError, DataError: see `catalogue.measure`.
    """
    normalized = outputs.map(lambda text: normalize(text, steps))
    found = catalogue.measure(names, normalized, options)
    return measurement.sign(found, f"texts:{'+'.join(steps)}") if steps else found
