"""Compiles the training step for each batch shape, and chooses what it recomputes."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Any, Self

import jax

from bertgen_jax import processes, sharding
from bertgen_jax.data import loading
from bertgen_jax.data.batching import Bucket
from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment.run import Run
from bertgen_jax.models.losses import Batch
from bertgen_jax.training import memory
from bertgen_jax.training.steps import StepChecks, TrainState

_GLANCE_S = 0.5  # between two looks for a signal

_log = logging.getLogger(__name__)


class StepPrograms:
    """A training step, compiled once for each bucket, by a thread.

    The programs are compiled one after the other, in the same order on every process. A
    step waits for its program only. The first program decides the policy of
    rematerialization: the first policy whose program fits into a device.

    The thread sees the global settings of JAX, but no context manager of the thread
    that trains.

    Attributes:
      policy: a name in `rematerialization.POLICIES`.
    """

    def __init__(
        self,
        jit_step: Callable[[str], Any],
        state: Any,
        batch_of: Callable[[Bucket], Mapping[str, jax.ShapeDtypeStruct]],
        buckets: Sequence[Bucket],
        policies: Iterable[str],
        available: int,
        too_large: Callable[[str, int | None], ConfigError],
    ):
        """Compiles nothing yet.

        Args:
          jit_step: policy -> the jitted step.
          state: the shapes and shardings of the train state.
          batch_of: bucket -> the shapes and shardings of its batches.
          buckets: the buckets to compile for, in this order.
          policies: the policies to try, the preferred one first.
          available: bytes of a device.
          too_large: the last policy, and the bytes that it needs or None if the
            compiler did not say -> the error if a program fits with no policy.
        """
        self._jit_step, self._policies = jit_step, list(policies)
        self._state, self._batch_of = state, batch_of
        self._available, self._too_large = available, too_large
        self._programs = {bucket: futures.Future[Any]() for bucket in buckets}
        self._closed = False
        self._thread = threading.Thread(target=self._compile_all, name="step-programs")
        self._step = None
        self.policy = self._policies[0]

    def start(self) -> None:
        """Begins to compile."""
        self._thread.start()

    def wait(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Waits for the first program.

        Args:
          interrupted: whether to stop waiting.

        Raises:
          ConfigError: it fits with no policy.
          KeyboardInterrupt: `interrupted`.
        """
        for program in list(self._programs.values())[:1]:
            while futures.wait([program], _GLANCE_S).not_done:
                if interrupted():
                    raise KeyboardInterrupt
            program.result()

    def close(self, *, waits: bool = True) -> None:
        """Ends the thread.

        Args:
          waits: whether to wait for a compilation that has begun.
        """
        self._closed = True
        if waits and self._thread.is_alive():
            _log.info("waiting for a compilation that has begun")
            self._thread.join()

    def _compile_all(self) -> None:
        failure = None
        for bucket, future in list(self._programs.items()):
            if self._closed:
                return
            if failure is None:
                try:
                    future.set_result(self._first_that_fits(bucket))
                    continue
                except BaseException as error:  # of every step that needs a program
                    failure = error
            future.set_exception(failure)

    def _first_that_fits(self, bucket: Bucket) -> Any:
        """Compiles the step of a bucket with the first policy that fits.

        The first program decides the policy, and later ones use it.

        Raises:
          ConfigError: the program fits with no policy.
        """
        needed = None
        for policy in self._policies:
            if policy != self.policy or self._step is None:
                self.policy, self._step = policy, self._jit_step(policy)
            program = self._compile(bucket)
            if program is None:  # the compiler does not say how much is needed
                needed = None
                continue
            needed = memory.program_bytes(program) or 0
            if needed <= self._available:
                self._policies = [policy]
                return program
            _log.info("that does not fit into %s", memory.shown(self._available))
        raise self._too_large(self.policy, needed)

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
        """Returns the programs of a run; every process must call this.

        Args:
          run: the run.
          jit_step: policy -> the jitted step.
          state: the shapes and shardings of the train state.
          buckets: the shapes of batches, in the order in which steps need them. Unless
            the prediction leaves twice the memory, the largest one is compiled first,
            so that it decides the policy.
          parameters: the number of parameters of the model.

        Raises:
          ConfigError: a step cannot fit by far.
        """
        config, mesh = run.config, run.mesh
        by_rows = sharding.batch_sharding(mesh)
        largest = max(
            buckets,
            key=lambda bucket: bucket.source * bucket.target,
            default=Bucket(1, 1),  # a run that is complete
        )
        shapes = memory.Shapes.of_step(
            largest,
            mesh,
            batch_size=config.batch_size,
            micro_batches=config.micro_batches,
            dtype=config.model.dtype,
            ema=config.ema_decay > 0,
        )

        def predicted(policy: str, **changes: Any) -> int:
            changed = dataclasses.replace(shapes, **changes)
            return memory.predicted_bytes(run.model.config, parameters, changed, policy)

        # The same on all processes, so that all compile the same programs.
        available = min(processes.gather(memory.available_bytes()))
        policies = list(memory.policies(config.model.remat, predicted, available))
        ordered = list(buckets)
        if buckets and 2 * predicted(policies[0]) > available:
            ordered.remove(largest)
            ordered.insert(0, largest)

        def too_large(policy: str, needed: int | None) -> ConfigError:
            is_cpu = jax.default_backend() == "cpu"
            settings = memory.remedies(
                predicted,
                shapes,
                policy=policy,
                needed=needed,
                available=available,
                micro_batches=config.micro_batches,
                devices=mesh.size,
                is_unrolled=is_cpu and not config.model.scan_layers,
            )
            return memory.does_not_fit(needed, available, settings)

        last = policies[-1]
        if buckets and predicted(last) > memory.HOPELESS * available:
            raise too_large(last, predicted(last))  # in place of minutes of compiling

        return cls(
            jit_step,
            state,
            lambda bucket: loading.abstract_batch(bucket, config.batch_size, by_rows),
            ordered,
            policies,
            available,
            too_large,
        )

    def __call__(
        self, state: TrainState, batch: Batch
    ) -> tuple[TrainState, StepChecks]:
        """Makes one step; see `steps.train_step`."""
        bucket = Bucket(
            batch["input_ids"].shape[1], batch["decoder_input_ids"].shape[1]
        )
        if bucket not in self._programs:
            # The newest checkpoint is damaged, and steps before it are made again.
            self._thread.join()
            self._programs[bucket] = futures.Future()
            self._programs[bucket].set_result(self._first_that_fits(bucket))
        return self._programs[bucket].result()(state, batch)

    def _compile(self, bucket: Bucket) -> Any:
        _log.info("compiling a step for %d and %d tokens", bucket.source, bucket.target)
        started_s = time.monotonic()
        assert self._step is not None
        lowered = self._step.lower(self._state, self._batch_of(bucket))
        program = memory.compile_or_none(lowered)
        if program is None:
            _log.info(
                "a step for %d and %d tokens does not fit: model.remat=%s",
                bucket.source,
                bucket.target,
                self.policy,
            )
            return None
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
