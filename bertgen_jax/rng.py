"""Derives random keys from a seed, the name of a stream and numbers.

Keys are never carried from step to step: the same arguments give the same key in any
process, before and after a restart.
"""

import zlib

import jax


def key(seed: int, stream: str, *numbers: int | jax.Array) -> jax.Array:
    """Derives the key of one use of randomness.

    Args:
      seed: the run's seed.
      stream: the purpose, such as "dropout". Streams are independent: a new one
        changes no other.
      *numbers: the position in the stream, such as the step and the micro-batch; they
        may be traced.

    Returns:
      A typed JAX key.
    """
    derived = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    for number in numbers:
        derived = jax.random.fold_in(derived, number)
    return derived
