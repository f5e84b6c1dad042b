"""Turns signals into requests to save the run and stop."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

_log = logging.getLogger(__name__)


class Interruption:
    """Tells whether the run has been asked to stop.

    SIGTERM (a preempted machine, a scheduler's time limit) and the first SIGINT
    (Ctrl-C) only set a flag, which the loop reads between steps. A second SIGINT
    raises KeyboardInterrupt at once. With several processes, `jax.distributed` handles
    SIGTERM, which the first SIGINT then becomes, and makes all of them stop after the
    same step.
    """

    def __init__(self):
        self._signal: int | None = None
        self._calls = 0
        self._agreed = False

    def requested(self) -> bool:
        """Whether to stop now; the same on every process, which all call it."""
        if jax.process_count() == 1:
            return self._signal is not None
        self._calls += 1  # not the step of the run, because a run may go back
        if multihost_utils.reached_preemption_sync_point(self._calls):
            self._agreed = True
        return self._agreed

    def requested_alone(self) -> bool:
        """Whether to stop now; False with several processes, which stop together."""
        return jax.process_count() == 1 and self._signal is not None

    @property
    def name(self) -> str:
        """The name of the signal, for messages."""
        return signal.Signals(self._signal or signal.SIGTERM).name

    def _handle(self, number: int, _: object) -> None:
        if number == signal.SIGINT and self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number
        if number == signal.SIGINT and jax.process_count() > 1:
            # jax tells the other processes of a SIGTERM only.
            os.kill(os.getpid(), signal.SIGTERM)

    @classmethod
    @contextlib.contextmanager
    def watched(cls) -> Iterator["Interruption"]:
        """Handles signals within the block, then restores the old handlers."""
        interruption = cls()
        # Python allows handlers in the main thread only.
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
        if jax.process_count() > 1:
            numbers = tuple(number for number in numbers if number != signal.SIGTERM)
        old = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            signal.signal(number, interruption._handle)
        try:
            yield interruption
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
