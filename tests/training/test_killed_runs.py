"""A run that is killed at random moments ends bit for bit like one that is not."""

import os
import subprocess
import sys

import pytest

from tests.fixtures import processes
from tests.training import test_trainer

KILLS, SEED = 50, 13


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_nothing(tmp_path):
    """With dropout, and with weights split over two of four devices."""
    data = tmp_path / "data"
    data.mkdir()
    test_trainer.write_examples(data / "train.jsonl", 40, seed=0)
    test_trainer.write_examples(data / "held_out.jsonl", 10, seed=1)
    arguments = [str(SEED), str(KILLS), str(tmp_path), str(data)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fixtures.killed_runs", *arguments],
        cwd=processes.ROOT,
        env=os.environ | {"BERTGEN_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr[-5000:]
    deaths = [line for line in ended.stdout.splitlines() if " died at step " in line]
    assert len(deaths) == KILLS
    assert len(set(deaths)) > KILLS / 4  # before, within and after the steps
    whole, runs = tmp_path / "whole", sorted(tmp_path.glob("killed-*"))
    for workdir in runs:
        assert_same_run(workdir, whole)


def assert_same_run(workdir, expected):
    last = max(int(p.name) for p in (expected / "checkpoints").glob("[0-9]*"))
    state = test_trainer.saved_state(expected, last)
    assert test_trainer.saved_state(workdir, last) == state
    assert test_trainer.metrics(workdir) == test_trainer.metrics(expected)
    for folder in ("predictions", "results", "model"):
        names = sorted(path.name for path in (expected / folder).iterdir())
        assert sorted(path.name for path in (workdir / folder).iterdir()) == names
        for name in names:
            contents = (expected / folder / name).read_bytes()
            assert (workdir / folder / name).read_bytes() == contents, name
