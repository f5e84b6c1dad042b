"""Properties of the bootstrap interval of a mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import bootstrap

SCORES = hypothesis_numpy.arrays(
    np.float64, st.integers(1, 40), elements=st.floats(0, 100)
)


@given(SCORES)
def test_the_interval_holds_the_mean_and_stays_within_the_scores(scores):
    low, high = bootstrap.interval(scores, samples=200)
    rounding = 1e-9
    assert scores.min() - rounding <= low <= scores.mean() + rounding
    assert scores.mean() - rounding <= high <= scores.max() + rounding


@given(SCORES, st.integers(0, 2**32 - 1))
def test_the_seed_fixes_the_interval(scores, seed):
    assert bootstrap.interval(scores, samples=50, seed=seed) == bootstrap.interval(
        scores, samples=50, seed=seed
    )


@given(SCORES)
def test_more_confidence_is_a_wider_interval(scores):
    low, high = bootstrap.interval(scores, samples=100, confidence=0.8)
    lower, higher = bootstrap.interval(scores, samples=100, confidence=0.99)
    assert lower <= low
    assert high <= higher


def test_seeds_differ():
    scores = np.random.default_rng(0).uniform(0, 100, 50)
    assert bootstrap.interval(scores, seed=0) != bootstrap.interval(scores, seed=1)


def test_better_scores_move_the_interval_with_them():
    scores = np.random.default_rng(0).uniform(0, 90, 50)
    ends = np.asarray(bootstrap.interval(scores))
    np.testing.assert_allclose(bootstrap.interval(scores + 10), ends + 10, rtol=1e-12)


def test_the_width_is_that_of_the_normal_and_shrinks_with_the_root_of_n():
    for n in (100, 10_000):
        scores = np.random.default_rng(n).uniform(0, 100, n)
        low, high = bootstrap.interval(scores)
        standard_error = scores.std(ddof=1) / n**0.5
        assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)


def test_columns_are_resampled_together():
    first = np.random.default_rng(0).uniform(0, 100, 300)
    columns = np.stack([first, 100 - first, np.full(300, 7.0)], axis=1)
    low, high = bootstrap.interval(columns, seed=3)
    assert (low[0], high[0]) == bootstrap.interval(first, seed=3)
    assert low[1] == pytest.approx(100 - high[0])
    assert (low[2], high[2]) == (7.0, 7.0)


def test_how_many_are_drawn_at_once_changes_nothing(monkeypatch):
    scores = np.random.default_rng(0).uniform(0, 100, 101)
    expected = bootstrap.interval(scores)
    for drawn_at_once in (1, 1_000, 101_000):
        monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", drawn_at_once)
        assert bootstrap.interval(scores) == expected


@pytest.mark.parametrize(
    ("scores", "options"),
    [([], {}), ([1.0], {"samples": 0}), ([1.0], {"confidence": 1.0})],
)
def test_what_gives_no_interval_is_refused(scores, options):
    with pytest.raises(ConfigError, match="needs examples, samples"):
        bootstrap.interval(np.asarray(scores), **options)
