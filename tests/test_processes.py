"""Processes share what process 0 does, and none waits for one that has ended."""

import ast
import contextlib
import json
import pathlib
import queue
import signal
import socket
import textwrap
import threading
import time

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from bertgen_jax import errors, watchdog
from bertgen_jax import processes as processes_lib
from tests.fixtures import processes

ROOT = pathlib.Path(__file__).parents[1]
# Functions that every process must call, or that call such a function.
COLLECTIVES = {
    "broadcast_one_to_all",
    "process_allgather",
    "sync_global_devices",
    "assert_equal",
    "reached_preemption_sync_point",
    "on_process_0",
    "restore",
    "delete_after",
    "restore_params",
    "params",
    "save",
    "wait",
    "_gather",
    "_from_process_0",
    "gather",
    "evaluate",
    "predict",
    "train_step",
    "flush_totals",
}


def is_on_index(node):
    conditional = isinstance(node, ast.If | ast.IfExp | ast.While)
    return conditional and "process_index" in ast.unparse(node.test)


def conditional_parts(tree):
    """Yields what runs on some processes only, by the conditions on their index."""
    for node in ast.walk(tree):
        if is_on_index(node):
            for branch in (node.body, node.orelse):
                yield from branch if isinstance(branch, list) else [branch]
        # What follows `if ...: return` runs on the other processes only.
        for block in (getattr(node, name, None) for name in ("body", "orelse")):
            for i, statement in enumerate(block if isinstance(block, list) else ()):
                ends = (ast.Return, ast.Raise, ast.Continue, ast.Break)
                if is_on_index(statement) and isinstance(statement.body[-1], ends):
                    yield from block[i + 1 :]


def conditional_collectives(source):
    """Yields the line and name of each collective that depends on the process index."""
    for part in conditional_parts(ast.parse(source)):
        for call in ast.walk(part):
            if isinstance(call, ast.Call):
                name = ast.unparse(call.func).rpartition(".")[2]
                if name in COLLECTIVES:
                    yield call.lineno, name


def test_no_collective_depends_on_the_process_index():
    files = [ROOT / "train.py", ROOT / "eval.py", *(ROOT / "bertgen_jax").rglob("*.py")]
    found = {
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in files
        for line, name in conditional_collectives(file.read_text(encoding="utf-8"))
    }
    assert not found


@pytest.mark.parametrize(
    "branch",
    [
        "if jax.process_index() == 0:\n    run.params(best_step)",
        "if jax.process_index() != 0:\n    pass\nelse:\n    a(b, store.restore(None))",
        "x = sync_global_devices('a') if jax.process_index() else 0",
        "def f():\n    if jax.process_index():\n        return\n    store.wait()",
    ],
)
def test_a_collective_that_depends_on_the_process_index_is_found(branch):
    assert list(conditional_collectives(branch))


def test_one_process_runs_what_process_0_does():
    assert processes_lib.on_process_0(lambda: {"a": 1}) == {"a": 1}


@pytest.fixture
def process_1(monkeypatch):
    """Makes this process the second of two, and returns what process 0 sends it."""
    sent = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(processes_lib, "_from_process_0", lambda _: sent.pop())
    return sent


def test_the_other_processes_get_the_result_of_process_0(process_1):
    process_1.append(["", "", 7])
    assert processes_lib.on_process_0(lambda: pytest.fail("runs")) == 7


def test_the_other_processes_get_the_error_of_process_0(process_1):
    process_1.append(["CheckpointError", "runs/a: in use", None])
    with pytest.raises(errors.CheckpointError, match="runs/a: in use"):
        processes_lib.on_process_0(lambda: pytest.fail("runs"))
    process_1.append(["KeyError", "'x'", None])
    with pytest.raises(errors.TrainingError, match="process 0 failed with KeyError"):
        processes_lib.on_process_0(lambda: pytest.fail("runs"))


def test_the_values_of_all_processes(process_1, monkeypatch):
    theirs = {"words": "ä" * 800}

    def gathered(own):
        data = json.dumps(theirs).encode()
        if not own.shape:  # the number of bytes
            return np.array([len(data), own])
        row = np.zeros_like(own)
        row[: len(data)] = np.frombuffer(data, np.uint8)
        return np.stack([row, own])

    monkeypatch.setattr(multihost_utils, "process_allgather", gathered)
    assert processes_lib.gather(2**63 - 1) == [theirs, 2**63 - 1]
    assert processes_lib.gather(theirs) == [theirs, theirs]


def test_a_message_may_arrive_in_parts(monkeypatch):
    ends = queue.Queue()
    monkeypatch.setattr(processes_lib._Watch, "_end", lambda self, what: ends.put(what))
    monkeypatch.setattr(processes_lib, "_GRACE_S", 0.0)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        processes_lib._Watch({ours: "process 1 on node7"})
        for part in (b'{"end": "process 1 on no', b'de7 was interrupted."}\n'):
            theirs.sendall(part)
            time.sleep(0.05)
        assert ends.get(timeout=10) == "process 1 on node7 was interrupted"


