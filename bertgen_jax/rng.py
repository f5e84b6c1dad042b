"""Random keys derived from (seed, stream name, numbers): none is carried, none drifts.

The same three give the same key in any process, before and after a restart.
"""

import zlib

import jax


def key(seed: int, stream: str, *numbers: int | jax.Array) -> jax.Array:
    """Derives the key of one use of randomness.

    Args:
      seed: the run's seed.
      stream: what the randomness is for, such as "dropout". Streams are independent:
        adding one changes no other.
      *numbers: where in the stream, such as the step and the micro-batch. Traced
        values are welcome.

    Returns:
      A typed JAX key.
    """
    derived = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    for number in numbers:
        derived = jax.random.fold_in(derived, number)
    return derived
