"""Tests of the rules by which steps stay on disk."""

import pytest

from bertgen_jax.checkpoints import retention


def keep(steps, scores, *, mode="max", latest=1, best=1, period=None):
    return retention.kept(
        steps, scores, mode=mode, latest=latest, best=best, period=period
    )


def test_the_newest_and_the_best_steps_stay():
    scores = {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.05}
    assert keep([1, 2, 3, 4], scores) == {2, 4}
    assert keep([1, 2, 3, 4], scores, mode="min") == {4}
    assert keep([1, 2, 3, 4], scores, best=2) == {2, 3, 4}
    assert keep([1, 2, 3, 4], scores, latest=2) == {2, 3, 4}
    assert keep([1, 2, 3, 4], scores, best=0) == {4}


def test_steps_without_a_score_do_not_pile_up():
    steps = [1, 2, 3, 4, 5, 6]
    assert keep(steps, {1: 0.1, 3: 0.3, 6: 0.6}) == {6}
    assert keep(steps, {1: 0.1, 3: 0.3, 6: 0.2}, best=2) == {3, 6}
    assert keep(steps, {}) == {6}


def test_steps_divisible_by_the_period_stay():
    assert keep(range(10, 80, 10), {20: 1.0}, period=30) == {20, 30, 60, 70}


def test_all_steps_stay_if_there_are_few():
    assert keep([3], {3: 1.0}, latest=5, best=5) == {3}
    assert keep([], {}) == set()


@pytest.mark.parametrize(
    ("mode", "best_first"), [("max", [3, 5, 1]), ("min", [1, 3, 5])]
)
def test_of_equal_scores_the_earlier_step_is_better(mode, best_first):
    assert retention.ranked({5: 0.7, 1: 0.2, 3: 0.7}, mode) == best_first
