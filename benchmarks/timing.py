"""Functions that do the same thing in, how long each takes beside the others out."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# OpenMP's threads wait for more work, and keep their cores busy, for 0.2 s at most
# (KMP_BLOCKTIME); nobody is to pay for those of another library.
_PAUSE_S = 0.3


@dataclasses.dataclass(frozen=True)
class Measured:
    """One function.

    Attributes:
      found: what its first call returned.
      seconds: of each later call.
    """

    found: Any
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Of `seconds`."""
        return statistics.median(self.seconds)


def race(runs: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Measured]:
    """Calls each function once to warm up, then all of them `repeats` times in turn."""
    found = {name: run() for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(_PAUSE_S)
            started_s = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started_s)
    return {name: Measured(found[name], tuple(seconds[name])) for name in runs}


def compared(measured: Mapping[str, Measured], first: str) -> dict[str, dict[str, Any]]:
    """Medians and spread of all, as results have them, and how they compare to `first`.

    `ratio` is that of the medians: above 1 means that `first` is faster. `agreement` is
    the share of equal things in what was found.
    """
    ours = measured[first]
    rows = {}
    for name, one in measured.items():
        rows[name] = {
            "median_s": round(one.median_s, 4),
            "min_s": round(min(one.seconds), 4),
            "max_s": round(max(one.seconds), 4),
        }
        if name != first:
            rows[name]["ratio"] = round(one.median_s / ours.median_s, 3)
            rows[name]["agreement"] = round(agreement(one.found, ours.found), 4)
    return rows


def agreement(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The share of places that have equal things."""
    equal = [one == other for one, other in zip(found, wanted, strict=True)]
    return sum(equal) / len(equal)
