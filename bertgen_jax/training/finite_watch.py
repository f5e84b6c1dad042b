"""Stops a run whose loss or gradient is no longer finite."""

import collections

import jax
import numpy as np

from bertgen_jax.data.examples import Examples, Subset
from bertgen_jax.errors import TrainingError
from bertgen_jax.training.steps import StepChecks
from bertgen_jax.watchdog import watching


class FiniteWatch:
    """Checks each step once the next one is dispatched, so that the loop never waits.

    The delay is safe, because a step that is not finite changes nothing
    (`steps.train_step`).

    Args:
      examples: the training examples; an error names the ids of those in the batch.
    """

    def __init__(self, examples: Examples | Subset):
        self._examples = examples
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
          TrainingError: the loss or gradient of the step before was not finite.
        """
        self._pending.append((step, checks, indices))
        while len(self._pending) > 1:
            self._check(*self._pending.popleft())

    def flush(self) -> None:
        """Checks every registered step; call it before logging, evaluating or saving.

        Raises:
          TrainingError: the loss or gradient of a step was not finite.
        """
        while self._pending:
            self._check(*self._pending.popleft())

    def _check(self, step: int, checks: StepChecks, indices: np.ndarray) -> None:
        with watching(f"step {step}"):
            if bool(jax.device_get(checks.finite)):
                return
        ids = [self._examples[int(index)].id for index in indices if index >= 0]
        raise TrainingError(
            f"step {step}: the loss or its gradient is not finite (loss "
            f"{float(jax.device_get(checks.loss))}). The parameters are unchanged, and "
            "the last checkpoint is intact. The batch held the examples "
            f"{', '.join(ids)}. Usual causes: a learning rate that is too high, "
            "optim.clip_norm off, bfloat16 on hardware that lacks it."
        )
