"""`Progress`: what a run remembers beside its state, from checkpoint to checkpoint."""

import dataclasses
import math
from typing import Any, Self

from bertgen_jax.errors import CheckpointError
from bertgen_jax.experiment import checks


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a run remembers beside its state; part of every checkpoint.

    Attributes:
      data: fingerprint of the batches; a resumed run must draw the same ones.
      elapsed_s: seconds of training.
      best: best value of `eval.metric` so far.
      best_step: after which step it was measured.
      stale_evaluations: evaluations since.
    """

    data: str
    elapsed_s: float = 0.0
    best: float | None = None
    best_step: int = 0
    stale_evaluations: int = 0

    @classmethod
    def resumed(cls, extra: dict[str, Any], data: str) -> Self:
        """That of a checkpoint.

        Raises:
          CheckpointError: the run would go on with other batches.
        """
        progress = cls(**extra)
        if progress.data != data:
            raise CheckpointError(
                "the training data, its tokenizer or its batches are not those that "
                "this work directory was trained with (fingerprint "
                f"{data}, expected {progress.data}). Restore the files, or begin in "
                "another --workdir."
            )
        return progress

    def after(self, metrics: dict[str, float], metric: str, step: int) -> Self:
        """The progress after an evaluation."""
        value = metrics[metric]
        sign = 1 if checks.best_mode(metric) == "max" else -1
        is_first = self.best is None
        if math.isfinite(value) and (is_first or sign * value > sign * self.best):
            return dataclasses.replace(
                self, best=value, best_step=step, stale_evaluations=0
            )
        return dataclasses.replace(self, stale_evaluations=self.stale_evaluations + 1)

    def exhausted(self, patience: int) -> bool:
        """Whether the run has waited for a new best long enough."""
        return 0 < patience <= self.stale_evaluations

    def line(self, step: int, metrics: dict[str, float], metric: str) -> str:
        """One line for the log."""
        shown = "  ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        best = "no best yet" if self.best is None else f"best {self.best:.2f}"
        best = "new best" if self.best_step == step else best
        return f"step {step:,}  validation  {shown}  ({metric}: {best})"
