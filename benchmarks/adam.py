"""Defines the Adam of training benchmarks: ours, and the same numbers for torch's."""

import optax

from bertgen_jax.training.adam import scale_by_adam

RATE = 1e-4  # learning rate
EPSILON = 1e-6  # added to the root of the mean square


def create() -> optax.GradientTransformation:
    """Returns Adam with a constant rate."""
    return optax.chain(scale_by_adam(0.9, 0.999, EPSILON), optax.scale(-RATE))
