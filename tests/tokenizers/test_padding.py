"""Tests of padding: the mask comes from lengths, not from ids."""

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers import padding


def test_rows_are_padded_on_the_right():
    ids, mask = padding.pad_rows([[5, 6], [7]], 0)
    np.testing.assert_array_equal(ids, [[5, 6], [7, 0]])
    np.testing.assert_array_equal(mask, [[True, True], [True, False]])
    assert (ids.dtype, mask.dtype) == (np.int32, np.bool_)


def test_rows_are_padded_on_the_left():
    ids, mask = padding.pad_rows([[5, 6], [7]], 9, side="left")
    np.testing.assert_array_equal(ids, [[5, 6], [9, 7]])
    np.testing.assert_array_equal(mask, [[True, True], [False, True]])


def test_a_pad_id_inside_a_row_is_not_padding():
    _, mask = padding.pad_rows([[0, 5, 0]], 0, min_length=4)
    np.testing.assert_array_equal(mask, [[True, True, True, False]])


@pytest.mark.parametrize(
    ("min_length", "multiple_of", "width"),
    [(0, 1, 3), (2, 1, 3), (5, 1, 5), (0, 4, 4), (5, 4, 8), (8, 4, 8)],
)
def test_the_width_is_sufficient_and_a_multiple(min_length, multiple_of, width):
    ids, mask = padding.pad_rows(
        [[1, 2, 3], [4]], 0, min_length=min_length, multiple_of=multiple_of
    )
    assert ids.shape == mask.shape == (2, width)
    assert mask.sum() == 4


def test_rows_may_be_empty_or_absent():
    ids, mask = padding.pad_rows([[], []], 0)
    assert ids.shape == mask.shape == (2, 0)
    ids, mask = padding.pad_rows([], 0, min_length=3)
    assert ids.shape == mask.shape == (0, 3)


def test_an_unknown_side_is_an_error():
    with pytest.raises(errors.ConfigError, match="Did you mean 'right'"):
        padding.pad_rows([[1]], 0, side="rigth")
