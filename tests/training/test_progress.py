"""One predicate decides what is due; progress is kept from checkpoint to checkpoint."""

import pytest

from bertgen_jax.training.progress import Progress, due


def test_every_period_and_at_the_end():
    assert [step for step in range(1, 11) if due(step, 4, 10)] == [4, 8, 10]


def test_no_period_means_the_end_alone():
    assert [step for step in range(1, 11) if due(step, 0, 10)] == [10]


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("rougeL", [10.0, 12.0, 11.0]),
        ("ter", [60.0, 55.0, 58.0]),
        ("loss", [2.0, 1.0, 1.5]),
    ],
)
def test_the_best_step_follows_the_direction_of_the_metric(metric, values):
    progress = Progress(data="")
    for step, value in enumerate(values, 1):
        progress = progress.after({metric: value}, metric, step)
    assert (progress.best, progress.best_step) == (values[1], 2)
    assert progress.stale_evaluations == 1
