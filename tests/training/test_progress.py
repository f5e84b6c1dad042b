"""One predicate decides what is due; progress is kept from checkpoint to checkpoint."""

import math

import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.training.progress import Progress, due


def test_every_period_and_at_the_end():
    assert [step for step in range(1, 11) if due(step, 4, 10)] == [4, 8, 10]


def test_no_period_means_the_end_alone():
    assert [step for step in range(1, 11) if due(step, 0, 10)] == [10]


@pytest.mark.parametrize(
    ("metric", "values", "best", "best_step"),
    [
        ("rougeL", [1.0, 3.0, 3.0, 2.0], 3.0, 2),
        ("loss", [3.0, 1.0, 1.0, 2.0], 1.0, 2),
        ("ter", [3.0, 1.0, 1.0, 2.0], 1.0, 2),
        ("rougeL", [math.nan, 1.0, math.nan, 0.0], 1.0, 2),
    ],
)
def test_the_best_value_is_the_first_of_the_best(metric, values, best, best_step):
    progress = Progress(data="x")
    for step, value in enumerate(values, start=1):
        progress = progress.after({metric: value}, metric, step)
    assert (progress.best, progress.best_step) == (best, best_step)
    assert progress.stale_evaluations == 2
    assert progress.exhausted(2)
    assert not progress.exhausted(3)
    assert not progress.exhausted(0)


def test_a_line_says_what_is_best():
    before = Progress(data="x")
    first = before.after({"rougeL": 40.0}, "rougeL", 5)
    assert first.line(5, {"rougeL": 40.0}, "rougeL") == (
        "step 5  validation  rougeL 40.00  (rougeL: new best)"
    )
    second = first.after({"rougeL": 30.0}, "rougeL", 10)
    assert "(rougeL: best 40.00)" in second.line(10, {"rougeL": 30.0}, "rougeL")


def test_a_run_does_not_resume_with_other_batches():
    stored = {"data": "x", "elapsed_s": 1.5, "best": None, "best_step": 0}
    assert Progress.restored(stored, "x").elapsed_s == 1.5
    with pytest.raises(CheckpointError, match="fingerprint y, expected x"):
        Progress.restored(stored, "y")


def test_a_checkpoint_of_a_later_version_is_refused_in_words():
    with pytest.raises(
        CheckpointError, match=r"later version .* has colour\. Expected"
    ):
        Progress.restored({"data": "x", "colour": "red"}, "x")
