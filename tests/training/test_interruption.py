"""SIGTERM and SIGINT request a stop; they do not end the process."""

import os
import signal
import time

import pytest

from bertgen_jax.training.interruption import Interruption
from tests.fixtures import processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_a_request(number):
    with Interruption.watched() as interruption:
        assert not interruption.requested()
        os.kill(os.getpid(), number)
        assert interruption.requested()
        assert interruption.name == signal.Signals(number).name


def test_a_second_interrupt_stops_at_once():
    with Interruption.watched():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_old_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption.watched():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_an_interrupt_ends_a_compilation(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path / "cache"))
    config = "--config=configs/bbc_summarize.py:demo"
    (process,) = processes.start(1, "train.py", config, f"--workdir={tmp_path / 'run'}")
    for line in process.stdout:
        if "compiling a step" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    ((status, output),) = processes.finish([process], timeout_s=60)
    assert status == 130, output
    assert output.endswith("interrupted; everything saved before is intact\n")
    assert "Traceback" not in output
    assert "compiled a step" not in output
