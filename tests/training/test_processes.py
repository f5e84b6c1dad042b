"""Several processes train, evaluate and resume one run as a single process does."""

import contextlib
import json
import re
import shutil
import signal
import time

import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax import processes as processes_lib
from tests.fixtures import processes

pytestmark = pytest.mark.slow

# 10 of the 200 validation examples are decoded; neither number is a multiple of 8.
CONFIG = (
    "--config=configs/bbc_summarize.py:demo",
    "--config.total_steps=6",
    "--config.batch_size=8",
    "--config.model.size=micro",
    "--config.model.hidden_dropout_prob=0.1",
    "--config.model.initializer_range=0.5",  # so that texts differ from each other
    "--config.tokenizer.vocab_size=300",
    "--config.data.buckets=((128,32),)",
    "--config.optim.warmup_steps=1",
    "--config.eval.every_steps=2",
    "--config.eval.num_examples=10",
    "--config.eval.batch_size=8",
    "--config.eval.metric=loss",
    "--config.decode.max_new_tokens=6",
    "--config.decode.num_beams=2",
    "--config.checkpoint.every_steps=2",
    "--config.checkpoint.keep_every_steps=2",
    "--config.log.every_steps=1",
    "--config.log.tensorboard=False",
)


def train(count, workdir):
    return processes.run(count, "train.py", *CONFIG, f"--workdir={workdir}")


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same_predictions(workdir, expected, name):
    file = f"predictions/{name}.jsonl"
    pairs = zip(read_lines(workdir / file), read_lines(expected / file), strict=True)
    for ours, theirs in pairs:
        assert ours.pop("score") == pytest.approx(theirs.pop("score"), rel=1e-5)
        assert ours == theirs


def assert_same_results(workdir, expected, name):
    ours, theirs = (folder / "results" / name for folder in (workdir, expected))
    assert json.loads(ours.read_text()) == json.loads(theirs.read_text())


def assert_same_run(workdir, expected):
    """Checks that two work directories hold the same logs, files and model."""
    names = {
        folder: sorted(path.name for path in (expected / folder).iterdir())
        for folder in ("predictions", "results", "model")
    }
    for folder, files in names.items():
        assert sorted(path.name for path in (workdir / folder).iterdir()) == files

    logs = zip(
        read_lines(workdir / "metrics.jsonl"),
        read_lines(expected / "metrics.jsonl"),
        strict=True,
    )
    for ours, theirs in logs:
        assert (ours["step"], ours["split"]) == (theirs["step"], theirs["split"])
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)
        assert ours.get("examples") == theirs.get("examples")
        assert ours.get("rougeL") == theirs.get("rougeL")

    for name in (path.removesuffix(".jsonl") for path in names["predictions"]):
        assert_same_predictions(workdir, expected, name)
    for name in names["results"]:
        assert_same_results(workdir, expected, name)

    ours, theirs = (
        safetensors.numpy.load_file(folder / "model" / "model.safetensors")
        for folder in (workdir, expected)
    )
    assert sorted(ours) == sorted(theirs)
    for name, tensor in theirs.items():
        # The gradient of a key bias is zero but for rounding, which Adam scales up.
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(ours[name], tensor, atol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Returns the work directory of a run by one process."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    train(1, workdir)
    return workdir


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_train_and_evaluate_as_one_does(count, alone, tmp_path):
    workdir = tmp_path / "run"
    first, *others = train(count, workdir)
    assert_same_run(workdir, alone)
    assert "Next:\n  python eval.py" in first
    assert not any("Next:" in output for output in others)
    if count == 2:  # the command that it names is for one process
        processes.run(1, "eval.py", f"--workdir={workdir}", "--split=validation")


def test_several_processes_evaluate_a_run_of_one(alone, tmp_path):
    workdir = shutil.copytree(alone, tmp_path / "run")
    expected = tmp_path / "expected"
    for folder in ("predictions", "results"):
        shutil.move(workdir / folder, expected / folder)
    command = ("eval.py", *CONFIG, f"--workdir={workdir}", "--split=test")
    first, second = processes.run(2, *command)
    assert "Predictions: " in first
    assert "Predictions: " not in second
    (predictions,) = (workdir / "predictions").iterdir()
    (results,) = (workdir / "results").iterdir()
    assert predictions.stem == results.stem
    assert len(read_lines(predictions)) == 200
    assert_same_predictions(workdir, expected, predictions.stem)
    assert_same_results(workdir, expected, results.name)


def test_a_run_resumes_with_another_number_of_processes(alone, tmp_path):
    workdir = shutil.copytree(alone, tmp_path / "run")
    shutil.rmtree(workdir / "model")
    for count, resumed, saved in ((2, 2, (4, 6)), (1, 4, (6,))):
        for step in saved:
            shutil.rmtree(workdir / "checkpoints" / str(step))
        for output in train(count, workdir):
            assert f"resuming from step {resumed}" in output
    assert_same_run(workdir, alone)


def test_several_processes_go_back_together(tmp_path):
    """The gradient norm of step 5 is 1.036 times the median of the two before it."""
    bad_steps = (
        "--config.bad_steps.action=rewind",
        "--config.bad_steps.spike_factor=1.03",
        "--config.bad_steps.window=2",
        "--config.bad_steps.limit=100",
    )
    lines = {}
    for count in (1, 2):
        workdir = tmp_path / f"{count}"
        command = ("train.py", *CONFIG, *bad_steps, f"--workdir={workdir}")
        for output in processes.run(count, *command):
            assert "back to step 4; the next batch is" in output
        lines[count] = read_lines(workdir / "metrics.jsonl")
    assert lines[1][-2]["left_out_batches"] > 0
    for ours, theirs in zip(lines[2], lines[1], strict=True):
        assert ours.get("left_out_batches") == theirs.get("left_out_batches")
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)


