"""Compiles the training step for each batch shape, and chooses what it recomputes."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp

from bertgen_jax import sharding
from bertgen_jax.data import loading
from bertgen_jax.data.batching import Bucket
from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment.run import Run
from bertgen_jax.models.losses import Batch
from bertgen_jax.training import memory
from bertgen_jax.training.steps import StepChecks, TrainState

_log = logging.getLogger(__name__)


class StepPrograms:
    """A training step, compiled once for each bucket.

    The program of the largest bucket decides the policy of rematerialization: the first
    one whose program fits into a device. The other programs are compiled on first use.

    Attributes:
      policy: a name in `rematerialization.POLICIES`.
    """

    def __init__(
        self,
        jit_step: Callable[[str], Any],
        state: Any,
        batch_of: Callable[[Bucket], Mapping[str, jax.ShapeDtypeStruct]],
        largest: Bucket,
        policies: Iterable[str],
        available: int,
        too_large: Callable[[int], ConfigError],
    ):
        """Compiles nothing yet.

        Args:
          jit_step: policy -> the jitted step.
          state: the shapes and shardings of the train state.
          batch_of: bucket -> the shapes and shardings of its batches.
          largest: the bucket that needs the most memory.
          policies: the policies to try, the preferred one first.
          available: bytes of a device.
          too_large: needed bytes -> the error if no policy fits.
        """
        self._jit_step, self._policies = jit_step, list(policies)
        self._state, self._batch_of, self._largest = state, batch_of, largest
        self._available, self._too_large = available, too_large
        self._programs: dict[Bucket, Any] = {}
        self.policy = self._policies[0]

    def prepare(self) -> None:
        """Compiles the program of the largest bucket, with the first policy that fits.

        Raises:
          ConfigError: no program fits.
        """
        needed = 0
        for policy in self._policies:
            self.policy, self._step = policy, self._jit_step(policy)
            try:
                program = self._compile(self._largest)
            except jax.errors.JaxRuntimeError as error:
                # A TPU's compiler refuses a program that does not fit.
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                needed = self._available + 1
                continue
            needed = memory.program_bytes(program) or 0
            if needed <= self._available:
                self._programs[self._largest] = program
                return
            _log.info("that does not fit into %s", memory.shown(self._available))
        raise self._too_large(needed)

    @classmethod
    def of_run(
        cls,
        run: Run,
        jit_step: Callable[[str], Any],
        state: Any,
        buckets: Sequence[Bucket],
        *,
        parameters: int,
    ) -> Self:
        """Returns the programs of a run; see `__init__`.

        Args:
          run: the run.
          jit_step: policy -> the jitted step.
          state: the shapes and shardings of the train state.
          buckets: the shapes of batches.
          parameters: the number of parameters of the model.
        """
        config, mesh = run.config, run.mesh
        by_rows = sharding.batch_sharding(mesh)
        largest = max(buckets, key=lambda bucket: bucket.source * bucket.target)
        shapes = memory.Shapes(
            rows=config.batch_size // config.micro_batches // mesh.size,
            source=largest.source,
            target=largest.target,
            itemsize=jnp.dtype(config.model.dtype).itemsize,
            slots=3 + (config.ema_decay > 0),
            split=mesh.shape["fsdp"],
            accumulates=config.micro_batches > 1,
        )

        def predicted(policy: str, **changes: Any) -> int:
            changed = dataclasses.replace(shapes, **changes)
            return memory.predicted_bytes(run.model.config, parameters, changed, policy)

        available = memory.available_bytes()

        def too_large(needed: int) -> ConfigError:
            remedies = {"--config.model.remat=full": predicted("full")}
            if shapes.rows % 2 == 0:
                remedies[f"--config.micro_batches={2 * config.micro_batches}"] = (
                    predicted("full", rows=shapes.rows // 2, accumulates=True)
                )
            if mesh.size > shapes.split:
                remedies[f"--config.mesh.fsdp={mesh.size}"] = predicted(
                    "full", split=mesh.size
                )
            return memory.does_not_fit(needed, available, remedies)

        return cls(
            jit_step,
            state,
            lambda bucket: loading.abstract_batch(bucket, config.batch_size, by_rows),
            largest,
            memory.policies(config.model.remat, predicted, available),
            available,
            too_large,
        )

    def __call__(
        self, state: TrainState, batch: Batch
    ) -> tuple[TrainState, StepChecks]:
        """Makes one step; see `steps.train_step`."""
        if not self._programs:
            self.prepare()
        bucket = Bucket(
            batch["input_ids"].shape[1], batch["decoder_input_ids"].shape[1]
        )
        if bucket not in self._programs:
            self._programs[bucket] = self._compile(bucket)
        return self._programs[bucket](state, batch)

    def _compile(self, bucket: Bucket) -> Any:
        started_s = time.monotonic()
        program = self._step.lower(self._state, self._batch_of(bucket)).compile()
        size = memory.program_bytes(program)
        _log.info(
            "compiled a step for %d and %d tokens in %.0f s: model.remat=%s%s",
            bucket.source,
            bucket.target,
            time.monotonic() - started_s,
            self.policy,
            "" if size is None else f", {memory.shown(size)} on each device",
        )
        return program
