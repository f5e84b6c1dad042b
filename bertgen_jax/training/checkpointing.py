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

    The arrays on disk do not depend on `bad_steps`, which may change when a run
    resumes: the losses of recent steps are stored with the progress. They are those of
    separate layers, whether or not the run trains joined ones (`stacked_layers`).

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
        """Saves a state, which may not be used after; see `CheckpointStore.save`.

        Returns:
          The same state.
        """
        recent = state.recent
        progress = dataclasses.replace(progress, recent=_values(recent))
        state = dataclasses.replace(state, recent=None)
        with watching(f"the save of step {step}"):
            arrays = stacked_layers.separate(trees.named(state), free=True)
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
        abstract = stacked_layers.separate(trees.named(shapes))
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
        """Joins the layers if this run trains them so."""
        if any(map(stacked_layers.is_joined, trees.named(self.shapes))):
            return stacked_layers.join(arrays, free=True)
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
