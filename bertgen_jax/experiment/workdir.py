"""A work directory belongs to one configuration and, at a time, to one run."""

import contextlib
import fcntl
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from bertgen_jax.errors import CheckpointError

CONFIG = "config.json"

# Fields that say how a run is executed and watched, not what it computes: they may
# change from one call to the next.
_FREE = (
    "checkpoint.",
    "log.",
    "mesh.",
    "data.threads",
    "data.prefetch",
    "eval.batch_size",
    "eval.patience",
    "model.scan_layers",
    "model.remat",
    "multihost",
)
# Fields that decide which parameters there are and what they mean.
_MODEL = ("model.", "tokenizer.", "init.recipe", "ema_decay")
# Schedules that do not depend on where the run ends, so that the end may be moved.
_ENDLESS = ("paper", "constant")


def check(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Refuses a work directory of another configuration.

    Raises:
      CheckpointError: lists the fields that differ.
    """
    path = workdir / CONFIG
    if not path.exists():
        return
    saved = read(workdir)
    free = _FREE + (("total_steps",) if config.optim.schedule in _ENDLESS else ())
    lines = [
        line
        for line in differences(saved, resolved(config))
        if not line.startswith(free)
    ]
    if lines:
        raise CheckpointError(
            f"{workdir} belongs to a run with another configuration. Different are "
            "(there, here):\n  "
            + "\n  ".join(lines)
            + "\nGive these fields the values "
            "they have there, or begin in another --workdir."
        )


def check_model(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Refuses to evaluate a work directory's model as another one.

    Raises:
      CheckpointError: there is no run, or its model differs; lists the fields.
    """
    lines = [
        line
        for line in differences(read(workdir), resolved(config))
        if line.startswith(_MODEL) and not line.startswith(_FREE)
    ]
    if lines:
        raise CheckpointError(
            f"{workdir} holds another model than the config describes. Different are "
            "(there, here):\n  "
            + "\n  ".join(lines)
            + "\nGive the flags that train.py "
            "was given."
        )


def claim(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Writes the resolved configuration to the work directory."""
    if jax.process_index() == 0:
        temporary = workdir / f"{CONFIG}.tmp"
        temporary.write_text(
            json.dumps(resolved(config), indent=2) + "\n", encoding="utf-8"
        )
        temporary.replace(workdir / CONFIG)


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """The configuration of a work directory.

    Raises:
      CheckpointError: there is none, or it is no JSON.
    """
    path = workdir / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}. Expected the work directory of a training run; "
            "train.py prints its name."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}).") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {values!r}.")
    return values


def resolved(config: ConfigDict) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    return json.loads(config.to_json_best_effort())


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second run out of the work directory, which is made if missing.

    The lock is the operating system's: it goes with the process, however that ends.

    Raises:
      CheckpointError: another process is training there.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"--workdir {workdir}: {error.strerror}. Expected a folder that can be "
            "written to."
        ) from error
    if jax.process_index() != 0:
        yield
        return
    try:
        lock = (workdir / ".lock").open("w")
    except OSError as error:
        raise CheckpointError(
            f"{workdir}/.lock: {error.strerror}. Expected a folder that can be written "
            "to."
        ) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CheckpointError(
                f"{workdir}: another process is training there. Wait for it, stop it, "
                "or choose another --workdir."
            ) from error
        yield


def differences(found: dict, expected: dict, prefix: str = "") -> list[str]:
    """Lists the fields in which nested mappings differ, as "name: found, expected"."""
    lines = []
    for name in sorted(set(itertools.chain(found, expected))):
        one, other = found.get(name), expected.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            lines += differences(one, other, f"{prefix}{name}.")
        elif one != other:
            lines.append(f"{prefix}{name}: {one!r}, {other!r}")
    return lines