@pytest.mark.parametrize(
    ("heard", "gives_way"),
    [
        ("was interrupted", True),
        ("stopped: step 9 could not be saved.", False),  # all have the same error
        ("stopped: runs/a is in use.", True),
    ],
)
def test_an_error_after_another_process_has_ended_is_no_reason(
    monkeypatch, heard, gives_way
):
    ends = queue.Queue()
    monkeypatch.setattr(processes_lib, "_NOTICE_S", 0.2)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch = processes_lib._Watch({ours: "process 1 on node7"})
        watch._end = ends.put  # of this one: its thread may outlive the test
        monkeypatch.setattr(processes_lib._Watch, "current", watch)
        message = {"end": f"process 1 on node7 {heard}"}
        theirs.sendall(json.dumps(message).encode() + b"\n")
        # The thread waits before it ends the process.
        processes_lib.give_way("stopped: step 9 could not be saved.")
        assert ends.qsize() == gives_way
        ends.get(timeout=10)


PROGRAM = """
import sys, time
import jax
import numpy as np
from jax.experimental import multihost_utils
from bertgen_jax import processes, watchdog
from bertgen_jax.experiment import flags, workdir as workdir_lib

def main(config, workdir):
    if config.multihost:
        processes.connect()
    with workdir_lib.locked(workdir), watchdog.running(10):
        print("ready", flush=True)
        while True:
            with watchdog.watching("a collective"):
                multihost_utils.process_allgather(np.ones(3))
            if jax.process_index() == 1 and (workdir / "fail").exists():
                raise KeyError("a mistake")
            if jax.process_index() == 1 and (workdir / "hang").exists():
                with watchdog.watching("a read of a dead disk"):
                    time.sleep(1000)
            time.sleep(0.05)

flags.define_flags()
sys.exit(flags.run(main, sys.argv, ""))
"""


@contextlib.contextmanager
def working(tmp_path, count):
    """Starts processes that call a collective again and again."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    config = "--config=configs/bbc_summarize.py:demo"
    started = processes.start(count, program, config, f"--workdir={tmp_path / 'run'}")
    try:
        for process in started:
            for line in process.stdout:
                if "ready" in line:
                    break
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "victim"), [(2, 0), (2, 1), (3, 2)])
def test_the_others_name_a_process_that_is_killed(tmp_path, count, victim):
    with working(tmp_path, count) as started:
        started[victim].send_signal(signal.SIGKILL)
        outcomes = processes.finish(started, timeout_s=60)
    for number, (status, output) in enumerate(outcomes):
        if number == victim:
            assert status == -signal.SIGKILL
        else:
            assert status == processes_lib.LOST, output
            assert output.count("was lost") == 1
            assert f"process {victim} on " in output
            assert "Traceback" not in output
            assert "disk" not in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_all_end_when_one_is_interrupted(tmp_path, number):
    with working(tmp_path, 2) as started:
        started[number].send_signal(signal.SIGINT)
        outcomes = processes.finish(started, timeout_s=60)
    (status, output), (other_status, other_output) = (
        outcomes[number],
        outcomes[1 - number],
    )
    assert (status, other_status) == (130, processes_lib.LOST), outcomes
    assert "interrupted; everything saved before is intact" in output
    assert f"process {number} on " in other_output
    assert "was interrupted" in other_output
    assert "Traceback" not in other_output


@pytest.mark.slow
def test_all_end_when_one_has_an_error(tmp_path):
    with working(tmp_path, 2) as started:
        (tmp_path / "run" / "fail").touch()
        outcomes = processes.finish(started, timeout_s=60)
    assert [status for status, _ in outcomes] == [processes_lib.LOST, 1]
    assert "ended with an error" in outcomes[0][1]
    assert "KeyError: 'a mistake'" in outcomes[1][1]


@pytest.mark.slow
def test_all_show_their_stacks_and_end_when_one_is_stuck(tmp_path):
    with working(tmp_path, 2) as started:
        (tmp_path / "run" / "hang").touch()
        outcomes = processes.finish(started, timeout_s=60)
    statuses = {status for status, _ in outcomes}
    assert watchdog.STUCK in statuses, outcomes
    assert statuses <= {watchdog.STUCK, processes_lib.LOST}, outcomes
    for _, output in outcomes:
        assert "Current thread" in output or "Thread 0x" in output
        assert "was stuck in a" in output
    assert "in process_allgather" in outcomes[0][1]
    assert "in main" in outcomes[1][1]


@pytest.mark.slow
def test_every_process_says_that_the_work_directory_is_locked(tmp_path):
    with working(tmp_path, 1):
        outcomes = processes.finish(
            processes.start(
                2,
                tmp_path / "program.py",
                "--config=configs/bbc_summarize.py:demo",
                f"--workdir={tmp_path / 'run'}",
            ),
            timeout_s=60,
        )
    for status, output in outcomes:
        assert status in (2, processes_lib.LOST)
        assert "another process is training there" in output
        assert "Traceback" not in output
