"""The pure steps: (state, batch) in, (state, checks) out; compiled once a bucket."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct

from bertgen_jax import rng
from bertgen_jax.models import losses
from bertgen_jax.models.losses import Batch, Sums
from bertgen_jax.training.state import Totals, TrainState

# params, batch, dropout key or None -> logits f32[B, T, V]
Forward = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step needs to know of the config.

    Attributes:
      seed: of the run; dropout keys derive from it and the step.
      label_smoothing: see `losses.cross_entropy`.
      micro_batches: parts of the batch that are run one after the other to save memory.
        Their sums are added and divided once: the result is that of the whole batch.
      ema_decay: of the moving average of the parameters; 0 keeps none.
    """

    seed: int
    label_smoothing: float = 0.0
    micro_batches: int = 1
    ema_decay: float = 0.0


@struct.dataclass
class StepChecks:
    """What the loop looks at after each step.

    Attributes:
      finite: bool[], loss and gradients are finite. If not, the step changed nothing.
      loss: f32[], mean loss of a target token of this batch.
    """

    finite: jax.Array
    loss: jax.Array


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    forward: Forward,
    optimizer: optax.GradientTransformation,
    settings: StepSettings,
) -> tuple[TrainState, StepChecks]:
    """One update from one global batch.

    The objective is the sum of the token losses over the sum of the weights of the
    whole batch, whatever the number of devices and micro-batches (paper, section 2,
    does not say; the masked token mean of its lineage).
    """

    def loss_of(params, micro_batch, number):
        key = rng.key(settings.seed, "dropout", state.step, number)
        logits = forward(params, micro_batch, key)
        sums = losses.cross_entropy(
            logits,
            micro_batch["labels"],
            micro_batch["label_weights"],
            settings.label_smoothing,
        )
        return sums.loss, sums

    grad_of = jax.grad(loss_of, has_aux=True)
    if settings.micro_batches == 1:
        grads, sums = grad_of(state.params, batch, 0)
    else:
        grads, sums = _accumulate(grad_of, state.params, batch, settings.micro_batches)
    tokens = jnp.maximum(sums.tokens, 1.0)  # a batch without labels has no gradient
    grads = jax.tree.map(lambda grad: grad / tokens, grads)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(sums.loss) & jnp.isfinite(grad_norm)

    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_params is not None:
        decay = settings.ema_decay
        ema_params = jax.tree.map(
            lambda ema, new: decay * ema + (1.0 - decay) * new, ema_params, params
        )
    new = TrainState(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        ema_params=ema_params,
        totals=_add(state.totals, batch, sums, grad_norm),
    )
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
    return kept, StepChecks(finite=finite, loss=sums.loss / tokens)


def drain(state: TrainState) -> tuple[TrainState, Totals]:
    """Takes the totals out of a state and leaves zeros."""
    return state.replace(totals=Totals.zeros()), state.totals


def _accumulate(grad_of, params, batch, micro_batches):
    """Sums gradients and loss sums over micro-batches, one at a time."""
    # Row b goes to micro-batch b % n: each device finds its share of every micro-batch
    # among the rows that it already has.
    parts = jax.tree.map(
        lambda rows: jnp.swapaxes(
            rows.reshape(-1, micro_batches, *rows.shape[1:]), 0, 1
        ),
        dict(batch),
    )

    def add(carry, part):
        number, grads, sums = carry
        more_grads, more_sums = grad_of(params, part, number)
        grads = jax.tree.map(jnp.add, grads, more_grads)
        return (number + 1, grads, sums + more_sums), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    start = (jnp.zeros((), jnp.int32), zeros, Sums.zeros())
    (_, grads, sums), _ = jax.lax.scan(add, start, parts)
    return grads, sums


def _add(totals: Totals, batch: Batch, sums: Sums, grad_norm: jax.Array) -> Totals:
    mask = batch["attention_mask"]
    return Totals(
        sums=totals.sums + sums,
        grad_norm=totals.grad_norm + grad_norm,
        steps=totals.steps + 1,
        examples=totals.examples + jnp.sum(jnp.any(mask, axis=1), dtype=jnp.int32),
        source_tokens=totals.source_tokens + jnp.sum(mask, dtype=jnp.float32),
    )
