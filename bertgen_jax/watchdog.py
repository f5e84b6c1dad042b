"""Ends a process that is stuck, with the stacks of its threads and a sentence.

A step that waits for a process that does not answer, a read from a dead file system or
a hung driver would otherwise keep the machines of a run for ever. Without a running
watchdog, `watching` and `each` do nothing.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NoReturn, TypeVar

from jax._src import compiler  # its frames show that a thread compiles

from bertgen_jax import processes

STUCK = 4  # exit status of a process that the watchdog ends

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Activity:
    """Something that the watched thread does; compared by identity."""

    def __init__(self, what: str):
        self.what = what


class _Watchdog:
    """A thread that looks at what the main thread is doing, and since when."""

    current: "_Watchdog | None" = None

    def __init__(self, limit_s: float):
        self._limit_s = limit_s
        self._activities: list[_Activity] = []  # the innermost is the last
        self._since_s = time.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def progress(self) -> None:
        """Grants the limit anew."""
        self._since_s = time.monotonic()

    def begin(self, activity: _Activity) -> None:
        self._activities.append(activity)
        self.progress()

    def end(self, activity: _Activity) -> None:
        self._activities.remove(activity)
        self.progress()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(min(self._limit_s / 4, 1.0)):
            activities = self._activities[-1:]
            if not activities or _compiles():
                self.progress()
            elif time.monotonic() - self._since_s > self._limit_s:
                self._end(activities[0].what)

    def _end(self, what: str) -> NoReturn:
        processes.print_stacks()
        reason = f"was stuck in {what} for more than {self._limit_s:g} s"
        _log.error(
            "This process %s (watchdog_s) and ends; the stacks of its threads are "
            "above. Everything saved before is intact, and the same command resumes "
            "the run.",
            reason,
        )
        processes.leave(STUCK, reason, show_stacks=True)
        sys.stdout.flush()
        os._exit(STUCK)  # a stuck thread would keep the process


def _compiles() -> bool:
    """Whether any thread of this process compiles a program."""
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code.co_filename == compiler.__file__:
                return True
            frame = frame.f_back
    return False


@contextlib.contextmanager
def running(limit_s: float) -> Iterator[None]:
    """Runs a watchdog while the block runs.

    When a `watching` block, or one item of `each`, takes longer than the limit, the
    stacks of all threads are written to stderr, one sentence says what was running, and
    the process ends with the status `STUCK`. Time in which a program is compiled does
    not count.

    Args:
      limit_s: seconds; 0 for no watchdog.
    """
    if not limit_s:
        yield
        return
    outer, _Watchdog.current = _Watchdog.current, _Watchdog(limit_s)
    try:
        yield
    finally:
        _Watchdog.current.stop()
        _Watchdog.current = outer


@contextlib.contextmanager
def watching(what: str) -> Iterator[None]:
    """Watches the block, which `what` names: "the save of step 60"."""
    watchdog = _Watchdog.current
    if watchdog is None:
        yield
        return
    activity = _Activity(what)
    watchdog.begin(activity)
    try:
        yield
    finally:
        watchdog.end(activity)


def each(items: Iterable[T], what: str) -> Iterator[T]:
    """Yields items, and watches each: how long it takes to come and to be used."""
    with watching(what):
        for item in items:
            _progress()
            yield item
            _progress()


def _progress() -> None:
    if _Watchdog.current is not None:
        _Watchdog.current.progress()