@contextlib.contextmanager
def training(workdir):
    """Starts two processes that train for long; yields when both have made steps."""
    config = (*CONFIG, "--config.total_steps=1000000", "--config.eval.every_steps=0")
    started = processes.start(2, "train.py", *config, f"--workdir={workdir}")
    try:
        for process in started:
            for line in process.stdout:
                if "step 20/" in line:
                    break
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def saved_steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--config.optim.learning_rate=0.1",
            r"process 1 has another config .*: optim\.learning_rate: 0\.\d+, 0\.1\. ",
        ),
        (
            "--config.data.train={copy}",
            r"process 1 has another config .*: data\.train: ",
        ),
    ],
)
def test_processes_with_different_configs_do_not_begin(argument, message, tmp_path):
    arguments = (*CONFIG, f"--workdir={tmp_path / 'run'}")
    argument = argument.format(copy=tmp_path / "copy.jsonl")
    started = processes.start(2, "train.py", *arguments, last=[argument])
    for status, output in processes.finish(started, timeout_s=100):
        assert status == 2, output
        assert re.search(message, output), output
        assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_save_and_stop_when_one_gets_a_signal(number, tmp_path):
    with training(tmp_path) as started:
        started[1].send_signal(number)
        outcomes = processes.finish(started, timeout_s=100)
    for status, output in outcomes:
        assert status == 0, output
        assert f": saved step {saved_steps(tmp_path)[-1]:,} in {tmp_path}" in output
        assert "Traceback" not in output


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_named_and_no_disk_is_blamed(victim, tmp_path):
    with training(tmp_path) as started:
        started[victim].send_signal(signal.SIGKILL)
        outcomes = processes.finish(started, timeout_s=60)
    status, output = outcomes[1 - victim]
    assert status == processes_lib.LOST, output
    assert f"process {victim} on " in output
    assert output.count("was lost") == 1
    assert "disk" not in output
    assert "Traceback" not in output


def test_all_end_when_one_is_interrupted_twice(tmp_path):
    with training(tmp_path) as started:
        started[1].send_signal(signal.SIGINT)
        started[1].send_signal(signal.SIGINT)
        time.sleep(0.2)  # a signal that arrives before the first is handled is dropped
        started[1].send_signal(signal.SIGINT)
        outcomes = processes.finish(started, timeout_s=100)
    statuses = [status for status, _ in outcomes]
    # The run may have ended in order before the second signal.
    assert statuses in ([processes_lib.LOST, 130], [0, 0]), outcomes
