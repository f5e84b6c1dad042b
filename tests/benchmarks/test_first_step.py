"""The stages of a command are read from what it prints."""

import sys

import pytest

from benchmarks import first_step, training_tables

LINES = (
    "train.py: loading JAX",
    "train: 5 batches an epoch, 10% of their tokens padding",
    "compiled a step for 128 and 64 tokens in 3 s",
    "training from step 1 to 400",
    "step 1/400  loss 2.0",
    "step 2/400  loss 1.0",
)


def test_a_run_is_timed_up_to_its_last_stage(tmp_path):
    source = f"import time; [print(x, flush=True) for x in {LINES}]; time.sleep(600)"
    seconds = first_step.run([sys.executable, "-c", source], tmp_path, "step done")
    assert list(seconds) == [*first_step.STAGES, "cpu_s"]
    stages = [seconds[stage] for stage in first_step.STAGES]
    assert stages == sorted(stages)


def test_a_command_that_fails_is_shown_with_its_output(tmp_path):
    source = "print('no such file'); raise SystemExit(2)"
    with pytest.raises(RuntimeError, match="no such file"):
        first_step.run([sys.executable, "-c", source], tmp_path, "step done")


def test_the_stages_are_columns_of_the_table():
    row = {"size": "base", "kind": "cold", "step done": 3.14, "cpu_s": 5.0}
    machine = {"class": "c", "processor": "p", "jax": "1"}
    results = {
        "date": "d",
        "command": "c",
        "load": 1,
        "machine": machine,
        "rows": [row],
    }
    assert training_tables.first_step(results).splitlines()[-3:] == [
        "| size |  | step done | CPU |",
        "|---|---|---|---|",
        "| base | cold | 3.1 s | 5.0 s |",
    ]
