"""Masks of every form become one boolean mask, or an error that names the shape."""

import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.masks import attention_mask, token_positions

DOCSTRING = {
    None: [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    (0, 1, 1, 1): [[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]],
}


@pytest.mark.parametrize("mask", DOCSTRING)
def test_the_example_of_the_docstring(mask):
    given = None if mask is None else jnp.array([mask])
    visible = attention_mask(given, (1, 3, 4), causal=True, start=1)
    assert visible.dtype == bool
    assert visible.shape == (1, 1, 3, 4)
    np.testing.assert_array_equal(visible[0, 0], np.array(DOCSTRING[mask], bool))


def test_nothing_hidden_is_no_mask_at_all():
    assert attention_mask(None, (2, 3, 3), causal=False) is None


@pytest.mark.parametrize("dtype", [bool, np.int32, np.int8, np.float32])
def test_a_mask_over_keys_in_any_dtype(dtype):
    mask = np.array([[1, 1, 0], [1, 0, 0]], dtype)
    visible = attention_mask(mask, (2, 5, 3), causal=False)
    np.testing.assert_array_equal(visible, mask.astype(bool)[:, None, None, :])


def test_a_mask_of_three_axes_is_the_whole_truth():
    mask = np.random.default_rng(0).integers(0, 2, (2, 3, 4))
    visible = attention_mask(mask, (2, 3, 4), causal=True)
    np.testing.assert_array_equal(visible, (mask == 1)[:, None])


@pytest.mark.parametrize("dtype", [bool, np.int32])
@pytest.mark.parametrize("heads", [1, 6])
def test_a_mask_of_four_axes_keeps_and_is_never_added(dtype, heads):
    mask = np.random.default_rng(1).integers(0, 2, (2, heads, 3, 4)).astype(dtype)
    visible = attention_mask(mask, (2, 3, 4), causal=True)
    assert visible.dtype == bool
    np.testing.assert_array_equal(visible, mask.astype(bool))


def test_an_additive_mask_is_refused():
    additive = np.zeros((2, 1, 3, 4), np.float32)
    with pytest.raises(ConfigError, match="4-D float array"):
        attention_mask(additive, (2, 3, 4), causal=False)


def test_slots_beyond_a_short_mask_are_unseen():
    mask = np.ones((1, 2), bool)
    visible = attention_mask(mask, (1, 1, 4), causal=False, least_keys=2)
    np.testing.assert_array_equal(visible[0, 0], [[True, True, False, False]])


@pytest.mark.parametrize(
    "shape",
    [(), (4,), (2, 3), (2, 5), (3, 4), (2, 4, 3), (3, 3, 4), (2, 1, 4, 3), (1,) * 5],
    ids=str,
)
def test_any_other_shape_is_refused_by_name(shape):
    expected = r"source_mask has shape \(.*expected \[2, 4\], \[2, 3, 4\]"
    with pytest.raises(ConfigError, match=expected):
        attention_mask(np.ones(shape, int), (2, 3, 4), causal=False, name="source_mask")


def test_one_row_serves_all():
    visible = attention_mask(np.array([[1, 0, 1]]), (5, 2, 3), causal=False)
    assert visible.shape == (1, 1, 1, 3)


def test_positions_are_counted_over_tokens():
    """The example of the docstring."""
    mask = jnp.array([[0, 0, 1, 1, 1], [1, 1, 0, 0, 1]], bool)
    positions = token_positions(mask)
    assert positions.dtype == jnp.int32
    np.testing.assert_array_equal(positions, [[0, 0, 0, 1, 2], [0, 1, 1, 1, 2]])
