"""The script for a GPU runs on a CPU, with everything tiny."""

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import gpu

ROOT = pathlib.Path(__file__).parents[2]


def test_parts_have_names_of_their_own_and_limits_that_leave_the_first_their_time(
    tmp_path,
):
    parts = gpu.parts(tmp_path, small=False, vocabulary=None)
    assert len({part.name for part in parts}) == len(parts)
    assert parts[0].name == "train-base-ours"
    # The first five always get their time; the rest if those are fast.
    assert sum(part.limit_s for part in parts[:5]) <= 14 * 60


def part(tmp_path, command):
    return gpu.Part("part", 9.0, ["-c", command], tmp_path / "results.json")


def test_a_part_that_takes_too_long_is_ended(tmp_path):
    endless = part(tmp_path, "import time; time.sleep(1000)")
    assert gpu.run(endless, 0.2).startswith("stopped after")


def test_a_part_that_fails_says_so(tmp_path):
    failing = part(tmp_path, "raise SystemExit(7)")
    assert gpu.run(failing, 9.0) == "failed with status 7"
    assert gpu.run(part(tmp_path, ""), 9.0).startswith("done in")


def test_a_part_of_another_name_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "--parts=decode,train-base-our"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "'train-base-our'; expected names of train-b" in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_runs_on_a_cpu_from_end_to_end(tmp_path):
    file = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu", "--small", f"--output={file}"]
    # The parts left out run the same commands for other sizes.
    parts = "train-base-ours,train-base-theirs,decode,bbc_summarize,train-base-dots"
    process = subprocess.run(
        [*command, f"--parts={parts}", "--minutes=20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    kept = json.loads(file.read_text(encoding="utf-8"))
    failed = {name for name, end in kept["ends"].items() if not end.startswith("done")}
    # Hugging Face's steps need torch and transformers.
    assert not {name for name in failed if not name.endswith("theirs")}, process.stdout
    results = kept["results"]
    assert set(kept["ends"]) == set(parts.split(","))
    assert set(results) == set(kept["ends"]) - failed
    (row,) = results["train-base-ours"]["rows"]
    assert row["systems"]["bertgen_jax"]["median_s"] > 0
    assert {row["beams"] for row in results["decode"]["rows"]} == {1, 4}
    assert max(line["step"] for line in results["bbc_summarize"]) == 50
