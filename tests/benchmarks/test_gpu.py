"""The script for a GPU runs on a CPU, with everything tiny."""

import argparse
import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import gpu

ROOT = pathlib.Path(__file__).parents[2]


def options(tmp_path, **fields):
    defaults = {"output": tmp_path, "vocabulary": None, "small": True}
    return argparse.Namespace(**defaults | fields)


def test_parts_have_names_of_their_own_and_limits_that_leave_the_first_their_time(
    tmp_path,
):
    parts = gpu.parts(options(tmp_path, small=False), tmp_path)
    assert len({part.name for part in parts}) == len(parts)
    assert parts[0].name == "train-base-ours"
    # The first five always get their time; the rest if those are fast.
    assert sum(part.limit_s for part in parts[:5]) <= 14 * 60


def test_a_part_that_takes_too_long_is_ended(tmp_path):
    part = gpu.Part("endless", 1.0, ["-c", "import time; time.sleep(1000)"])
    assert gpu.run(part, 0.2).startswith("stopped after")


def test_a_part_that_fails_says_so(tmp_path):
    part = gpu.Part("broken", 9.0, ["-c", "raise SystemExit(7)"])
    assert gpu.run(part, 9.0) == "failed with status 7"
    assert gpu.run(gpu.Part("fine", 9.0, ["-c", ""]), 9.0).startswith("done in")


@pytest.mark.slow
def test_the_script_runs_on_a_cpu_from_end_to_end(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--small"]
    process = subprocess.run(
        [*command, f"--output={tmp_path}", "--minutes=20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    ends = json.loads(process.stdout[process.stdout.rindex("{\n") :])
    failed = {name for name, end in ends.items() if not end.startswith("done")}
    # Hugging Face's steps need torch and transformers.
    assert not {name for name in failed if not name.endswith("theirs")}, process.stdout
    for name in set(ends) - failed - {"bbc_summarize"}:
        assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    rows = json.loads((tmp_path / "train-base-ours.json").read_text())["rows"]
    assert rows[0]["systems"]["bertgen_jax"]["median_s"] > 0
    assert "step 50/50" in process.stderr.replace(",", "")
