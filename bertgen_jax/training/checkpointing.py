"""Saves the state and the progress of a run together, and restores them."""

import dataclasses
from collections.abc import Collection, Mapping

import jax
import numpy as np

from bertgen_jax import sharding, stacked_layers, trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.training.progress import Progress
from bertgen_jax.training.steps import TrainState
from bertgen_jax.watchdog import watching


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    """The checkpoints of a run.

    On disk each layer has its own arrays, even if the train state stacks them. The
    arrays do not depend on `bad_steps`, which may change when a run resumes: the losses
    of recent steps are stored with the progress.

    Attributes:
      store: the saved steps.
      shapes: shapes and shardings of the train state.
      mesh: the devices.
      data: fingerprint of the batches.
    """

    store: CheckpointStore
    shapes: TrainState
    mesh: jax.sharding.Mesh
    data: str

    def save(
        self,
        state: TrainState,
        progress: Progress,
        metrics: Mapping[str, float] | None,
        *,
        step: int,
        keep: Collection[int] = (),
    ) -> TrainState:
        """Saves a state, layer by layer, so that devices never hold it twice.

        Args:
          state: not to be used afterwards, because its stacked arrays are deleted.
          progress: stored beside it.
          metrics: the metrics of this state; None without an evaluation.
          step: the number of the checkpoint.
          keep: see `CheckpointStore.save`.

        Returns:
          A state with the same values, to go on with.

        Raises:
          CheckpointError: see `CheckpointStore.save`.
        """
        recent = state.recent
        progress = dataclasses.replace(progress, recent=_values(recent))
        state = dataclasses.replace(state, recent=None)
        with watching(f"the save of step {step}"):
            arrays = stacked_layers.unstack(trees.named(state), free=True)
            self.store.save(step, arrays, dataclasses.asdict(progress), metrics, keep)
            state = trees.like(state, self._as_trained(arrays))
        return dataclasses.replace(state, recent=recent)

    def restore(self, step: int | None) -> tuple[TrainState, Progress]:
        """Restores a state on the devices, and its progress.

        Args:
          step: a saved step; None for the newest intact one.

        Raises:
          CheckpointError: see `CheckpointStore.restore` and `Progress.restored`.
        """
        shapes = dataclasses.replace(self.shapes, recent=None)
        abstract = stacked_layers.unstack(trees.named(shapes))
        number, arrays, extra = self.store.restore(step, abstract)
        state = trees.like(shapes, self._as_trained(arrays))
        progress = Progress.restored(extra, self.data)
        if progress.scheduled_step not in self.store.steps():
            # Saved by an earlier version, or without bad_steps.action "rewind".
            progress = dataclasses.replace(progress, scheduled_step=number, rewinds=0)
        if self.shapes.recent is not None:
            recent = _array(progress.recent, self.shapes.recent.shape[1])
            recent = jax.device_put(recent, sharding.replicated(self.mesh))
            state = dataclasses.replace(state, recent=recent)
        return state, progress

    def _as_trained(self, arrays: Mapping[str, jax.Array]) -> Mapping[str, jax.Array]:
        """Stacks the layers if the train state does."""
        if any(map(stacked_layers.is_stacked, trees.named(self.shapes))):
            return stacked_layers.stack(arrays, free=True)
        return arrays


def _values(recent: jax.Array | None) -> list[list[float]] | None:
    """Returns `TrainState.recent` without NaN, as JSON values that lose nothing."""
    if recent is None:
        return None
    values = np.asarray(jax.device_get(recent))
    return values[:, np.isfinite(values[0])].tolist()


def _array(values: list[list[float]] | None, window: int) -> np.ndarray:
    """Returns f32[2, window] with the newest of the stored values."""
    array = np.full((2, window), np.nan, np.float32)
    newest = np.reshape(values or [[], []], (2, -1))[:, -window:]
    array[:, window - newest.shape[1] :] = newest
    return array
