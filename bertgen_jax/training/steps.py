"""The training step, a pure function, and the state that it updates."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Self, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from bertgen_jax import rng, sharding
from bertgen_jax.models.losses import Batch, Sums
from bertgen_jax.trees import Params, PyTree

# params, batch, dropout key -> sums of losses over the batch
Loss = Callable[[Params, Batch, jax.Array], Sums]


@struct.dataclass
class Totals:
    """Sums over the steps since the last log line.

    They are part of the state, and so of each checkpoint: a run that is killed between
    two log lines and resumed logs the same means as an undisturbed one.

    Attributes:
      sums: loss sums.
      grad_norm: f32[], sum of the global gradient norms before clipping.
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
    def zeros(cls) -> Self:
        """Returns the totals of no step."""
        return cls(
            sums=Sums.zeros(),
            grad_norm=jnp.zeros((), jnp.float32),
            steps=jnp.zeros((), jnp.int32),
            examples=jnp.zeros((), jnp.int32),
            source_tokens=jnp.zeros((), jnp.float32),
        )

    def add(self, batch: Batch, sums: Sums, grad_norm: jax.Array) -> "Totals":
        """Returns the totals with one more step."""
        mask = batch["attention_mask"]
        return Totals(
            sums=self.sums + sums,
            grad_norm=self.grad_norm + grad_norm,
            steps=self.steps + 1,
            examples=self.examples + jnp.sum(jnp.any(mask, axis=1), dtype=jnp.int32),
            source_tokens=self.source_tokens + jnp.sum(mask, dtype=jnp.float32),
        )


@struct.dataclass
class TrainState:
    """The arrays of a run that live on the devices; a step returns the next state.

    Attributes:
      step: i32[], completed steps; also part of the seed of the next step's dropout.
      params: f32 parameters, with stacked layers or not (`stacked_layers`).
      opt_state: the optimizer's state.
      ema_params: exponential moving average of the parameters, or None.
      totals: sums since the last log line.
      recent: f32[2, W], loss and gradient norm of the last W good steps, the newest
        last, and NaN before them; None if spikes are not looked for.
    """

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    ema_params: Params | None
    totals: Totals
    recent: jax.Array | None = None

    @classmethod
    def create(
        cls,
        params: Params,
        optimizer: optax.GradientTransformation,
        *,
        ema: bool,
        window: int = 0,
    ) -> Self:
        """Returns the state before the first step.

        Args:
          params: the first parameters.
          optimizer: the optimizer.
          ema: whether the state has a moving average of the parameters.
          window: the number of steps whose losses are kept, W; 0 for none.
        """
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            # A copy, because both buffers are donated to the step.
            ema_params=jax.tree.map(jnp.copy, params) if ema else None,
            totals=Totals.zeros(),
            recent=jnp.full((2, window), jnp.nan) if window else None,
        )

    @property
    def eval_params(self) -> Params:
        """The parameters to evaluate: the average, if any; stacked as `params`."""
        return self.params if self.ema_params is None else self.ema_params


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """Constants of the training step.

    Attributes:
      seed: seed of the run; dropout keys derive from it and the step.
      micro_batches: number of parts of the batch that run one after the other to save
        memory. Their sums are added and divided once, so the update equals that of the
        whole batch.
      ema_decay: decay of the moving average of the parameters; 0 for no average.
      spike_factor: a step whose loss or gradient norm is above this multiple of the
        median of `TrainState.recent` is bad; unused without `recent`.
      counts_bad_steps: whether a bad step adds one to `TrainState.step`, so that the
        next step has the next batch.
    """

    seed: int
    micro_batches: int = 1
    ema_decay: float = 0.0
    spike_factor: float = 0.0
    counts_bad_steps: bool = False


