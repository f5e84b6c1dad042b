"""Properties of resamples, and of the intervals that they give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import bootstrap, measurement
from bertgen_jax.metrics.bootstrap import Resamples

SCORES = hypothesis_numpy.arrays(
    np.float64, st.integers(1, 40), elements=st.floats(0, 100)
)


def interval(scores, samples=1_000, seed=0, confidence=0.95):
    measured = measurement.mean("score", scores, "")
    return Resamples(len(scores), samples, seed).interval(measured, confidence)


@given(SCORES)
def test_the_interval_holds_the_mean_and_stays_within_the_scores(scores):
    low, high = interval(scores, samples=200)
    rounding = 1e-9
    assert scores.min() - rounding <= low <= scores.mean() + rounding
    assert scores.mean() - rounding <= high <= scores.max() + rounding


@given(SCORES)
def test_more_confidence_is_a_wider_interval(scores):
    low, high = interval(scores, samples=100, confidence=0.8)
    lower, higher = interval(scores, samples=100, confidence=0.99)
    assert lower <= low
    assert high <= higher


def test_the_seed_alone_decides():
    scores = np.random.default_rng(0).uniform(0, 100, 50)
    assert interval(scores, seed=5) == interval(scores, seed=5)
    assert interval(scores, seed=0) != interval(scores, seed=1)


def test_better_scores_move_the_interval_with_them():
    scores = np.random.default_rng(0).uniform(0, 90, 50)
    ends = np.asarray(interval(scores))
    np.testing.assert_allclose(interval(scores + 10), ends + 10, rtol=1e-12)


def test_the_width_is_that_of_the_normal_and_shrinks_with_the_root_of_n():
    for n in (100, 10_000):
        scores = np.random.default_rng(n).uniform(0, 100, n)
        low, high = interval(scores)
        standard_error = scores.std(ddof=1) / n**0.5
        assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)


def test_every_sample_has_as_many_examples():
    counts = Resamples(17, samples=30).counts
    assert counts.shape == (30, 17)
    np.testing.assert_array_equal(counts.sum(axis=1), 17)


def test_a_ratio_is_one_of_sums():
    measured = measurement.ratio("length", [1, 3], [2, 2], "")
    assert measured.value == 100
    np.testing.assert_array_equal(measured.per_example, [50, 150])
    resamples = Resamples(2, samples=50)
    expected = resamples.counts @ [1, 3] / (resamples.counts @ [2, 2])
    np.testing.assert_allclose(resamples.values(measured), 100 * expected)


def test_nothing_of_nothing_is_0():
    assert measurement.ratio("length", [0.0], [0.0], "").value == 0


def test_how_many_are_drawn_at_once_changes_nothing(monkeypatch):
    expected = Resamples(101).counts
    for drawn_at_once in (1, 1_000, 101_000):
        monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", drawn_at_once)
        np.testing.assert_array_equal(Resamples(101).counts, expected)


@pytest.mark.parametrize(("examples", "samples"), [(0, 10), (1, 0)])
def test_what_gives_no_interval_is_refused(examples, samples):
    with pytest.raises(ConfigError, match="needs examples and samples"):
        Resamples(examples, samples)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="the seed is -1"):
        Resamples(3, seed=-1)
    with pytest.raises(ConfigError, match="too many to be held"):
        Resamples(1_000, samples=10**14)


def test_a_confidence_is_a_share():
    with pytest.raises(ConfigError, match=r"confidence is 1\.0"):
        interval([1.0], confidence=1.0)
