"""`CheckpointStore`: saves the state of a run and restores it, step by step.

    60/state/        the arrays, written by Orbax (OCDBT), named by their path
       extra.json    what else a resumed run needs: `training/progress.py`
       metrics.json  the metrics of this state, if it was evaluated before the save
       digests.json  size and SHA-256 of every file above

Only this module imports Orbax, which writes and reads the arrays. When a step is
complete, and which steps stay, is decided here (`step_directories`, `retention`).
"""

import logging
import math
import os
import pathlib
from collections.abc import Callable, Collection, Mapping
from concurrent import futures
from typing import Any

import jax
import orbax.checkpoint as ocp

from bertgen_jax import processes, trees
from bertgen_jax.checkpoints import retention, step_directories
from bertgen_jax.errors import CheckpointError, ConfigError, check_choice
from bertgen_jax.files import json_files
from bertgen_jax.trees import PyTree

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None

_log = logging.getLogger(__name__)


class CheckpointStore:
    """The saved steps of one run: written by that run alone, read by anyone.

    With several processes, all of them call each method that saves, waits or restores,
    on one shared file system; process 0 decides and the others follow.

    Args:
      directory: where the steps are; the first save creates it.
      best_metric: the entry of `metrics` by which steps are ranked; None for no
        ranking. A step saved without this metric is never the best.
      best_mode: whether a large value is good ("max") or a small one ("min").
      keep_latest: how many of the newest steps stay on disk; at least 1. With 1, only
        the best step can replace a damaged newest one.
      keep_best: how many of the best steps stay.
      keep_period: steps divisible by it stay for good; None for no such rule.
      asynchronous: `save` returns as soon as the arrays are copied off the devices, and
        a thread writes them. If False, it returns when the step is complete.

    Raises:
      ConfigError: an argument is invalid.
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
        check_choice("best_mode", best_mode, ("max", "min"))
        period_is_valid = keep_period is None or keep_period >= 1
        if keep_latest < 1 or keep_best < 0 or not period_is_valid:
            raise ConfigError(
                f"Found keep_latest={keep_latest}, keep_best={keep_best}, "
                f"keep_period={keep_period}; expected keep_latest >= 1 (the newest "
                "step always stays), keep_best >= 0, keep_period >= 1 or None."
            )
        self._directories = step_directories.StepDirectories(
            pathlib.Path(directory).absolute()
        )
        self._best_metric = best_metric
        self._best_mode: retention.Mode = best_mode
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
        keep: Collection[int] = (),
    ) -> None:
        """Saves `state` as the newest step; its arrays may be donated right after.

        Waits for the previous save first. Once this step is complete, the steps that
        the `keep_*` rules do not keep are deleted.

        Args:
          step: larger than every intact step on disk.
          state: pytree of arrays, of any sharding; no typed keys, no empty arrays.
          extra: JSON values that `restore` returns together with the state.
          metrics: the metrics of exactly this state.
          keep: older steps that this save does not delete, whatever the rules.

        Raises:
          CheckpointError: this step, or the previous one, cannot be written; the steps
            saved before are untouched.
        """
        self.wait()
        arrays = trees.named(state)
        try:
            processes.on_process_0(lambda: self._begin(step, extra, metrics))
            self._checkpointer.save(
                self._directories.temporary(step) / "state",
                args=ocp.args.PyTreeSave(arrays),
            )
        except OSError as error:
            raise self._not_saved(step, error) from error
        self._pending = step, self._thread.submit(self._finish, step, keep)
        if not self._asynchronous:
            self.wait()

    def wait(self) -> None:
        """Waits until the last save is complete, with its digests and deletions.

        Raises:
          CheckpointError: the save failed; the steps saved before are untouched.
        """
        self._wait(self._agree_on)

    def _agree_on(self, finished: futures.Future[None]) -> None:
        if jax.process_index() != 0:
            finished.result()
        processes.on_process_0(finished.result)

    def _wait(self, wait_for: Callable[[futures.Future[None]], None]) -> None:
        if self._pending is None:
            return
        (step, finished), self._pending = self._pending, None
        try:
            wait_for(finished)
        except (CheckpointError, jax.errors.JaxRuntimeError):  # or a lost process
            raise
        except (OSError, ValueError, RuntimeError) as error:  # raised by tensorstore
            raise self._not_saved(step, error) from error

    def close(self) -> None:
        """Waits for the last save and stops the threads.

        Call it however a run ends (`contextlib.closing`), because a save in progress is
        lost when the interpreter exits.

        Raises:
          CheckpointError: the last save failed; see `wait`.
        """
        try:
            # Without the other processes: this one may end because of an error.
            self._wait(lambda finished: finished.result())
        finally:
            self._thread.shutdown()
            self._checkpointer.close()

    def delete_after(self, step: int) -> None:
        """Deletes the steps after `step`, so that a run can go back to it.

        Raises:
          CheckpointError: the last save failed; see `wait`.
        """
        self.wait()
        processes.on_process_0(lambda: self._delete_after(step))

    def _delete_after(self, step: int) -> None:
        for later in reversed(self.steps()):
            if later > step:
                self._directories.delete(later)

    def steps(self) -> list[int]:
        """Lists the complete steps on disk, ascending, without a save in progress."""
        return self._directories.steps()

    def latest_step(self) -> int | None:
        """Returns the newest complete step; None if there is none."""
        return max(self.steps(), default=None)

    def best_step(self) -> int | None:
        """Returns the best step by `best_metric`, the earliest of equals.

        None if no step has a finite value of this metric.
        """
        best_first = retention.ranked(self._scores(), self._best_mode)
        return best_first[0] if best_first else None

    def metrics_of(self, step: int) -> dict[str, float]:
        """Returns the metrics that a step was saved with; empty if it had none.

        Raises:
          CheckpointError: the file cannot be read.
        """
        file = self._directories.path(step) / "metrics.json"
        return json_files.read_object(file) if file.exists() else {}

    def restore(
        self, step: int | None, abstract_state: PyTree
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        """Restores a state, bit for bit, in the shardings of `abstract_state`.

        Args:
          step: None for the newest intact step. Digests are compared first, and a
            damaged step is passed over with a warning.
          abstract_state: tree of `jax.ShapeDtypeStruct` with the wanted shardings,
            which may differ from those at the save. An array without a sharding goes to
            the first device.

        Returns:
          The step, its state with the structure of `abstract_state`, its `extra`.

        Raises:
          CheckpointError: there is no step; `step` is missing or damaged; or it has
            other names, shapes or dtypes than `abstract_state`, and the differences are
            listed.
        """
        return self._restore(step, abstract_state, subtree=None)

    def restore_params(
        self,
        step: int | None,
        subtree: str = "params",
        abstract: PyTree | None = None,
        sharding: jax.sharding.Sharding | None = None,
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        """Restores one field of a state, such as the parameters, and reads no other.

        Args:
          step: as in `restore`.
          subtree: the name of the field.
          abstract: tree of `jax.ShapeDtypeStruct` of this field, as in `restore`; None
            for all of its arrays as a nested dict.
          sharding: where an array goes that `abstract` gives no sharding; None for the
            first device of this process. It may span the devices of all processes.

        Returns:
          The step, the field, the step's `extra`.

        Raises:
          CheckpointError: as `restore`, or the state has no such field.
        """
        return self._restore(step, abstract, subtree, sharding)

    def _begin(
        self,
        step: int,
        extra: Mapping[str, JSON],
        metrics: Mapping[str, float] | None,
    ) -> None:
        directory = self._directories.begin(step)
        step_directories.write_json(directory / "extra.json", dict(extra))
        if metrics is not None:
            values = {name: float(value) for name, value in metrics.items()}
            step_directories.write_json(directory / "metrics.json", values)

    def _finish(self, step: int, keep: Collection[int]) -> None:
        """Waits for Orbax, commits the step, deletes old steps; runs in the thread."""
        self._checkpointer.wait_until_finished()
        if jax.process_index() != 0:
            return
        self._directories.commit(step)
        steps = self.steps()
        kept = retention.kept(
            steps,
            self._scores(),
            mode=self._best_mode,
            latest=self._keep_latest,
            best=self._keep_best,
            period=self._keep_period,
        )
        for old in set(steps) - kept - set(keep):
            self._directories.delete(old)

    def _not_saved(self, step: int, error: Exception) -> CheckpointError:
        if jax.process_index() == 0:
            self._directories.abandon(step)
        return CheckpointError(
            f"Step {step} could not be saved in {self._directories.root}: {error}. The "
            f"steps saved before are untouched: {self.steps() or '(none)'}. Is the "
            "disk full or read-only? Once that is fixed, the same command resumes from "
            "the newest step."
        )

    def _restore(
        self,
        step: int | None,
        abstract: PyTree | None,
        subtree: str | None,
        sharding: jax.sharding.Sharding | None = None,
    ) -> tuple[int, PyTree, dict[str, JSON]]:
        self.wait()
        step = processes.on_process_0(lambda: self._directories.find_intact(step))
        prefix = "" if subtree is None else f"{subtree}/"
        arrays = self._saved_arrays(step)
        saved = {name: leaf for name, leaf in arrays.items() if name.startswith(prefix)}
        if subtree is not None and not saved:
            raise CheckpointError(
                f"Step {step} in {self._directories.root} has no {subtree!r}; its "
                "state has "
                f"{', '.join(sorted({name.split('/')[0] for name in arrays}))}."
            )
        expected = saved if abstract is None else trees.named(abstract, prefix)
        if differences := trees.differences(expected, saved):
            raise CheckpointError(
                f"Step {step} in {self._directories.root} is of another model or "
                f"optimizer. Its {subtree or 'state'} (+) differs from that of this "
                f"run (-):\n{differences}"
            )
        restored = self._read(step, expected, sharding)
        extra = json_files.read_object(self._directories.path(step) / "extra.json")
        if abstract is None:
            return step, trees.nested(restored, prefix), extra
        return step, trees.like(abstract, restored, prefix), extra

    def _saved_arrays(self, step: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns name, shape and dtype of each array of a step."""
        try:
            directory = self._directories.path(step) / "state"
            metadata = self._checkpointer.metadata(directory).item_metadata
            if metadata is None:
                raise ValueError("its arrays have no metadata")
            return {
                name: jax.ShapeDtypeStruct(array.shape, array.dtype)
                for name, array in metadata.tree.items()
            }
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise self._not_read(step, error) from error

    def _read(
        self,
        step: int,
        abstract: Mapping[str, jax.ShapeDtypeStruct],
        sharding: jax.sharding.Sharding | None,
    ) -> dict[str, jax.Array]:
        """Reads the arrays named in `abstract`, in its shardings or else `sharding`."""
        if sharding is None:
            sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        restore_args = {
            name: ocp.ArrayRestoreArgs(
                sharding=leaf.sharding or sharding,
                global_shape=leaf.shape,
                dtype=leaf.dtype,
            )
            for name, leaf in abstract.items()
        }
        try:
            return self._checkpointer.restore(
                self._directories.path(step) / "state",
                args=ocp.args.PyTreeRestore(
                    item=dict(abstract), restore_args=restore_args, partial_restore=True
                ),
            )
        except (OSError, ValueError, KeyError) as error:
            raise self._not_read(step, error) from error

    def _not_read(self, step: int, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"Step {step} in {self._directories.root} cannot be read: {error}. Move "
            "its directory away to continue from an older step."
        )

    def _scores(self) -> dict[int, float]:
        """Returns `best_metric` of the steps that have a finite value of it."""
        if self._best_metric is None:
            return {}
        scores = {}
        for step in self.steps():
            try:
                score = self.metrics_of(step).get(self._best_metric, math.nan)
            except CheckpointError as error:
                _log.warning(
                    "Step %d is treated as one without metrics: %s", step, error
                )
                continue
            if math.isfinite(score):
                scores[step] = score
        return scores
