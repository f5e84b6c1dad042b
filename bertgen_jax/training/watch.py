"""Checks of the last steps in, a `TrainingError` out where one was not finite."""

import collections

import jax
import numpy as np

from bertgen_jax.data.examples import Examples
from bertgen_jax.errors import TrainingError
from bertgen_jax.training.steps import StepChecks


class FiniteWatch:
    """Stops the run at a loss that is not finite, one step late and so without waiting.

    The step itself has changed nothing then (`steps.train_step`).
    """

    def __init__(self, texts: Examples):
        self._texts = texts
        self._pending = collections.deque()

    def add(self, step: int, checks: StepChecks, indices: np.ndarray) -> None:
        """Takes note of a dispatched step, and looks at the one before it."""
        self._pending.append((step, checks, indices))
        while len(self._pending) > 1:
            self._look(*self._pending.popleft())

    def settle(self) -> None:
        """Looks at every step so far: before anything is logged, measured or saved."""
        while self._pending:
            self._look(*self._pending.popleft())

    def _look(self, step: int, checks: StepChecks, indices: np.ndarray) -> None:
        if bool(jax.device_get(checks.finite)):
            return
        ids = [self._texts[int(i)].id for i in indices if i >= 0]
        raise TrainingError(
            f"step {step}: the loss or its gradient is not finite (loss "
            f"{float(jax.device_get(checks.loss))}). The parameters are untouched and "
            "the last checkpoint stands. The batch held the examples "
            f"{', '.join(ids)}. Usual causes: a learning rate too high, "
            "optim.clip_norm off, bfloat16 on hardware without it."
        )
