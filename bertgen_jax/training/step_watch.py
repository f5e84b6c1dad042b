"""Decides what happens after a step that is not finite, or whose loss spikes."""

import collections
import dataclasses
import logging

import jax
import numpy as np

from bertgen_jax.data.examples import Examples, Subset
from bertgen_jax.errors import TrainingError
from bertgen_jax.training.progress import Progress
from bertgen_jax.training.steps import StepChecks
from bertgen_jax.watchdog import watching

_MORE = "A higher bad_steps.limit lets the run go on for longer."

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BadSteps:
    """What happens after a bad step: the config's `bad_steps`.

    A step is bad if its loss or gradient is not finite, or spikes. It changes nothing;
    see `steps.train_step`, which decides it.

    Attributes:
      action: "stop": raise an error. "skip": go on with the next step. "rewind": go
        back to the last checkpoint and leave out the batches up to the bad one.
      spike_factor: a spike is a loss or a gradient norm above this multiple of its
        running median; 0 for no such check.
      window: the number of good steps whose median is taken.
      limit: most steps to skip in a row, and most returns to one checkpoint.
    """

    action: str
    spike_factor: float
    window: int
    limit: int

    @property
    def skips(self) -> bool:
        """Whether the run goes on after a bad step."""
        return self.action == "skip"

    @property
    def goes_back(self) -> bool:
        """Whether the run goes back to a checkpoint after a bad step."""
        return self.action == "rewind"


class StepWatch:
    """Checks each step once the next one is dispatched, so that the loop never waits.

    The delay is safe, because a bad step changes nothing (`steps.train_step`).

    Args:
      examples: the training examples; messages name the ids of those in the batch.
      settings: what happens after a bad step.
      progress: what happened before.

    Attributes:
      skipped: steps of the run that were skipped.
      skipped_in_a_row: steps that were skipped since the last good one.
      bad_step: the step because of which the run must go back; None if there is none.
    """

    def __init__(
        self, examples: Examples | Subset, settings: BadSteps, progress: Progress
    ):
        self._examples, self._settings = examples, settings
        self._rewinds = progress.rewinds
        self.skipped = progress.skipped
        self.skipped_in_a_row = progress.skipped_in_a_row
        self.bad_step: int | None = None
        self._pending: collections.deque[tuple[int, StepChecks, np.ndarray]] = (
            collections.deque()
        )

    def add(self, step: int, checks: StepChecks, indices: np.ndarray) -> None:
        """Registers a dispatched step, and checks the one before it.

        Args:
          step: the number of the dispatched step.
          checks: the checks that `train_step` returned.
          indices: i64[B], the example in each row of the batch; -1 for none.

        Raises:
          TrainingError: the step before was bad, and the run must stop.
        """
        self._pending.append((step, checks, indices))
        while len(self._pending) > 1:
            self._check(*self._pending.popleft())

    def flush(self) -> None:
        """Checks every registered step; call it before logging, evaluating or saving.

        Raises:
          TrainingError: a step was bad, and the run must stop.
        """
        while self._pending:
            self._check(*self._pending.popleft())

    def _check(self, step: int, checks: StepChecks, indices: np.ndarray) -> None:
        with watching(f"step {step}"):
            checks = jax.device_get(checks)
        if self.bad_step is not None:
            return  # a later step, which will be made again
        if checks.good:
            self.skipped_in_a_row = 0
            return
        if checks.finite:
            loss, norm = checks.excess
            what = (
                f"a spike: the loss is {checks.loss:.4g}, {loss:.3g} times the median "
                f"of {self._settings.window} steps, and the gradient norm "
                f"{checks.grad_norm:.4g}, {norm:.3g} times its median"
            )
        else:
            what = f"the loss or its gradient is not finite (loss {checks.loss})"
        ids = [self._examples[int(index)].id for index in indices if index >= 0]
        problem = f"step {step}: {what}. The batch held the examples {', '.join(ids)}."
        limit = self._settings.limit
        if self._settings.skips:
            self.skipped += 1
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row > limit:
                raise _stopped(
                    f"{problem} {limit} steps before it were skipped as well.", _MORE
                )
            _log.warning("%s The step is skipped: it changes nothing.", problem)
        elif self._settings.goes_back:
            if self._rewinds >= limit:
                raise _stopped(
                    f"{problem} The run has gone back {limit} times already.", _MORE
                )
            self.bad_step = step
            _log.warning("%s", problem)
        else:
            raise _stopped(
                problem,
                "With bad_steps.action 'skip' or 'rewind', the run goes on without "
                "such batches.",
            )


def _stopped(problem: str, advice: str) -> TrainingError:
    return TrainingError(
        f"{problem} The parameters are unchanged, and everything saved before is "
        "intact. Usual causes: a learning rate that is too high, optim.clip_norm off, "
        f"bfloat16 on hardware that lacks it. {advice}"
    )
