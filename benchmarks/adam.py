"""The optimizer of all benchmarks of training, as Hugging Face's runs use torch's."""

import optax

from bertgen_jax.training.adam import scale_by_adam

RATE = 1e-4
EPSILON = 1e-6


def create() -> optax.GradientTransformation:
    """Returns Adam with a constant rate."""
    return optax.chain(scale_by_adam(0.9, 0.999, EPSILON), optax.scale(-RATE))
