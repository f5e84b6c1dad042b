"""Draws dropout masks whose bits depend only on a key and on coordinates.

Whether an element is kept is a function of (key, leading indices, row, column),
whatever the number of rows and columns, the mesh or the order of computation. So every
implementation of attention draws the same mask, the backward pass can draw it again
instead of keeping it, and a device draws only its own part.

Two words for each row come from JAX's threefry generator, and a hash of 32 bits turns
them and the column into the bits of one element: two multiplications in place of the 20
rounds that threefry takes for each element.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

# Step of the Weyl sequence over columns: 2^32 / golden ratio, made odd.
_WEYL = 0x9E3779B9
# Multipliers and shifts of a 32-bit mixing function of little bias, found by search
# (hash-prospector, "lowbias32" of 2022).
_MULTIPLIERS = (0x21F0AAAD, 0x735A2D97)
_SHIFTS = (16, 15, 15)


def row_words(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws the two words of each row of a mask.

    Args:
      key: a typed key.
      shape: the shape of the mask without its last axis, [..., R].

    Returns:
      u32[..., R, 2]. The words of a row depend only on the key and on its indices.
      Leading indices are flattened, so the leading axes after the first must keep their
      lengths.
    """
    *leading, rows = shape
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    first = fold(key, jnp.arange(math.prod(leading)))
    keys = jax.vmap(fold, in_axes=(0, None))(first, jnp.arange(rows))
    words = jax.random.key_data(keys)[..., :2]
    return words.reshape(*leading, rows, 2)


def keep_mask(words: jax.Array, columns: int, rate: float) -> jax.Array:
    """Draws which elements are kept.

    Args:
      words: u32[..., R, 2] of `row_words`.
      columns: C.
      rate: the share of elements that are dropped, exact to 2^-32.

    Returns:
      bool[..., R, C].
    """
    first, second = words[..., :1], words[..., 1:]
    steps = jnp.arange(columns, dtype=jnp.uint32) * jnp.uint32(_WEYL)
    bits = first + jnp.expand_dims(steps, range(words.ndim - 1))
    bits = (bits ^ (bits >> _SHIFTS[0])) * jnp.uint32(_MULTIPLIERS[0])
    bits ^= second
    bits = (bits ^ (bits >> _SHIFTS[1])) * jnp.uint32(_MULTIPLIERS[1])
    bits ^= bits >> _SHIFTS[2]
    return bits >= jnp.uint32(round(rate * 2**32))


def scales(key: jax.Array, shape: tuple[int, ...], rate: float) -> jax.Array:
    """Draws the factor of each element: 1 / (1 - rate), or 0 with probability `rate`.

    Args:
      key: a typed key.
      shape: the shape of the result, [..., R, C].
      rate: see `keep_mask`.

    Returns:
      f32[..., R, C].
    """
    keep = keep_mask(row_words(key, shape[:-1]), shape[-1], rate)
    return keep * jnp.float32(1.0 / (1.0 - rate))


def dropout(values: jax.Array, key: jax.Array | None, rate: float) -> jax.Array:
    """Drops elements of [..., R, C] at random and scales the others by 1 / (1 - rate).

    The backward pass draws the mask again.

    Args:
      values: any float dtype.
      key: a typed key, or None for no dropout.
      rate: the share of elements that are dropped, in [0, 1).
    """
    if key is None or not rate:
        return values
    return _scaled(values, key, rate)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _scaled(values, key, rate) -> Any:
    return values * scales(key, values.shape, rate).astype(values.dtype)


# Dropout is linear, so its gradient is the dropout of the gradient.
_scaled.defvjp(
    lambda values, key, rate: (_scaled(values, key, rate), key),
    lambda rate, key, gradient: (_scaled(gradient, key, rate), None),
)
