"""Computes the values that a run logs, and writes them for people and programs.

metrics.jsonl holds all values, one JSON object a line; TensorBoard shows the same.
"""

import contextlib
import functools
import json
import logging
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax

from bertgen_jax.files import atomic
from bertgen_jax.training.flops import Utilization
from bertgen_jax.training.steps import Totals

METRICS = "metrics.jsonl"
# Values that depend on the machine and the time of day. A resumed run logs the same
# numbers as an undisturbed one for all other values.
TIMINGS = (
    "examples_per_s",
    "tokens_per_s",
    "mfu",
    "data_wait",
    "eta_s",
    "trained_s",
)

_log = logging.getLogger(__name__)


class Lap(NamedTuple):
    """The time between two log lines.

    Attributes:
      seconds: without evaluations and saves.
      steps: the number of steps.
      wait_share: the share of `seconds` that the loop waited for batches.
    """

    seconds: float
    steps: int
    wait_share: float


class Clock:
    """Measures the time spent on training, without evaluations and saves.

    Args:
      elapsed_s: seconds of training in earlier processes of the run.
    """

    def __init__(self, elapsed_s: float = 0.0):
        self._earlier_s = elapsed_s
        self._start = time.monotonic()
        self._paused_s = 0.0
        self._pause_start: float | None = None
        self._waited_s = 0.0  # in this lap
        self._lap = (0.0, 0)  # seconds and step at the start of this lap

    @property
    def trained_s(self) -> float:
        """Seconds of training since the run began, over all its processes."""
        return self._earlier_s + self._own_s

    @property
    def _own_s(self) -> float:
        now = time.monotonic() if self._pause_start is None else self._pause_start
        return now - self._start - self._paused_s

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock while the block runs."""
        self._pause_start = start = time.monotonic()
        try:
            yield
        finally:
            self._pause_start = None
            self._paused_s += time.monotonic() - start

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time of the block as a wait for data.

        The devices are still computing a step meanwhile, so this is the most that they
        can have been idle for want of data.
        """
        start = time.monotonic()
        try:
            yield
        finally:
            self._waited_s += time.monotonic() - start

    def begin(self, step: int) -> None:
        """Starts the first lap after `step` steps."""
        self._lap, self._waited_s = (self._own_s, step), 0.0

    def lap(self, step: int) -> Lap:
        """Ends a lap after `step` steps and starts the next."""
        start_s, first = self._lap
        seconds = max(self._own_s - start_s, 1e-9)
        lap = Lap(seconds, step - first, self._waited_s / seconds)
        self.begin(step)
        return lap


def train_values(totals: Totals, learning_rate: jax.Array) -> dict[str, float]:
    """Returns means since the last log line, and the counts behind them.

    There are no means if every step was skipped (`bad_steps`).
    """
    totals = jax.device_get(totals)
    tokens, means = max(float(totals.sums.tokens), 1.0), {}
    if totals.steps:
        means = {
            "loss": float(totals.sums.loss) / tokens,
            "nll": float(totals.sums.nll) / tokens,
            "accuracy": 100 * float(totals.sums.correct) / tokens,
            "grad_norm": float(totals.grad_norm) / int(totals.steps),
        }
    return means | {
        "learning_rate": float(learning_rate),
        "steps": int(totals.steps),
        "examples": int(totals.examples),
        "source_tokens": float(totals.source_tokens),
        "target_tokens": float(totals.sums.tokens),
    }


def rates(
    clock: Clock,
    utilization: Utilization,
    step: int,
    last: int,
    values: Mapping[str, float],
) -> dict[str, float]:
    """Returns the speed since the last log line, and estimates the remaining time.

    Args:
      clock: the clock of the run, whose lap ends here.
      utilization: the operations of the steps of the lap.
      step: completed steps.
      last: the last step of the run.
      values: the result of `train_values`. After a resume it also counts steps of an
        earlier process, which this process has not timed.
    """
    lap = clock.lap(step)
    own_share = min(lap.steps / max(values["steps"], 1), 1.0)
    tokens = values["source_tokens"] + values["target_tokens"]
    return {
        "examples_per_s": own_share * values["examples"] / lap.seconds,
        "tokens_per_s": own_share * tokens / lap.seconds,
        **utilization.lap(lap.seconds),
        "data_wait": lap.wait_share,
        "eta_s": (last - step) * lap.seconds / max(lap.steps, 1),
        "trained_s": clock.trained_s,
    }


def train_line(step: int, last: int, values: Mapping[str, float]) -> str:
    """Formats values of training as a line for the terminal."""
    loss = f"loss {values['loss']:.3f}" if "loss" in values else "every step skipped"
    mfu = f"MFU {values['mfu']:.1%}  " if "mfu" in values else ""
    return (
        f"step {step:,}/{last:,}  {loss}  "
        f"lr {values['learning_rate']:.2e}  "
        f"{values['examples_per_s']:,.0f} examples/s  "
        f"{values['tokens_per_s']:,.0f} tokens/s  {mfu}"
        f"data wait {values['data_wait']:.1%}  "
        f"ETA {duration(values['eta_s'])}"
    )


def duration(seconds: float) -> str:
    """Formats seconds as "47s", "3:07" or "2:05:00"."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole:02}"
    return f"{minutes}:{whole:02}" if minutes else f"{whole}s"


class MetricsLog:
    """Writes values to metrics.jsonl and TensorBoard, on process 0 only.

    Args:
      workdir: holds metrics.jsonl and tensorboard/.
      tensorboard: whether to write TensorBoard events as well.
      step: the step that the run resumes from. Lines of later steps, which an earlier
        process logged but did not save, are dropped because these steps run again.
    """

    def __init__(self, workdir: pathlib.Path, *, tensorboard: bool, step: int):
        self._file = None
        self._events = None
        self._open_events = None
        if jax.process_index() != 0:
            return
        path = workdir / METRICS
        _drop_after(path, step)
        self._file = path.open("a", encoding="utf-8")
        if tensorboard:
            self._open_events = functools.partial(
                _open_events, workdir / "tensorboard", step + 1
            )

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Records values of a split after a step, such as {"loss": 2.1}."""
        if self._file is None:
            return
        line = json.dumps({"step": step, "split": split, **values})
        self._file.write(line + "\n")
        self._file.flush()
        if self._events is None and self._open_events is not None:
            self._events = self._open_events()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()


def _open_events(folder: pathlib.Path, purge_step: int | None) -> Any:
    # Imported after the first step, because it imports torch where there is one, which
    # takes a second.
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)


def _drop_after(path: pathlib.Path, step: int) -> None:
    """Drops lines of later steps, and a last line that a killed process cut short."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step_of(line) <= step]
    if len(kept) < len(lines):
        _log.info(
            "%s: dropped %d lines after step %d", path, len(lines) - len(kept), step
        )
        atomic.write_text(path, kept)


def _step_of(line: str) -> float:
    """Returns the step of a line; infinity, so that it is dropped, if it is broken."""
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf
