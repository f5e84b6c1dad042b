"""Attention equals its definition, and keeps nothing of the size of the scores."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models.attention import attend, attention_weights, softmax
from bertgen_jax.models.dropout import keep_mask, row_words

KEY = jax.random.key(5)


def padding(*lengths):
    return np.arange(9)[None, None, None, :] < np.reshape(lengths, (3, 1, 1, 1))


MASKS = {
    "none": None,
    "padding": padding(9, 4, 1),
    "causal": np.tri(6, 9, dtype=bool)[None, None],
    "a row sees nothing": padding(9, 0, 3),
}


def random_inputs(dtype=jnp.float32):
    rng = np.random.default_rng(0)
    shapes = [(3, 2, 6, 4), (3, 2, 9, 4), (3, 2, 9, 4)]
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def plain(query, key, value, mask, dropout_key, rate):
    """Attention by its definition, which keeps the weights."""
    weights = attention_weights(query, key, mask)
    if dropout_key is not None:
        words = row_words(dropout_key, weights.shape[:3])
        weights = jnp.where(keep_mask(words, 9, rate), weights / (1 - rate), 0.0)
    return jnp.einsum("BHTC,BHCK->BHTK", weights.astype(value.dtype), value)


@pytest.mark.parametrize("dropout_key", [None, KEY], ids=["no dropout", "dropout"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_result_and_gradients_are_those_of_the_definition(mask, dropout_key):
    inputs = random_inputs()
    mask = None if mask is None else jnp.asarray(mask)

    def loss(run, *inputs):
        return jnp.sum(jnp.sin(run(*inputs, mask, dropout_key, 0.3)))

    for order in (attend, plain):
        result = order(*inputs, mask, dropout_key, 0.3)
        assert np.isfinite(result).all()
    ours, theirs = (
        jax.value_and_grad(functools.partial(loss, order), argnums=(0, 1, 2))(*inputs)
        for order in (attend, plain)
    )
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_a_query_that_sees_nothing_gets_zeros_and_no_gradient():
    mask = jnp.asarray(MASKS["a row sees nothing"])
    inputs = random_inputs()
    np.testing.assert_array_equal(attend(*inputs, mask, None, 0.0)[1], 0)
    slopes = jax.grad(lambda *x: attend(*x, mask, None, 0.0).sum(), (0, 1, 2))(*inputs)
    for slope in slopes:
        np.testing.assert_array_equal(slope[1], 0)


def test_a_hidden_key_may_have_any_value():
    mask = jnp.asarray(MASKS["padding"])
    query, key, value = random_inputs()
    spoilt = key.at[1, :, 4:].set(1e30), value.at[1, :, 4:].set(1e30)

    def run(key, value):
        return jax.value_and_grad(
            lambda query: attend(query, key, value, mask, None, 0.0).sum()
        )(query)

    for one, other in zip(run(key, value), run(*spoilt), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_inputs_result_and_normalizers_are_kept():
    inputs = random_inputs()
    mask = jnp.asarray(MASKS["padding"])
    _, pullback = jax.vjp(lambda *x: attend(*x, mask, KEY, 0.3), *inputs)
    kept = [leaf.shape for leaf in jax.tree.leaves(pullback)]
    assert (3, 2, 6, 1) in kept  # one normalizer for each query
    assert not [shape for shape in kept if shape[-2:] == (6, 9)]


def test_gradients_in_bfloat16_are_close_to_those_in_float32():
    inputs = random_inputs(jnp.bfloat16)

    def loss(*inputs):
        return attend(*inputs, None, KEY, 0.3).astype(jnp.float32).sum()

    exact = jax.grad(loss, (0, 1, 2))(*(x.astype(jnp.float32) for x in inputs))
    for slope, wanted in zip(jax.grad(loss, (0, 1, 2))(*inputs), exact, strict=True):
        np.testing.assert_allclose(
            slope.astype(np.float32), wanted, rtol=0.1, atol=0.03
        )


def test_a_softmax_row_that_sees_nothing_is_zero():
    scores = jnp.array([[[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    mask = np.array([[[[1, 1, 0], [0, 0, 0], [0, 0, 1]]]], bool)
    e = np.e
    expected = [[1 / (1 + e), e / (1 + e), 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(softmax(scores, mask)[0, 0], expected, rtol=1e-6)


def test_scores_far_below_zero_are_not_mistaken_for_hidden_ones():
    scores = jnp.array([[[[-1e30, -1e30, 0.0]]]])
    mask = np.array([[[[True, True, False]]]])
    np.testing.assert_allclose(softmax(scores, mask)[0, 0, 0], [0.5, 0.5, 0.0])
