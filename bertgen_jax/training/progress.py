"""Tracks the progress of a run, and decides when a periodic action is due."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

from bertgen_jax.errors import CheckpointError
from bertgen_jax.experiment import checks


def due(step: int, every: int, last: int) -> bool:
    """Decides whether a periodic action happens after step `step`.

        every 4, last 10:   after steps 4, 8 and 10
        every 0, last 10:   after step 10

    Args:
      step: completed steps, from 1.
      every: period in steps; 0 for none.
      last: the last step of the run, after which every action happens once more.
    """
    return step == last or (every > 0 and step % every == 0)


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a run; stored in every checkpoint beside the train state.

    Attributes:
      data: fingerprint of the batches; a resumed run must draw the same ones.
      elapsed_s: seconds of training.
      best: best value of `eval.metric` so far.
      best_step: the step with the best value.
      stale_evaluations: number of evaluations since `best_step`.
    """

    data: str
    elapsed_s: float = 0.0
    best: float | None = None
    best_step: int = 0
    stale_evaluations: int = 0

    @classmethod
    def restored(cls, extra: Mapping[str, Any], data: str) -> Self:
        """Returns the progress stored in a checkpoint.

        Args:
          extra: the fields, as the checkpoint holds them.
          data: fingerprint of the batches that this process would draw.

        Raises:
          CheckpointError: the run would continue with other batches.
        """
        progress = cls(**extra)
        if progress.data != data:
            raise CheckpointError(
                "the training data, its tokenizer or its batches differ from those "
                "that this work directory was trained with (fingerprint "
                f"{data}, expected {progress.data}). Restore the files, or choose "
                "another --workdir."
            )
        return progress

    def after(self, metrics: Mapping[str, float], metric: str, step: int) -> Self:
        """Returns the progress after an evaluation."""
        value = metrics[metric]
        sign = 1 if checks.best_mode(metric) == "max" else -1
        is_best = self.best is None or sign * value > sign * self.best
        if math.isfinite(value) and is_best:
            return dataclasses.replace(
                self, best=value, best_step=step, stale_evaluations=0
            )
        return dataclasses.replace(self, stale_evaluations=self.stale_evaluations + 1)

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` evaluations brought no new best value."""
        return 0 < patience <= self.stale_evaluations

    def line(self, step: int, metrics: Mapping[str, float], metric: str) -> str:
        """Returns one line about an evaluation for the terminal."""
        values = "  ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        best = "no best yet" if self.best is None else f"best {self.best:.2f}"
        best = "new best" if self.best_step == step else best
        return f"step {step:,}  validation  {values}  ({metric}: {best})"
