import jax
import numpy as np
import pytest

from bertgen_jax.decoding.selection import top_k


@pytest.mark.parametrize(("length", "k"), [(2, 2), (128, 8), (1000, 3), (300, 300)])
def test_top_k_equals_the_library_with_many_ties_and_with_few(length, k):
    rng = np.random.default_rng(length + k)
    for different_values in (7, 7 * length):
        scores = rng.integers(-different_values, 0, (20, length)).astype(np.float32)
        values, indices = top_k(scores, k)
        expected_values, expected_indices = jax.lax.top_k(scores, k)
        np.testing.assert_array_equal(values, expected_values)
        np.testing.assert_array_equal(indices, expected_indices)


def test_top_k_prefers_a_score_of_minus_infinity_to_no_score():
    scores = np.full((2, 131), -np.inf, np.float32)
    scores[1, 130] = 1.0
    values, indices = top_k(scores, 3)
    np.testing.assert_array_equal(indices, [[0, 1, 2], [130, 0, 1]])
    np.testing.assert_array_equal(values[1], [1.0, -np.inf, -np.inf])
