"""The numbered directories of a run's steps: begun, committed, verified, deleted.

60/          complete: what has a plain number as its name always is
75.tmp/      being written or deleted; what a kill leaves there is deleted later
60.damaged/  was found damaged when steps before it were saved anew; never read
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

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None

_DIGESTS = "digests.json"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class StepDirectories:
    """The steps below `root`, which need not exist before the first one is begun."""

    root: pathlib.Path

    def path(self, step: int) -> pathlib.Path:
        """Where `step` is, once it is complete."""
        return self.root / str(step)

    def temporary(self, step: int) -> pathlib.Path:
        """Where `step` is while it is written or deleted."""
        return self.root / f"{step}.tmp"

    def steps(self) -> list[int]:
        """The complete steps, ascending; whether they are intact is not looked at."""
        if not self.root.is_dir():
            return []
        names = (path.name for path in self.root.iterdir() if path.is_dir())
        return sorted(int(name) for name in names if name.isdecimal())

    def begin(self, step: int) -> pathlib.Path:
        """Makes the empty temporary directory of a new step; leftovers are deleted.

        Raises:
          CheckpointError: when this step, or a later one, is there and intact.
          OSError: when the disk refuses.
        """
        for later in self.steps():
            if later >= step:
                self._set_aside(later, new=step)
        for leftover in self.root.glob("*.tmp"):
            shutil.rmtree(leftover)
        self.temporary(step).mkdir(parents=True)
        return self.temporary(step)

    def commit(self, step: int) -> None:
        """Adds the digests of what was written and gives the step its final name."""
        written = self.temporary(step)
        write_json(written / _DIGESTS, digests.take(written))
        written.rename(self.path(step))
        root = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(root)  # the rename outlives a power cut
        finally:
            os.close(root)

    def abandon(self, step: int) -> None:
        """Deletes what was written of a step that will not be committed."""
        shutil.rmtree(self.temporary(step), ignore_errors=True)

    def delete(self, step: int) -> None:
        """Deletes a complete step; killed half-way, it does not look complete."""
        self.path(step).rename(self.temporary(step))
        shutil.rmtree(self.temporary(step))

    def intact(self, step: int | None) -> int:
        """The step to read: `step` itself, or the newest that is as it was written.

        Args:
          step: None for the newest; each damaged one passed over is a warning.

        Raises:
          CheckpointError: when `step` is missing or damaged; when no step is left.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(
                f"No checkpoint in {self.root}: nothing there has a step's number as "
                "its name. Was another work directory meant?"
            )
        if step is not None and step not in steps:
            raise CheckpointError(
                f"No step {step} in {self.root}; the steps there are {steps}."
            )
        for candidate in reversed(steps) if step is None else [step]:
            damage = self._find_damage(candidate)
            if damage is None:
                return candidate
            where = self.path(candidate)
            if step is not None:
                raise CheckpointError(
                    f"Checkpoint {where} is damaged: {damage}. The steps there are "
                    f"{steps}; the newest intact one is taken where none is named."
                )
            _log.warning(
                "Checkpoint %s is DAMAGED, an older one is taken: %s", where, damage
            )
        raise CheckpointError(
            f"Every step in {self.root} is damaged: {steps}; the log names the files. "
            "Bring them back from a copy, or use another work directory."
        )

    def _find_damage(self, step: int) -> str | None:
        """What is wrong with a step, as `digests.find_damage` says; None if nothing.

        A step without digests cannot be verified: that is one log line, and no damage.
        """
        if not any(self.path(step).iterdir()):
            return "it is an empty directory"
        file = self.path(step) / _DIGESTS
        if not file.exists():
            _log.warning("%s is missing: the step is used, but not verified", file)
            return None
        try:
            taken = read_json(file)
        except CheckpointError as error:
            return str(error)
        return digests.find_damage(self.path(step), taken)

    def _set_aside(self, later: int, new: int) -> None:
        """Renames the damaged step `later`, which is not older than the `new` one.

        The run has passed it over. Left where it is, it would look newer than all that
        is saved from now on, and would be kept in place of it.
        """
        if self._find_damage(later) is None:
            raise CheckpointError(
                f"Step {new} cannot be saved in {self.root}, which already holds step "
                f"{later}. Continue from there, or use another work directory."
            )
        aside = self.root / f"{later}.damaged"
        shutil.rmtree(aside, ignore_errors=True)
        self.path(later).rename(aside)
        _log.warning("The damaged checkpoint of step %d was moved to %s", later, aside)


def write_json(file: pathlib.Path, value: JSON) -> None:
    """Writes `value` so that it outlives a power cut."""
    with open(file, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


def read_json(file: pathlib.Path) -> Any:
    """Reads what `write_json` wrote.

    Raises:
      CheckpointError: when it is not there, or no JSON.
    """
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}.") from error
