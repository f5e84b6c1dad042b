"""SIGTERM and SIGINT request a stop; they do not end the process."""

import os
import signal

import pytest

from bertgen_jax.training.interruption import Interruption


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
