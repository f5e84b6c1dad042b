"""The state of a run to disk and back: pytree of arrays, and JSON, <-> DIRECTORY/STEP/.

    60/state/        the arrays, by Orbax (OCDBT), named by their path in the tree
       extra.json    what else a resume needs: `training/progress.py`
       metrics.json  what was measured right before the save, if anything was
       digests.json  size and SHA-256 of every file above

Only this module imports Orbax. It writes the arrays; what makes a step complete, and
which steps stay, is ours (`step_directories`, `retention`).
"""

import logging
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from concurrent import futures

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from bertgen_jax import trees
from bertgen_jax.checkpoints import retention, step_directories
from bertgen_jax.checkpoints.step_directories import JSON
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.trees import PyTree

_log = logging.getLogger(__name__)


class CheckpointStore:
    """The saved steps of one run, written by that run alone, read by anyone.

    With several processes, all of them call each method that saves, waits or restores,
    on one shared file system; process 0 decides and the others follow.

    Args:
      directory: where the steps are; made by the first save.
      best_metric: the entry of `metrics` that tells how good a step is; None if nothing
        does. Steps saved without it are never the best.
      best_mode: whether a large value is good ("max") or a small one ("min").
      keep_latest: how many of the newest steps stay on disk; at least 1. With 1, a
        damaged newest step has only the best one behind it.
      keep_best: how many of the best steps stay.
      keep_period: steps divisible by it stay for good; None for no such rule.
      asynchronous: `save` returns when the arrays are copied off the devices, and a
        thread writes them. False: it returns when the step is complete.

    Raises:
      ConfigError: when one of these cannot be meant.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        best_metric: str | None,
        best_mode: retention.Mode,
        keep_latest: int = 1,
        keep_best: int = 1,
        keep_period: int | None = None,
        asynchronous: bool = True,
    ):
        if best_mode not in ("max", "min"):
            raise ConfigError(f'best_mode is "max" or "min", not {best_mode!r}.')
        period_is_valid = keep_period is None or keep_period >= 1
        if keep_latest < 1 or keep_best < 0 or not period_is_valid:
            raise ConfigError(
                "At least the newest step is kept: keep_latest >= 1, keep_best >= 0, "
                f"keep_period >= 1 or None; found keep_latest={keep_latest}, "
                f"keep_best={keep_best}, keep_period={keep_period}."
            )
        self._disk = step_directories.StepDirectories(
            pathlib.Path(directory).absolute()
        )
        self._best_metric = best_metric
        self._best_mode = best_mode
        self._keep_latest = keep_latest
        self._keep_best = keep_best
        self._keep_period = keep_period
        self._asynchronous = asynchronous
        self._checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
        self._thread = futures.ThreadPoolExecutor(1, "checkpoint-commit")
        self._pending: tuple[int, futures.Future[None]] | None = None

    def save(
        self,
        step: int,
        state: PyTree,
        extra: Mapping[str, JSON],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Saves `state` as the newest step; its arrays may be donated right after.

        Waits for the save before this one. When this one is complete, the steps that
        `keep_*` do not name are deleted.

        Args:
          step: larger than every intact step there is.
          state: pytree of arrays, of any sharding; no typed keys, no empty arrays.
          extra: what `restore` gives back beside the state.
          metrics: what was measured of exactly this state.

        Raises:
          CheckpointError: when this step, or the one before it, cannot be written; what
            had been saved is untouched.
        """
        self.wait()
        arrays = trees.named(state)
        try:
            _by_process_0(lambda: self._begin(step, extra, metrics))
            self._checkpointer.save(
                self._disk.temporary(step) / "state", args=ocp.args.PyTreeSave(arrays)
            )
        except OSError as error:
            raise self._not_saved(step, error) from error
        self._pending = step, self._thread.submit(self._finish, step)
        if not self._asynchronous:
            self.wait()

    def wait(self) -> None:
        """Returns when the last save is complete, its digests and deletions included.

        Raises:
          CheckpointError: when it failed; what had been saved before is untouched.
        """
        if self._pending is None:
            return
        (step, finished), self._pending = self._pending, None
        try:
            if jax.process_index() != 0:
                finished.result()
            _by_process_0(finished.result)
        except CheckpointError:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # what tensorstore raises
            raise self._not_saved(step, error) from error

    def close(self) -> None:
        """Waits for the last save and stops the threads.

        Call it however a run ends (`contextlib.closing`): a save that nobody waits for
        is lost when the interpreter exits.

        Raises:
          CheckpointError: as `wait`.
        """
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._checkpointer.close()

    def steps(self) -> list[int]:
        """The complete steps on disk, ascending; a save under way is not among them."""
        return self._disk.steps()

    def latest_step(self) -> int | None:
        """The newest complete step; None if there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """The best step by `best_metric`, the first of equals; None if none has it."""
        best_first = retention.ranked(self._scores(), self._best_mode)
        return best_first[0] if best_first else None

    def metrics_of(self, step: int) -> dict[str, float]:
        """The metrics that `step` was saved with; empty if it had none.

        Raises:
          CheckpointError: when the file cannot be read.
        """
        file = self._disk.path(step) / "metrics.json"
        return step_directories.read_json(file) if file.exists() else {}

    def restore(
        self, step: int | None, abstract_state: PyTree
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        """Reads a state back, bit for bit, in the shardings of `abstract_state`.

        Args:
          step: which one; None for the newest that is intact. Digests are compared
            first, and a damaged step is passed over with a warning.
          abstract_state: tree of `jax.ShapeDtypeStruct` with the sharding wanted now,
            which need not be the one it was saved with; without one an array goes to
            the first device.

        Returns:
          The step, its state with the structure of `abstract_state`, its `extra`.

        Raises:
          CheckpointError: when there is no step, when `step` is missing or damaged, or
            when it holds other names, shapes or dtypes than `abstract_state`; the
            differences are listed.
        """
        return self._restore(step, abstract_state, subtree=None)

    def restore_params(
        self,
        step: int | None,
        subtree: str = "params",
        abstract: PyTree | None = None,
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        """Reads one part of a state, such as the parameters; the rest is not read.

        Args:
          step: as in `restore`.
          subtree: the field of the state.
          abstract: tree of `jax.ShapeDtypeStruct` of that part, as in `restore`; None
            for a nested dict of all that is there, on the first device.

        Returns:
          The step, the part, the step's `extra`.

        Raises:
          CheckpointError: as `restore`; and when the state has no such part.
        """
        return self._restore(step, abstract, subtree)

    def _begin(
        self,
        step: int,
        extra: Mapping[str, JSON],
        metrics: Mapping[str, float] | None,
    ) -> None:
        directory = self._disk.begin(step)
        step_directories.write_json(directory / "extra.json", dict(extra))
        if metrics is not None:
            values = {name: float(value) for name, value in metrics.items()}
            step_directories.write_json(directory / "metrics.json", values)

    def _finish(self, step: int) -> None:
        """In the thread: waits for Orbax, commits the step, deletes those not kept."""
        self._checkpointer.wait_until_finished()
        if jax.process_index() != 0:
            return
        self._disk.commit(step)
        steps = self.steps()
        kept = retention.kept(
            steps,
            self._scores(),
            mode=self._best_mode,
            latest=self._keep_latest,
            best=self._keep_best,
            period=self._keep_period,
        )
        for old in set(steps) - kept:
            self._disk.delete(old)

    def _not_saved(self, step: int, error: Exception) -> CheckpointError:
        if jax.process_index() == 0:
            self._disk.abandon(step)
        return CheckpointError(
            f"Step {step} could not be saved in {self._disk.root}: {error}. What had "
            f"been saved is untouched: steps {self.steps() or '(none)'}. Is the disk "
            "full or read-only? Once that is mended, a run goes on from the newest."
        )

    def _restore(
        self, step: int | None, abstract: PyTree | None, subtree: str | None
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        self.wait()
        step = _by_process_0(lambda: self._disk.intact(step))
        prefix = "" if subtree is None else f"{subtree}/"
        every = self._saved_arrays(step)
        saved = {name: leaf for name, leaf in every.items() if name.startswith(prefix)}
        if subtree is not None and not saved:
            raise CheckpointError(
                f"Step {step} in {self._disk.root} has no {subtree!r}; its state has "
                f"{', '.join(sorted({name.split('/')[0] for name in every}))}."
            )
        wanted = saved if abstract is None else trees.named(abstract, prefix)
        if differences := trees.differences(wanted, saved):
            raise CheckpointError(
                f"Step {step} in {self._disk.root} is of another model or optimizer. "
                f"Its {subtree or 'state'} (+) differs from what this run has (-) in\n"
                f"{differences}"
            )
        arrays = self._read(step, wanted)
        extra = step_directories.read_json(self._disk.path(step) / "extra.json")
        if abstract is None:
            return step, trees.nested(arrays, prefix), extra
        return step, trees.like(abstract, arrays, prefix), extra

    def _saved_arrays(self, step: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Name, shape and dtype of each array of `step`."""
        try:
            metadata = self._checkpointer.metadata(self._disk.path(step) / "state")
            arrays = metadata.item_metadata.tree
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise self._not_read(step, error) from error
        return {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for name, array in arrays.items()
        }

    def _read(
        self, step: int, wanted: Mapping[str, jax.ShapeDtypeStruct]
    ) -> dict[str, jax.Array]:
        """The arrays named in `wanted`, in its shardings."""
        first_device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        restore_args = {
            name: ocp.ArrayRestoreArgs(
                sharding=leaf.sharding or first_device,
                global_shape=leaf.shape,
                dtype=leaf.dtype,
            )
            for name, leaf in wanted.items()
        }
        try:
            return self._checkpointer.restore(
                self._disk.path(step) / "state",
                args=ocp.args.PyTreeRestore(
                    item=dict(wanted), restore_args=restore_args, partial_restore=True
                ),
            )
        except (OSError, ValueError, KeyError) as error:
            raise self._not_read(step, error) from error

    def _not_read(self, step: int, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"Step {step} in {self._disk.root} cannot be read: {error}. Move its "
            "directory away to continue from an older step."
        )

    def _scores(self) -> dict[int, float]:
        """`best_metric` of the steps that have it as a finite number."""
        if self._best_metric is None:
            return {}
        scores = {}
        for step in self.steps():
            try:
                score = self.metrics_of(step).get(self._best_metric, math.nan)
            except CheckpointError as error:
                _log.warning("Step %d counts as one without metrics: %s", step, error)
                continue
            if math.isfinite(score):
                scores[step] = score
        return scores


def _by_process_0(action: Callable[[], int | None]) -> int:
    """Runs `action` on process 0 and gives its result to all processes, 0 for None.

    An error there is an error everywhere: no process waits for one that has stopped.
    """
    if jax.process_count() == 1:
        return action() or 0
    result, error = 0, None
    if jax.process_index() == 0:
        try:
            result = action() or 0
        except Exception as caught:  # raised again, once the others know
            error = caught
    outcome = np.asarray([error is None, result], np.int32)
    succeeded, result = multihost_utils.broadcast_one_to_all(outcome)
    if error is not None:
        raise error
    if not succeeded:
        raise CheckpointError("Process 0 failed with the checkpoint; its log says why.")
    return int(result)
