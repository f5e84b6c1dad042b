"""A config and a model in, the jitted functions of the loop out."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Self

import jax
import numpy as np
from ml_collections import ConfigDict

from bertgen_jax import sharding
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.losses import Batch, teacher_forced_logits
from bertgen_jax.training import optimizers, schedules, steps
from bertgen_jax.training.state import Totals, TrainState


@dataclasses.dataclass(frozen=True)
class CompiledSteps:
    """The jitted functions of a run, with every array's place decided.

    Attributes:
      step: (state, batch) -> (state, checks); the state is donated.
      drain: state -> (state, totals); the state is donated.
      initial_state: params -> state.
      abstract_state: shapes, dtypes and shardings of the state.
      schedule: the learning rate after so many completed steps.
    """

    step: Callable[[TrainState, Batch], tuple[TrainState, steps.StepChecks]]
    drain: Callable[[TrainState], tuple[TrainState, Totals]]
    initial_state: Callable[[Any], TrainState]
    abstract_state: TrainState
    schedule: schedules.Schedule

    @classmethod
    def create(
        cls, config: ConfigDict, model: EncoderDecoder, mesh: jax.sharding.Mesh
    ) -> Self:
        """Reads the config and decides where arrays live; nothing is computed yet.

        Raises:
          ConfigError: a field of `optim` that cannot be meant.
        """
        schedule = schedules.create(
            config.optim.schedule,
            rate=config.optim.learning_rate,
            warmup_steps=config.optim.warmup_steps,
            total_steps=config.total_steps,
            hidden_size=model.config.decoder.hidden_size,
        )
        ids = np.zeros((1, 2), np.int32)
        shapes = jax.eval_shape(
            lambda: model.init(jax.random.key(0), ids, None, ids)["params"]
        )
        optimizer = optimizers.create(config.optim, schedule, shapes)

        def create_state(params):
            return TrainState.create(params, optimizer, ema=config.ema_decay > 0)

        abstract = jax.eval_shape(create_state, shapes)
        shardings = sharding.state_shardings(abstract, mesh)
        abstract = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=place
            ),
            abstract,
            shardings,
        )
        whole = sharding.replicated(mesh)
        step = functools.partial(
            steps.train_step,
            forward=functools.partial(teacher_forced_logits, model),
            optimizer=optimizer,
            settings=steps.StepSettings(
                seed=config.seed,
                label_smoothing=config.label_smoothing,
                micro_batches=config.micro_batches,
                ema_decay=config.ema_decay,
            ),
        )
        return cls(
            step=jax.jit(
                step,
                in_shardings=(shardings, sharding.batch_sharding(mesh)),
                out_shardings=(shardings, whole),
                donate_argnums=0,
            ),
            drain=jax.jit(
                steps.drain,
                in_shardings=(shardings,),
                out_shardings=(shardings, whole),
                donate_argnums=0,
            ),
            initial_state=jax.jit(create_state, out_shardings=shardings),
            abstract_state=abstract,
            schedule=schedule,
        )
