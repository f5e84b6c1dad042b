"""`TrainState`: everything of a run that lives on the devices."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from bertgen_jax.models.losses import Sums


@struct.dataclass
class Totals:
    """What the steps since the last log line add up to.

    It is part of the state, and so of the checkpoint: a run that is killed between two
    log lines and resumed logs the same means as one that never stopped.

    Attributes:
      sums: loss sums.
      grad_norm: f32[], sum of the global gradient norms, before clipping.
      steps: i32[].
      examples: i32[], batch rows that held an example.
      source_tokens: f32[], source positions that are not padding.
    """

    sums: Sums
    grad_norm: jax.Array
    steps: jax.Array
    examples: jax.Array
    source_tokens: jax.Array

    @classmethod
    def zeros(cls) -> "Totals":
        """The totals of no step."""
        return cls(
            sums=Sums.zeros(),
            grad_norm=jnp.zeros((), jnp.float32),
            steps=jnp.zeros((), jnp.int32),
            examples=jnp.zeros((), jnp.int32),
            source_tokens=jnp.zeros((), jnp.float32),
        )


@struct.dataclass
class TrainState:
    """The state that a step takes and returns.

    Attributes:
      step: i32[], completed steps; also the number of the next batch and the seed of
        the next step's dropout.
      params: f32 parameters.
      opt_state: the optimizer's.
      ema_params: exponential moving average of the parameters, or None.
      totals: since the last log line.
    """

    step: jax.Array
    params: Any
    opt_state: optax.OptState
    ema_params: Any
    totals: Totals

    @classmethod
    def create(
        cls, params: Any, optimizer: optax.GradientTransformation, *, ema: bool
    ) -> "TrainState":
        """The state before the first step."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            # A copy: the two are donated to the step side by side.
            ema_params=jax.tree.map(jnp.copy, params) if ema else None,
            totals=Totals.zeros(),
        )

    @property
    def eval_params(self) -> Any:
        """The parameters to evaluate and to export: the average, where there is one."""
        return self.params if self.ema_params is None else self.ema_params
