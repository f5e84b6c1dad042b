"""Signals in, a flag out: how a run learns that it should save and stop."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

_log = logging.getLogger(__name__)


class Interruption:
    """Whether the run has been asked to stop.

    SIGTERM (a preempted machine, a scheduler's time limit) and the first SIGINT
    (Ctrl-C) only set a flag, which the loop reads between steps; a second SIGINT
    interrupts at once. With several processes `jax.distributed` takes SIGTERM itself
    and makes all of them stop after the same step.
    """

    def __init__(self):
        self._signal: int | None = None

    def requested(self, step: int) -> bool:
        """Whether to stop after step `step`; the same answer on every host."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._signal is not None

    @property
    def name(self) -> str:
        """The signal's name, for the log."""
        return signal.Signals(self._signal or signal.SIGTERM).name

    def _handle(self, number: int, _) -> None:
        if number == signal.SIGINT and self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number

    @classmethod
    @contextlib.contextmanager
    def watched(cls) -> Iterator["Interruption"]:
        """Listens within the block, then puts the old handlers back."""
        interruption = cls()
        # Python takes signals in the main thread only; elsewhere nobody can ask.
        listening = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGTERM, signal.SIGINT) if listening else ()
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
