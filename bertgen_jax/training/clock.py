"""Time and counts in, rates and an estimate of the remaining time out."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Times training, and leaves out what is not training.

    Args:
      elapsed_s: seconds that earlier processes of the run have trained.
    """

    def __init__(self, elapsed_s: float = 0.0):
        self._earlier_s = elapsed_s
        self._start = time.monotonic()
        self._paused_s = 0.0
        self._lap = (0.0, 0)  # seconds and step at the last lap

    @property
    def trained_s(self) -> float:
        """Seconds of training of the whole run."""
        return self._earlier_s + self._own_s

    @property
    def _own_s(self) -> float:
        return time.monotonic() - self._start - self._paused_s

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._paused_s += time.monotonic() - start

    def begin(self, step: int) -> None:
        """Starts the first lap at a step."""
        self._lap = (self._own_s, step)

    def lap(self, step: int) -> tuple[float, float]:
        """Ends a lap.

        Returns:
          Its seconds, and seconds a step.
        """
        seconds, first = self._own_s, self._lap[1]
        lap_s = seconds - self._lap[0]
        self._lap = (seconds, step)
        return lap_s, lap_s / max(step - first, 1)


def duration(seconds: float) -> str:
    """Seconds as "47s", "3:07" or "2:05:00"."""
    whole = round(seconds)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}" if minutes else f"{seconds}s"
