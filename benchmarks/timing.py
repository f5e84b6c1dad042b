"""Times functions that do the same work, in turn, and compares them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# OpenMP's threads keep their cores busy for up to 0.2 s after their work
# (KMP_BLOCKTIME). The pause keeps them from slowing the next library down.
_PAUSE_S = 0.3


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time of one function.

    Attributes:
      result: of its first call.
      seconds: of each later call.
    """

    result: Any
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median of `seconds`."""
        return statistics.median(self.seconds)


def race(
    runs: Mapping[str, Callable[[], Any]], repeats: int, *, settling: int = 0
) -> dict[str, Timing]:
    """Calls each function once to warm up, then all of them `repeats` times in turn.

    Args:
      runs: the functions.
      repeats: timed calls of each.
      settling: calls before each timed one that are not timed. A function that is
        called many times in a row, such as a training step, reuses the memory that its
        last call gave back; after another function, it has to ask the system for it.
    """
    results = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(_PAUSE_S)
            for _ in range(settling):
                run()
            started_s = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started_s)
    return {name: Timing(results[name], tuple(seconds[name])) for name in runs}


def compared(timings: Mapping[str, Timing], first: str) -> dict[str, dict[str, Any]]:
    """Returns medians and spread of all functions, and how they compare to `first`.

    `ratio` is that of the medians: above 1 means that `first` is faster. `agreement` is
    the share of equal items in the results.
    """
    ours = timings[first]
    rows = {}
    for name, timing in timings.items():
        rows[name] = {
            "median_s": round(timing.median_s, 4),
            "min_s": round(min(timing.seconds), 4),
            "max_s": round(max(timing.seconds), 4),
        }
        if name != first:
            rows[name]["ratio"] = round(timing.median_s / ours.median_s, 3)
            rows[name]["agreement"] = round(agreement(timing.result, ours.result), 4)
    return rows


def agreement(items: Sequence[Any], expected: Sequence[Any]) -> float:
    """Returns the share of items that equal the expected item at the same index."""
    equal = [a == b for a, b in zip(items, expected, strict=True)]
    return sum(equal) / len(equal)
