"""Every :demo does what the README promises, run as a user runs it."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DEMOS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common"
)

pytestmark = pytest.mark.slow


def command(*arguments):
    return [sys.executable, *map(str, arguments)]


def run(*arguments, **options):
    """Runs a command in the repository's root and returns its standard output."""
    process = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


# How many points each demo is at least above its baseline.
MARGINS = {
    "bbc_summarize": {"rougeL": 25},
    "cnndm_summarize": {"rougeLsum": 15},
    "gigaword_summarize": {"rougeL": 25},
    "discofuse_fuse": {"exact": 30, "sari": 20},
    "wikisplit_split": {"exact": 30, "sari": 20},
    "wmt14_en_de": {"bleu-tfmodels": 30},
    "wmt14_de_en": {"bleu-tfmodels": 30},
}


def test_every_demo_has_a_margin():
    assert sorted(MARGINS) == DEMOS


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_learns_far_more_than_its_baseline(name, tmp_path):
    config = f"--config=configs/{name}.py:demo"
    if name == "bbc_summarize":  # in CI, the README's command has trained it
        tmp_path = pathlib.Path(os.environ.get("BERTGEN_DEMO_DIR", tmp_path))
    output = run("train.py", config, f"--workdir={tmp_path}")
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(output)
    assert peak_gib < 4

    (path,) = (tmp_path / "results").glob("test-*.json")
    results = json.loads(path.read_text())
    for metric, margin in MARGINS[name].items():
        score, baseline = (
            results[side][metric]["value"] for side in ("scores", "baseline")
        )
        assert score > baseline + margin
        assert metric in output
    assert "paper: Table" in output
    assert results["paper"]["differences"]
    if name != "bbc_summarize":
        return

    # The two commands that it names next, and `bertgen score`.
    assert "python eval.py" in output
    table = run("eval.py", config, f"--workdir={tmp_path}", "--split=validation")
    assert "rougeL" in table
    generated = run(
        "-m",
        "bertgen_jax",
        "generate",
        tmp_path / "model",
        input="The city had managed without them for nine weeks.\nA quiet day.\n",
    )
    assert len(generated.splitlines()) == 2
    (predictions,) = (tmp_path / "predictions").glob("test-*.jsonl")
    scored = run("-m", "bertgen_jax", "score", f"--predictions={predictions}")
    assert f"{results['scores']['rougeL']['value']:.2f}" in scored


def start(workdir, *arguments, environment=None):
    return subprocess.Popen(
        command(
            "train.py",
            "--config=configs/bbc_summarize.py:demo",
            f"--workdir={workdir}",
            "--config.total_steps=30",
            "--config.optim.warmup_steps=10",
            "--config.eval.every_steps=0",
            "--config.eval.num_examples=8",
            "--config.data.test=",
            *arguments,
        ),
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def wait_for_checkpoint(process, workdir, count):
    """Returns as soon as `count` steps are complete on disk."""
    folder = workdir / "checkpoints"
    while process.poll() is None:
        done = (
            [p for p in folder.glob("*") if p.name.isdigit()] if folder.is_dir() else []
        )
        if len(done) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[0])


def wait_for_line(process, text):
    """Reads the output of a process up to a line with `text`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def trained(workdir):
    """The model, and the validation loss at the end."""
    weights = (workdir / "model" / "model.safetensors").read_bytes()
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return weights, [line["loss"] for line in lines if line["split"] == "validation"]


def test_killed_and_stopped_processes_lose_nothing(tmp_path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    status, output = finish(start(undisturbed, "--config.checkpoint.every_steps=2"))
    assert status == 0, output

    # SIGKILL right after a commit: the next save is under way or near.
    process = start(disturbed, "--config.checkpoint.every_steps=2")
    wait_for_checkpoint(process, disturbed, 2)
    process.send_signal(signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL

    process = start(
        disturbed, "--config.checkpoint.every_steps=2", "--config.log.every_steps=2"
    )
    wait_for_line(process, "/30  loss")
    process.send_signal(signal.SIGTERM)
    status, output = finish(process)
    assert status == 0, output
    assert "SIGTERM: saved step" in output
    assert "python train.py --config=configs/bbc_summarize.py:demo" in output

    status, output = finish(start(disturbed, "--config.checkpoint.every_steps=2"))
    assert status == 0, output
    assert "resuming from step" in output
    assert trained(disturbed) == trained(undisturbed)


def test_a_run_resumes_with_another_number_of_devices(tmp_path):
    status, output = finish(start(tmp_path, "--config.checkpoint.every_steps=10"))
    assert status == 0, output
    _, expected = trained(tmp_path)
    (tmp_path / "checkpoints" / "30").rename(tmp_path / "gone")

    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = start(tmp_path, "--config.checkpoint.every_steps=10", environment=two)
    status, output = finish(process)
    assert status == 0, output
    assert "resuming from step 20" in output
    _, losses = trained(tmp_path)
    assert losses == pytest.approx(expected, rel=1e-3)
