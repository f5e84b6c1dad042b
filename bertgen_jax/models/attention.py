"""Computes attention without keeping anything of its scores for the backward pass.

Scores f32[B, H, T, C] are by far the largest arrays of a training step. The forward
pass keeps queries, keys, values, the result and one normalizer for each query; the
backward pass computes scores, weights and dropout mask again. It has five products in
place of four: at 512 tokens, 1 to 2 % more operations in a training step.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.models.dropout import scales
from bertgen_jax.models.rematerialization import kept

# Letters of the einsum equations: B batch, H heads, T queries, C keys, K head width.


def softmax(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Computes the softmax over the last axis; a fully masked row gives zeros, not NaN.

    Args:
      scores: f32[B, H, T, C].
      mask: bool, broadcastable to it, or None.

    Returns:
      f32[B, H, T, C].
    """
    if mask is None:
        return jax.nn.softmax(scores, axis=-1)
    fill = jnp.finfo(scores.dtype).min
    weights = jax.nn.softmax(jnp.where(mask, scores, fill), axis=-1)
    return jnp.where(mask, weights, 0.0)


def attention_weights(
    query: jax.Array, key: jax.Array, mask: jax.Array | None
) -> jax.Array:
    """Returns the weights f32[B, H, T, C] of the keys, without dropout."""
    return softmax(_scores(query, key), mask)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None,
    dropout_key: jax.Array | None,
    rate: float,
) -> jax.Array:
    """Returns the sums of the values, weighted by the softmax of the scores.

    Args:
      query: dtype[B, H, T, K], scaled.
      key, value: dtype[B, H, C, K].
      mask: bool, broadcastable to [B, H, T, C], or None. A fully masked row gives 0.
      dropout_key: the key of the dropout of weights, or None for no dropout.
      rate: the rate of that dropout.

    Returns:
      dtype[B, H, T, K]. Softmax is computed in f32 and products in dtype, with sums in
      f32.
    """
    return _attention(query, key, value, mask, dropout_key, rate)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attention(query, key, value, mask, dropout_key, rate) -> Any:
    return _context_and_normalizer(query, key, value, mask, dropout_key, rate)[0]


def _context_and_normalizer(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None,
    dropout_key: jax.Array | None,
    rate: float,
) -> tuple[jax.Array, jax.Array]:
    """Returns the result of `attend`, and log-normalizers f32[B, H, T, 1]."""
    query, mask, fill = _tied(query, mask)
    scores = _scores(query, key)
    if mask is not None:
        scores = jnp.where(mask, scores, fill)
    highest = jnp.max(scores, axis=-1, keepdims=True)
    powers = jnp.exp(scores - highest)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    weights = powers / total
    if mask is not None:
        weights *= mask
    weights = _dropped(weights, dropout_key, rate).astype(value.dtype)
    context = jnp.einsum("BHTC,BHCK->BHTK", weights, value)
    normalizer = highest + jnp.log(total)
    return kept(context), kept(normalizer)


def _forward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None,
    dropout_key: jax.Array | None,
    rate: float,
) -> tuple[jax.Array, tuple[Any, ...]]:
    context, normalizer = _context_and_normalizer(
        query, key, value, mask, dropout_key, rate
    )
    return context, (query, key, value, mask, dropout_key, context, normalizer)


def _backward(rate: float, residuals: tuple[Any, ...], gradient: jax.Array):
    """Computes the gradients of query, key and value.

    With weights w, mask m of the dropout and g the gradient of the result, the gradient
    of score [t, c] is w (m (g . value) - g . result): the sum over the keys in the
    derivative of a softmax is the product of gradient and result.
    """
    query, key, value, mask, dropout_key, context, normalizer = residuals
    query, mask, fill = _tied(query, mask)
    scores = _scores(query, key)
    if mask is not None:
        scores = jnp.where(mask, scores, fill)
    weights = jnp.exp(scores - normalizer)
    if mask is not None:
        weights *= mask
    dropped = _dropped(weights, dropout_key, rate).astype(value.dtype)
    value_gradient = jnp.einsum("BHTC,BHTK->BHCK", dropped, gradient)

    weight_gradient = _dropped(_scores(gradient, value), dropout_key, rate)
    wide = gradient.astype(jnp.float32) * context.astype(jnp.float32)
    mean = jnp.sum(wide, axis=-1, keepdims=True)
    score_gradient = (weights * (weight_gradient - mean)).astype(query.dtype)
    query_gradient = jnp.einsum("BHTC,BHCK->BHTK", score_gradient, key)
    key_gradient = jnp.einsum("BHTC,BHTK->BHCK", score_gradient, query)
    return query_gradient, key_gradient, value_gradient, None, None


_attention.defvjp(_forward, _backward)


def _scores(query: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.einsum("BHTK,BHCK->BHTC", query, key, preferred_element_type=jnp.float32)


def _tied(
    query: jax.Array, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    """Returns the query, the mask, and the score of a masked key.

    All three depend on the query. JAX moves what is the same in each turn out of a loop
    over layers, and would keep the mask, broadcast to [B, H, T, C], for the whole loop.
    """
    fill = jnp.float32(jnp.finfo(jnp.float32).min)
    return jax.lax.optimization_barrier((query, mask, fill))


def _dropped(
    values: jax.Array, dropout_key: jax.Array | None, rate: float
) -> jax.Array:
    """Applies the dropout of the weights to an array [B, H, T, C]."""
    if dropout_key is None or not rate:
        return values
    return values * scales(dropout_key, values.shape, rate)
