import jax
import numpy as np
import pytest

from bertgen_jax.decoding.top_k import top_k


@pytest.mark.parametrize(
    ("length", "k"), [(5, 5), (128, 1), (129, 8), (1000, 4), (30_522, 8), (300, 200)]
)
@pytest.mark.parametrize("levels", [3, 1000, None])
def test_it_is_the_librarys_top_k_of_columns_ties_included(length, k, levels):
    rng = np.random.default_rng(length + k)
    scores = rng.normal(size=(length, 6)).astype(np.float32)
    if levels is not None:  # few different values, so that there are many ties
        scores = np.round(scores * levels / 4)
    scores[:, 0] = -np.inf  # nothing to choose from
    scores[1:, 1] = -np.inf
    values, rows = jax.jit(top_k, static_argnums=1)(scores, k)
    wanted, places = jax.lax.top_k(scores.T, k)
    np.testing.assert_array_equal(values, wanted)
    np.testing.assert_array_equal(rows, places)
