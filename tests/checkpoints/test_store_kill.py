"""Tests that SIGKILL during a save loses no committed step.

Run as a script, this file is the process to kill: it saves steps without end.
"""

import contextlib
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from bertgen_jax.checkpoints.store import CheckpointStore

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def state_of(step):
    """Returns a state large enough for several files; it differs in every step."""
    generator = np.random.default_rng(step)
    return {
        name: jax.numpy.asarray(generator.normal(size=(200, 200)).astype(np.float32))
        for name in ("params", "mu", "nu")
    }


def open_store(directory):
    store = CheckpointStore(directory, best_metric="loss", best_mode="min")
    return contextlib.closing(store)


def save_without_end(directory):
    with open_store(directory) as store:
        for step in range(1, sys.maxsize):
            store.save(step, state_of(step), {"position": step}, {"loss": -step})
            print(step - 1, flush=True)  # committed; `step` is being written


def kill_while_saving(directory, committed, delay_s):
    """Kills a saving process `delay_s` after it has reported `committed` steps.

    Returns:
      The last step that it reported as committed.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, str(directory)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"},
        text=True,
    )
    try:
        for line in process.stdout:
            if int(line) >= committed:
                break
        time.sleep(delay_s)
    finally:
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return int((line + rest).split()[-1])


def assert_nothing_is_lost(directory, committed, caplog):
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state_of(0)
    )
    with open_store(directory) as store, caplog.at_level(logging.WARNING):
        step, state, extra = store.restore(None, abstract)
        assert step in (committed, committed + 1)  # + 1 if killed before its report
        assert extra == {"position": step}
        for name, array in state_of(step).items():
            assert np.array_equal(state[name], array)
        assert not [r for r in caplog.records if r.name.startswith("bertgen_jax")]
        store.save(step + 1, state_of(step + 1), {}, {"loss": -step - 1})
        store.wait()
        assert [path.name for path in directory.iterdir()] == [str(step + 1)]


@pytest.mark.parametrize("delay_s", [0.0, 0.03])
def test_a_kill_while_saving_loses_nothing_committed(tmp_path, caplog, delay_s):
    committed = kill_while_saving(tmp_path, committed=2, delay_s=delay_s)
    assert_nothing_is_lost(tmp_path, committed, caplog)


@pytest.mark.slow
def test_kills_at_many_moments_lose_nothing_committed(tmp_path, caplog):
    moments = random.Random(0)
    for trial in range(20):
        directory = tmp_path / str(trial)
        committed = kill_while_saving(directory, 1, moments.uniform(0, 0.1))
        assert_nothing_is_lost(directory, committed, caplog)


if __name__ == "__main__":
    save_without_end(sys.argv[1])
