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
      skipped: number of bad steps that changed nothing.
      skipped_in_a_row: number of them since the last good step.
      left_out_batches: number of batches that were left out by going back. Step n draws
        batch n + `left_out_batches`, both counted from 1.
      rewinds: number of returns to the checkpoint of `scheduled_step`.
      scheduled_step: the newest checkpoint that was not saved because of a signal. A
        run goes back to this one, so that the moment of a signal changes nothing.
      recent: `TrainState.recent`: losses and gradient norms, the newest last.
      environment: see `environment.describe`; None in checkpoints of earlier versions.
    """

    data: str
    elapsed_s: float = 0.0
    best: float | None = None
    best_step: int = 0
    stale_evaluations: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    left_out_batches: int = 0
    rewinds: int = 0
    scheduled_step: int = 0
    recent: list[list[float]] | None = None
    environment: dict[str, Any] | None = None

    @classmethod
    def restored(cls, extra: Mapping[str, Any], data: str) -> Self:
        """Returns the progress stored in a checkpoint.

        Args:
          extra: the fields, as the checkpoint holds them.
          data: fingerprint of the batches that this process would draw.

        Raises:
          CheckpointError: the run would continue with other batches, or the checkpoint
            is of a later version.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(extra.keys() - fields):
            raise CheckpointError(
                "the checkpoint was saved by a later version of bertgen_jax: its "
                f"progress has {', '.join(unknown)}. Expected only "
                f"{', '.join(sorted(fields))}. Update bertgen_jax to resume this run."
            )
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

    def gone_back(self, earlier: Self, bad_step: int) -> Self:
        """Returns the progress after going back because of a bad step.

        Args:
          earlier: the progress in the checkpoint of `scheduled_step`.
          bad_step: the step whose batch is the last that is left out.
        """
        return dataclasses.replace(
            earlier,
            left_out_batches=self.left_out_batches + bad_step - self.scheduled_step,
            rewinds=self.rewinds + 1,
            scheduled_step=self.scheduled_step,
            environment=self.environment,
        )

    def scheduled(self, step: int) -> Self:
        """Returns the progress in a checkpoint that no signal caused."""
        return dataclasses.replace(self, scheduled_step=step, rewinds=0)

    def left_out(self) -> dict[str, float]:
        """Returns the numbers of skipped steps and of batches that were left out."""
        counts = {
            "skipped_steps": self.skipped,
            "left_out_batches": self.left_out_batches,
        }
        return {name: count for name, count in counts.items() if count}

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` evaluations brought no new best value."""
        return 0 < patience <= self.stale_evaluations

    def line(self, step: int, metrics: Mapping[str, float], metric: str) -> str:
        """Returns one line about an evaluation for the terminal."""
        values = "  ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        best = "no best yet" if self.best is None else f"best {self.best:.2f}"
        best = "new best" if self.best_step == step else best
        return f"step {step:,}  validation  {values}  ({metric}: {best})"
