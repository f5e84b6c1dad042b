"""The directories of a run's steps: begin, commit, verify, delete.

60/          a complete step; every directory named by a plain number is complete
75.tmp/      a step being written or deleted; the next save deletes what a kill leaves
60.damaged/  a damaged step that was moved out of the way of a new one; never read
"""

import dataclasses
import json
import logging
import os
import pathlib
import shutil
from typing import Any

from bertgen_jax.checkpoints import digests
from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import atomic, json_files

_DIGESTS = "digests.json"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class StepDirectories:
    """The steps below `root`, which the first `begin` creates."""

    root: pathlib.Path

    def path(self, step: int) -> pathlib.Path:
        """Returns the directory of a complete step."""
        return self.root / str(step)

    def temporary(self, step: int) -> pathlib.Path:
        """Returns the directory of a step while it is being written or deleted."""
        return self.root / f"{step}.tmp"

    def steps(self) -> list[int]:
        """Lists the complete steps, ascending; does not check them for damage."""
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir() if path.is_dir())
        return sorted(int(name) for name in names if name.isdecimal())

    def begin(self, step: int) -> pathlib.Path:
        """Creates the empty temporary directory of a new step; deletes leftovers.

        Damaged steps that are not older are moved out of the way.

        Raises:
          CheckpointError: this step, or a later one, exists and is intact.
          OSError: the directory cannot be created.
        """
        for later in self.steps():
            if later >= step:
                self._move_damaged(later, new=step)
        for leftover in self.root.glob("*.tmp"):
            shutil.rmtree(leftover)
        self.temporary(step).mkdir(parents=True)
        return self.temporary(step)

    def commit(self, step: int) -> None:
        """Adds digests to the temporary directory and gives it its final name."""
        temporary = self.temporary(step)
        write_json(temporary / _DIGESTS, digests.compute(temporary))
        temporary.rename(self.path(step))
        root = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(root)  # so that the rename survives a power cut
        finally:
            os.close(root)

    def abandon(self, step: int) -> None:
        """Deletes the temporary directory of a step that will not be committed."""
        shutil.rmtree(self.temporary(step), ignore_errors=True)

    def delete(self, step: int) -> None:
        """Deletes a complete step.

        It is renamed first, so that a half-deleted step never looks complete.
        """
        self.path(step).rename(self.temporary(step))
        shutil.rmtree(self.temporary(step))

    def find_intact(self, step: int | None) -> int:
        """Returns the step to read: the given one, or the newest intact one.

        Args:
          step: None for the newest; a warning names each damaged step passed over.

        Raises:
          CheckpointError: `step` is missing or damaged, or no intact step is left.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(
                f"No checkpoint in {self.root}: no directory in it is named by a step "
                "number. Is this the right work directory?"
            )
        if step is not None and step not in steps:
            raise CheckpointError(
                f"No step {step} in {self.root}; its steps are {steps}."
            )
        for candidate in reversed(steps) if step is None else [step]:
            damage = self._find_damage(candidate)
            if damage is None:
                return candidate
            path = self.path(candidate)
            if step is not None:
                raise CheckpointError(
                    f"Checkpoint {path} is damaged: {damage}. The steps on disk are "
                    f"{steps}; without a step number, the newest intact one is read."
                )
            _log.warning(
                "Checkpoint %s is DAMAGED, an older step is read instead: %s",
                path,
                damage,
            )
        raise CheckpointError(
            f"Every step in {self.root} is damaged: {steps}; the log names the files. "
            "Restore them from a copy, or use another work directory."
        )

    def _find_damage(self, step: int) -> str | None:
        """Returns what is wrong with a step; see `digests.find_damage`.

        A step without digests cannot be verified; it is used, with a warning.
        """
        if not any(self.path(step).iterdir()):
            return "it is an empty directory"
        file = self.path(step) / _DIGESTS
        if not file.exists():
            _log.warning("%s is missing: the step is used, but not verified", file)
            return None
        try:
            recorded = json_files.read_object(file)
        except CheckpointError as error:
            return str(error)
        return digests.find_damage(self.path(step), recorded)

    def _move_damaged(self, later: int, new: int) -> None:
        """Renames the damaged step `later`, which is not older than the `new` one.

        The run passed it over when it resumed. Under its old name it would look newer
        than every step saved from now on, and would be kept in place of them.

        Raises:
          CheckpointError: `later` is intact.
        """
        if self._find_damage(later) is None:
            raise CheckpointError(
                f"Step {new} cannot be saved in {self.root}, which already holds step "
                f"{later}. Continue from that step, or use another work directory."
            )
        target = self.root / f"{later}.damaged"
        shutil.rmtree(target, ignore_errors=True)
        self.path(later).rename(target)
        _log.warning("The damaged checkpoint of step %d was moved to %s", later, target)


def write_json(file: pathlib.Path, value: Any) -> None:
    """Writes a JSON value that survives a power cut.

    The file ends without a line break, so that no truncated file is valid JSON.

    Raises:
      OSError: the file cannot be written.
    """
    atomic.write_text(file, json.dumps(value, indent=1))
