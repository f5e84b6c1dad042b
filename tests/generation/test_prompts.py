"""Prompts begin with the start token, and padding moves to their left."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import prompts

START = 2
REAL = np.array([[True], [True]])
MASK = np.ones((2, 2), bool)


def assert_prompts(result, ids, mask):
    np.testing.assert_array_equal(result[0], ids)
    np.testing.assert_array_equal(result[1], np.array(mask, bool))


def test_a_row_without_tokens_has_an_empty_prompt():
    source_mask = np.array([[True, False], [False, False]])
    assert_prompts(prompts.start_tokens(START, source_mask), [[2], [2]], [[1], [0]])


def test_the_start_token_comes_first_if_no_row_begins_with_it():
    result = prompts.with_start_token(START, np.array([[5, 6], [7, 2]]), MASK, REAL)
    assert_prompts(result, [[2, 5, 6], [2, 7, 2]], np.ones((2, 3)))


def test_no_start_token_is_added_if_a_row_begins_with_it():
    ids, mask = np.array([[0, 2, 6], [7, 8, 9]]), [[0, 1, 1], [1, 1, 1]]
    result = prompts.with_start_token(START, ids, np.array(mask, bool), REAL)
    assert_prompts(result, ids, mask)


def test_a_row_without_tokens_beside_one_with_the_start_token_is_refused():
    mask = np.array([[True, True], [False, False]])
    ids = np.array([[2, 5], [0, 0]])
    with pytest.raises(ConfigError, match="a row without any token, and others begin"):
        prompts.with_start_token(START, ids, mask, REAL)
    # A row that only fills the batch needs no token.
    filler = np.array([[True], [False]])
    assert_prompts(prompts.with_start_token(START, ids, mask, filler), ids, mask)


def test_a_decoder_alone_continues_its_input_or_a_start_token_after_it():
    ids = np.array([[5, 6], [7, 0]])
    mask = np.array([[True, True], [True, False]])
    assert_prompts(prompts.continuing(None, ids, mask), ids, mask)
    assert_prompts(
        prompts.continuing(START, ids, mask),
        [[5, 6, 2], [7, 0, 2]],
        [[1, 1, 1], [1, 0, 1]],
    )


def test_padding_moves_to_the_left():
    ids = np.array([[5, 6, 0], [7, 8, 9], [0, 4, 0]])
    mask = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    assert_prompts(
        prompts.right_aligned(ids, mask),
        [[0, 5, 6], [7, 8, 9], [0, 0, 4]],
        [[0, 1, 1], [1, 1, 1], [0, 0, 1]],
    )