@struct.dataclass
class StepChecks:
    """Values that the loop checks after each step.

    Attributes:
      good: bool[], loss and gradient are finite and no spike. If not, the step changed
        nothing but, perhaps, the number of steps.
      finite: bool[], loss and gradients are finite.
      loss: f32[], mean loss per target token of this batch.
      grad_norm: f32[], global norm of the gradient before clipping.
      excess: f32[2], loss and gradient norm, each divided by its running median; NaN
        until there are enough steps for a median.
    """

    good: jax.Array
    finite: jax.Array
    loss: jax.Array
    grad_norm: jax.Array
    excess: jax.Array


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    loss: Loss,
    optimizer: optax.GradientTransformationExtraArgs,
    settings: StepSettings,
) -> tuple[TrainState, StepChecks]:
    """Makes one update from one global batch.

    The objective is the sum of the token losses divided by the sum of their weights in
    the whole batch, for any number of devices and micro-batches. The paper (section 2)
    does not state its objective; this is the mean over target tokens that the code it
    builds on computes.

    In a bad step, the optimizer's own `update` leaves its state alone (see
    `optimizers.create_optimizer`); this function leaves the rest alone.

    Args:
      state: the state before the step.
      batch: the global batch; see `data.loading.abstract_batch`.
      loss: params, batch, dropout key -> sums.
      optimizer: its `update` takes `good`, or has no state.
      settings: constants of the step.

    Returns:
      The next state, and what the loop checks.
    """

    # A batch without labels has no gradient.
    tokens = jnp.maximum(jnp.sum(batch["label_weights"]), 1.0)

    def loss_of(
        params: Params, micro_batch: Batch, number: int | jax.Array
    ) -> tuple[jax.Array, Sums]:
        key = rng.key(settings.seed, "dropout", state.step, number)
        sums = loss(params, micro_batch, key)
        # Divided here, because a division of all gradients is one more pass over them.
        return sums.loss / tokens, sums

    grad_of = jax.grad(loss_of, has_aux=True)
    if settings.micro_batches == 1:
        grads, sums = grad_of(state.params, batch, 0)
    else:
        grads, sums = _accumulate(grad_of, state.params, batch, settings.micro_batches)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(sums.loss) & jnp.isfinite(grad_norm)

    good, excess, recent = finite, jnp.full(2, jnp.nan), state.recent
    if recent is not None:
        latest = jnp.stack([sums.loss / tokens, grad_norm])
        # The median is NaN until there are W steps, and no step is bad then.
        excess = latest / jnp.median(recent, axis=1)
        good &= ~(jnp.max(excess) > settings.spike_factor)
        recent = jnp.concatenate([recent[:, 1:], latest[:, None]], axis=1)

    updates, opt_state = optimizer.update(
        grads, state.opt_state, state.params, good=good
    )
    params = cast(Params, optax.apply_updates(state.params, updates))
    ema_params = state.ema_params
    if ema_params is not None:
        decay = settings.ema_decay
        ema_params = jax.tree.map(
            lambda ema, new: decay * ema + (1.0 - decay) * new, ema_params, params
        )

    def if_good(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), new, old)

    step = state.step + 1
    kept = TrainState(
        step=step if settings.counts_bad_steps else if_good(step, state.step),
        params=if_good(params, state.params),
        opt_state=opt_state,
        ema_params=if_good(ema_params, state.ema_params),
        totals=if_good(state.totals.add(batch, sums, grad_norm), state.totals),
        recent=if_good(recent, state.recent),
    )
    return kept, StepChecks(
        good=good,
        finite=finite,
        loss=sums.loss / tokens,
        grad_norm=grad_norm,
        excess=excess,
    )


def abstract_state(
    create_state: Callable[[Params], TrainState], params: PyTree, mesh: Mesh
) -> TrainState:
    """Returns the shapes of a train state, each with its sharding on a mesh.

    Args:
      create_state: parameters -> the state before the first step.
      params: the parameters, or a tree of their shapes.
      mesh: the devices.
    """
    shapes = jax.eval_shape(create_state, params)
    shardings = sharding.state_shardings(shapes, mesh)
    if shapes.recent is not None:  # whole, because every process reads it to save it
        shardings = dataclasses.replace(shardings, recent=sharding.replicated(mesh))
    return sharding.with_shardings(shapes, shardings)


def jit_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformationExtraArgs,
    settings: StepSettings,
    state: TrainState,
    mesh: Mesh,
) -> jax.stages.Wrapped:
    """Returns `train_step` of (state, batch) for the devices of a mesh.

    The state is donated: its arrays become those of the next one.

    Args:
      loss, optimizer, settings: see `train_step`.
      state: see `abstract_state`.
      mesh: the devices, over which the rows of a batch are split.
    """
    state_shardings = sharding.shardings(state)
    return jax.jit(
        functools.partial(
            train_step, loss=loss, optimizer=optimizer, settings=settings
        ),
        in_shardings=(state_shardings, sharding.batch_sharding(mesh)),
        out_shardings=(state_shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def flush_totals(state: TrainState) -> tuple[TrainState, Totals]:
    """Takes the totals out of a state and leaves zeros in their place."""
    return dataclasses.replace(state, totals=Totals.zeros()), state.totals


def _accumulate(
    grad_of: Callable[[Params, Batch, jax.Array], tuple[Params, Sums]],
    params: Params,
    batch: Batch,
    micro_batches: int,
) -> tuple[Params, Sums]:
    """Sums gradients and loss sums over micro-batches, one at a time."""
    # Row b goes to micro-batch b % n, so that each device has its share of the rows of
    # every micro-batch already. [B, ...] -> [n, B/n, ...]
    parts = jax.tree.map(
        lambda rows: jnp.swapaxes(
            rows.reshape(-1, micro_batches, *rows.shape[1:]), 0, 1
        ),
        dict(batch),
    )

    def add(carry: tuple[Any, ...], part: Batch) -> tuple[tuple[Any, ...], None]:
        number, grads, sums = carry
        more_grads, more_sums = grad_of(params, part, number)
        grads = jax.tree.map(jnp.add, grads, more_grads)
        return (number + 1, grads, sums + more_sums), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    start = (jnp.zeros((), jnp.int32), zeros, Sums.zeros())
    (_, grads, sums), _ = jax.lax.scan(add, start, parts)
    return grads, sums
