"""Numbers of a run in, metrics.jsonl and TensorBoard events out.

metrics.jsonl is the record, one object a line; TensorBoard is a view of it.
"""

import json
import logging
import math
import pathlib
from collections.abc import Mapping

import jax
from tensorboardX import SummaryWriter

from bertgen_jax.files import atomic

_log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


class Writer:
    """Writes what is measured, on process 0 only.

    Args:
      workdir: holds metrics.jsonl and tensorboard/.
      tensorboard: whether to write event files too.
      step: the step that the run goes on from. What an earlier process wrote of later
        steps, which it did not live to save, is dropped: those steps will be run again.
    """

    def __init__(self, workdir: pathlib.Path, *, tensorboard: bool, step: int):
        self._file = None
        self._events = None
        if jax.process_index() != 0:
            return
        path = workdir / METRICS
        _drop_after(path, step)
        self._file = path.open("a", encoding="utf-8")
        if tensorboard:
            self._events = SummaryWriter(
                str(workdir / "tensorboard"), purge_step=step + 1 if step else None
            )

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Records values, such as {"loss": 2.1}, of a split after a step."""
        if self._file is None:
            return
        line = json.dumps({"step": step, "split": split, **values})
        self._file.write(line + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()


def _drop_after(path: pathlib.Path, step: int) -> None:
    """Removes lines of later steps, and a last line that a killed process cut short."""
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
    """The step of a line; infinite if it cannot be read, so that it is dropped."""
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf
