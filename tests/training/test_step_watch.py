"""A bad step stops the run, is skipped, or sends the run back, within a limit."""

import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.data.examples import Example
from bertgen_jax.errors import TrainingError
from bertgen_jax.training.progress import Progress
from bertgen_jax.training.step_watch import BadSteps, StepWatch
from bertgen_jax.training.steps import StepChecks

EXAMPLES = [Example(f"train-{i}", "a", ("b",)) for i in range(4)]
INDICES = np.array([2, 0, -1])


def checks(kind="good"):
    finite = kind != "infinite"
    return StepChecks(
        good=jnp.bool_(kind == "good"),
        finite=jnp.bool_(finite),
        loss=jnp.float32(7.5 if finite else np.inf),
        grad_norm=jnp.float32(30.0),
        excess=jnp.float32([1.5, 6.0]),
    )


def watch(action, limit=2, progress=None):
    settings = BadSteps(action, spike_factor=5.0, window=8, limit=limit)
    return StepWatch(EXAMPLES, settings, progress or Progress(data="x"))


def run(watch, kinds, first=1):
    for step, kind in enumerate(kinds, start=first):
        watch.add(step, checks(kind), INDICES)
    watch.flush()


def test_a_step_is_checked_once_the_next_one_is_dispatched():
    stopping = watch("stop")
    stopping.add(1, checks("infinite"), INDICES)
    with pytest.raises(TrainingError, match=r"step 1: the loss .* not finite"):
        stopping.add(2, checks(), INDICES)


def test_a_spike_is_described_and_its_examples_are_named():
    message = (
        r"step 2: a spike: the loss is 7\.5, 1\.5 times the median of 8 steps, and the "
        r"gradient norm 30, 6 times its median\. The batch held the examples train-2, "
        r"train-0\. .* 'skip' or 'rewind'"
    )
    with pytest.raises(TrainingError, match=message):
        run(watch("stop"), ["good", "spike"])


def test_skipped_steps_are_counted_and_said(caplog):
    skipping = watch("skip")
    run(skipping, ["good", "spike", "infinite", "good", "spike"])
    assert (skipping.skipped, skipping.skipped_in_a_row) == (3, 1)
    assert sum("The step is skipped" in line for line in caplog.messages) == 3


def test_too_many_skips_in_a_row_stop_the_run_also_after_a_resume():
    with pytest.raises(
        TrainingError, match=r"step 3: .* 2 steps before it .* bad_steps\.limit"
    ) as stopped:
        run(watch("skip"), ["spike"] * 3)
    assert "'skip' or" not in str(stopped.value)  # it is set already
    resumed = watch("skip", progress=Progress("x", skipped=5, skipped_in_a_row=2))
    with pytest.raises(TrainingError, match=r"step 8: .* 2 steps before it"):
        run(resumed, ["spike"], first=8)


def test_the_first_bad_step_sends_the_run_back():
    going_back = watch("rewind")
    run(going_back, ["good", "spike", "infinite"])
    assert going_back.bad_step == 2


def test_too_many_returns_to_one_checkpoint_stop_the_run():
    with pytest.raises(TrainingError, match="has gone back 2 times already"):
        run(watch("rewind", progress=Progress("x", rewinds=2)), ["spike"])
