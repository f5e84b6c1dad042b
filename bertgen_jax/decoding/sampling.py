"""Restricts draws by temperature, top-k and top-p, and draws tokens.

The order of the three is that of Hugging Face (`LogitsWarper`).
"""

import jax
import jax.numpy as jnp

from bertgen_jax import rng
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.top_k import top_k


def shortlist(
    scores: jax.Array, config: GenerationConfig
) -> tuple[jax.Array, jax.Array]:
    """Returns the tokens that may be drawn, and their scores.

    Args:
      scores: f32[V, B, R], logits or log-probabilities.
      config: temperature, top_k, top_p.

    Returns:
      Scores f32[B, R, n], -inf for tokens that may not be drawn, and their ids
      i32[B, R, n]. n is `top_k`, or the number that beams need if that is larger;
      without top-k it is V.
    """
    size, batch, rows = scores.shape
    # The number of tokens that are always kept.
    least = 1 if config.num_beams == 1 else config.candidates_per_beam
    if config.temperature != 1:
        scores = scores / config.temperature
    if config.top_k:
        count = min(max(config.top_k, least), size)
        selected = top_k(scores.reshape(size, -1), count)  # [V, B*R] -> [B*R, n]
        scores, ids = (x.reshape(batch, rows, count) for x in selected)
    elif config.top_p < 1:
        scores, ids = jax.lax.top_k(jnp.moveaxis(scores, 0, 2), size)
    else:
        scores = jnp.moveaxis(scores, 0, 2)
        ids = jnp.broadcast_to(jnp.arange(size), scores.shape)
    if config.top_p < 1:
        scores = _nucleus(scores, config.top_p, least)
    return scores, ids


def _nucleus(scores: jax.Array, p: float, least: int) -> jax.Array:
    """Keeps the fewest tokens whose probabilities sum to p (arXiv 1904.09751).

    Args:
      scores: f32[B, R, n], the largest first.
      p: between 0 and 1.
      least: the number of tokens that are always kept.
    """
    probabilities = jax.nn.softmax(scores, axis=-1)
    # The mass of each token and all less likely ones, summed from the least likely.
    mass = jax.lax.cumsum(probabilities, axis=2, reverse=True)
    is_dropped = (mass <= 1 - p).at[..., :least].set(False)
    return jnp.where(is_dropped, -jnp.inf, scores)


def noise(
    seed: int, seeds: jax.Array, positions: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
    """Returns Gumbel noise, with which the largest score is a draw (arXiv 1903.06059).

    The largest of scores + noise is a draw from softmax(scores); the k largest are k
    draws without replacement. The noise depends only on the source and the position, so
    a source draws the same tokens in any batch.

    Args:
      seed: the seed of the config.
      seeds: i32[B], one for each source.
      positions: i32[B], the position of each source.
      shape: the shape of one source's noise.

    Returns:
      f32[B, *shape].
    """

    def draw(source: jax.Array, position: jax.Array) -> jax.Array:
        key = rng.key(seed, "generation", source, position)
        return jax.random.gumbel(key, shape)

    return jax.vmap(draw)(seeds, positions)
