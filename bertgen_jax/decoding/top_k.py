"""Selects the k best of many scores without sorting a vocabulary."""

import jax
import jax.numpy as jnp

_BLOCK = 128  # scores; 32 and 64 were not faster


def top_k(scores: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Returns the k largest scores of each column, best first.

    Equal scores are in the order of their rows. The result equals `jax.lax.top_k` of
    the transpose; this function is faster for long columns and small k. The k best
    scores are in the k blocks with the largest maxima: any score outside them comes
    after these k maxima, which are larger, or equal and in an earlier block. So a
    vectorised maximum reads the scores once, in memory order, and only k * 128 of them
    are sorted.

    Args:
      scores: f32[N, B] with N >= k.
      k: how many to select.

    Returns:
      values f32[B, k] and rows i32[B, k].
    """
    columns = scores.shape[1]
    maxima = _block_maxima(scores)
    _, best_blocks = jax.lax.top_k(maxima.T, min(k, len(maxima)))
    # In ascending order, so that equal scores stay in the order of their rows.
    best_blocks = jnp.sort(best_blocks, axis=-1)
    # [B, k] -> [B, k, 128] -> [B, k * 128]
    rows = best_blocks[:, :, None] * _BLOCK + jnp.arange(_BLOCK)[None, None]
    rows = rows.reshape(columns, -1)
    # Gathered from `scores`, because using the padded blocks again would copy them.
    # Rows beyond the end come last, so even a score of -inf is preferred to them.
    candidates = scores.at[rows, jnp.arange(columns)[:, None]].get(
        mode="fill", fill_value=-jnp.inf
    )
    values, places = jax.lax.top_k(candidates, k)
    return values, jnp.take_along_axis(rows, places, axis=1)


def _block_maxima(scores: jax.Array) -> jax.Array:
    """Returns the maxima of blocks of 128 rows: f32[N, B] -> f32[N / 128, B]."""
    length, columns = scores.shape
    num_blocks = -(-length // _BLOCK)
    fill = ((0, num_blocks * _BLOCK - length), (0, 0))
    blocks = jnp.pad(scores, fill, constant_values=-jnp.inf)
    return blocks.reshape(num_blocks, _BLOCK, columns).max(axis=1)


def log_normalizer(scores: jax.Array) -> jax.Array:
    """Returns the value whose subtraction makes scores log-probabilities.

    Args:
      scores: f32[V, B, R].

    Returns:
      f32[B, R]: log sum exp over the vocabulary.
    """
    # [V, B, R] -> [V, B*R]: XLA on a CPU reduces [V, B, 1] up to three times slower.
    columns = scores.reshape(len(scores), -1)
    # The same maxima as in `top_k`, so XLA reads the scores once for both.
    largest = _block_maxima(columns).max(axis=0)
    sums = jnp.exp(columns - largest[None]).sum(axis=0)
    return (largest + jnp.log(sums)).reshape(scores.shape[1:])


def rows_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """Gathers rows of each source: x[B, n, ...] at index i32[B, m] -> [B, m, ...]."""
    index = index.reshape(index.shape + (1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1)
