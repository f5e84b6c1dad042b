"""Runs with bad batches skip them or go back, and end alike however often they stop."""

import json
import os
import signal

import numpy as np
import pytest

from bertgen_jax.data import batching, loading
from bertgen_jax.errors import TrainingError
from bertgen_jax.training import trainer
from bertgen_jax.training.step_watch import StepWatch
from tests.training import test_trainer
from tests.training.test_trainer import Killed, interrupt, kill, saved_state

pytestmark = pytest.mark.slow

compiled_once, data = test_trainer.compiled_once, test_trainer.data

# Numbers of batches, from 0.
NOT_FINITE, SPIKE = 4, 7


def bad_config(data, action, **changes):
    """Twelve steps; saves after steps 3, 6, 9, 12, log lines after 5, 10, 12."""
    config = test_trainer.small_config(data)
    config.total_steps = 12
    config.eval.every_steps = 0
    config.bad_steps.update(action=action, spike_factor=4.0, window=2, limit=2)
    config.bad_steps.update(changes)
    return config


@pytest.fixture(autouse=True)
def spoil(monkeypatch):
    """Makes batches bad; returns a function that chooses which."""
    get, bad = loading._Batches.__getitem__, {}

    def spoiled(self, index):
        batch = get(self, index)
        if isinstance(self.plan, batching.TrainPlan) and index in bad:
            weights = np.array(batch["label_weights"])
            weights[0, 0], weights[1, 0] = bad[index], -bad[index]
            batch = {**batch, "label_weights": weights}
        return batch

    def choose(not_finite=(), spikes=()):
        bad.clear()
        bad.update(dict.fromkeys(not_finite, np.nan))
        # The sum of the weights, by which the gradient is divided, stays small.
        bad.update(dict.fromkeys(spikes, 1000.0))

    monkeypatch.setattr(loading._Batches, "__getitem__", spoiled)
    return choose


@pytest.fixture
def drawn(monkeypatch):
    """Lists the step and the examples of each step that is made."""
    steps, add = [], StepWatch.add

    def record(self, step, checks, indices):
        steps.append((step, sorted(indices.tolist())))
        add(self, step, checks, indices)

    monkeypatch.setattr(StepWatch, "add", record)
    return steps


def logged(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def assert_same_run(workdir, expected):
    assert saved_state(workdir, 12) == saved_state(expected, 12)
    assert test_trainer.metrics(workdir) == test_trainer.metrics(expected)
    weights = "model/model.safetensors"
    assert (workdir / weights).read_bytes() == (expected / weights).read_bytes()


def test_a_spike_stops_the_run_by_default(data, tmp_path, spoil):
    spoil(spikes=[SPIKE])
    with pytest.raises(TrainingError, match=r"step 8: a spike: .* median of 2 steps"):
        trainer.train(bad_config(data, "stop"), tmp_path)


def test_spikes_are_looked_for_only_on_request(data, tmp_path, spoil):
    spoil(spikes=[SPIKE])
    config = bad_config(data, "stop", spike_factor=0.0)
    assert trainer.train(config, tmp_path).step == 12


@pytest.fixture
def skipped(data, tmp_path, spoil):
    """Returns the work directory of a run that skipped two steps."""
    spoil(not_finite=[NOT_FINITE], spikes=[SPIKE])
    assert trainer.train(bad_config(data, "skip"), tmp_path / "whole").step == 12
    return tmp_path / "whole"


def test_bad_steps_are_skipped_and_logged(skipped):
    lines = [line for line in logged(skipped) if line["split"] == "train"]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert [line["steps"] for line in lines] == [4, 4, 2]
    assert [line["skipped_steps"] for line in lines] == [1, 2, 2]
    assert all(np.isfinite(line["loss"]) for line in lines)


def test_a_run_that_skips_ends_alike_when_it_is_killed(
    skipped, data, tmp_path, monkeypatch
):
    config, workdir = bad_config(data, "skip"), tmp_path / "killed"
    for step in (5, 8, 10):  # of the bad steps, and after
        with monkeypatch.context() as patch:
            interrupt(patch, step, kill)
            with pytest.raises(Killed):
                trainer.train(config, workdir)
    with monkeypatch.context() as patch:
        interrupt(patch, 11, lambda: os.kill(os.getpid(), signal.SIGTERM))
        trainer.train(config, workdir)
    trainer.train(config, workdir)
    assert_same_run(workdir, skipped)


def test_a_run_with_too_many_bad_steps_in_a_row_stops(data, tmp_path, spoil):
    spoil(not_finite=[4, 5, 6])
    with pytest.raises(TrainingError, match=r"step 7: .* 2 steps before it"):
        trainer.train(bad_config(data, "skip"), tmp_path)


@pytest.fixture
def rewound(data, tmp_path, spoil, drawn):
    """Returns the work directory of a run that went back twice, and its steps."""
    spoil(not_finite=[NOT_FINITE], spikes=[SPIKE])
    assert trainer.train(bad_config(data, "rewind"), tmp_path / "whole").step == 12
    return tmp_path / "whole", list(drawn)


def test_a_run_goes_back_and_leaves_out_the_batches_up_to_the_bad_one(rewound):
    workdir, steps = rewound
    # Batch 5 is bad, which is noticed at step 5, because that is logged: back to step
    # 3, and on with batch 6. Batch 8 is bad, at step 6, which is saved: back to step 3
    # again, and on with batch 9 at step 4.
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 4, 5, 6, *range(4, 13)]
    last = logged(workdir)[-2]
    assert last["left_out_batches"] == 5
    assert "skipped_steps" not in last
    assert [line["step"] for line in logged(workdir)] == [5, 10, 12, 12]


def test_each_step_after_going_back_has_a_batch_that_was_never_seen(rewound, data):
    _, steps = rewound
    batches = [examples for _, examples in steps]
    assert all(batches[i] != batches[j] for i in range(8) for j in range(i))


@pytest.mark.parametrize("moments", [[1, 4], [5, 6], [8, 11]])
def test_a_run_that_goes_back_ends_alike_when_it_is_killed_or_stopped(
    moments, rewound, data, tmp_path, monkeypatch
):
    expected, _ = rewound
    config, workdir = bad_config(data, "rewind"), tmp_path / "killed"
    for step in moments:
        with monkeypatch.context() as patch:
            interrupt(patch, step, kill)
            with pytest.raises(Killed):
                trainer.train(config, workdir)
        with monkeypatch.context() as patch:
            # Saves a step between a scheduled checkpoint and a bad step.
            interrupt(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
            trainer.train(config, workdir)
    trainer.train(config, workdir)
    assert_same_run(workdir, expected)


def test_a_run_stops_when_going_back_does_not_help(data, tmp_path, spoil):
    spoil(not_finite=[4, 6, 8])
    config = bad_config(data, "rewind")
    config.checkpoint.every_steps = 12
    with pytest.raises(TrainingError, match="gone back 2 times already"):
        trainer.train(config, tmp_path)


def test_what_happens_after_a_bad_step_may_change_when_a_run_resumes(
    data, tmp_path, spoil
):
    spoil(spikes=[SPIKE])
    with pytest.raises(TrainingError, match="a spike"):
        trainer.train(bad_config(data, "stop"), tmp_path)
    config = bad_config(data, "rewind", spike_factor=5.0, window=1)
    assert trainer.train(config, tmp_path).step == 12
    assert logged(tmp_path)[-2]["left_out_batches"] == 2
