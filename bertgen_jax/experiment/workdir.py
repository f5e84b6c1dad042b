"""Guards a work directory, which belongs to one configuration and one run at a time."""

import contextlib
import fcntl
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from bertgen_jax import processes
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files import json_files

CONFIG = "config.json"

_LAYERS = ("model.scan_layers", "model.remat")
# Fields that say how a run is executed and watched, not what it computes. They may
# change from one call to the next.
_EXECUTION = (
    "checkpoint.",
    "log.",
    "mesh.",
    "data.workers",
    "data.threads",
    "data.prefetch",
    "eval.batch_size",
    "eval.patience",
    "multihost",
    "watchdog_s",
    *_LAYERS,
)
# What a run does about trouble may be chosen when there is some.
_TROUBLE = ("bad_steps",)
# Fields that decide the parameters of the model and their meaning.
_MODEL = ("model.", "tokenizer.", "init.recipe", "ema_decay")
# Schedules that do not depend on where the run ends, so that the end may be moved.
_ENDLESS = ("paper", "constant")


def check(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Checks that a run may resume under a config.

    Raises:
      CheckpointError: the run has another config; the message lists the fields that
        differ.
    """
    if not (workdir / CONFIG).exists():
        return
    saved = read(workdir)
    may_change = _EXECUTION + _TROUBLE
    if config.optim.schedule in _ENDLESS:
        may_change += ("total_steps",)
    lines = [
        line
        for line in differences(saved, resolved(config))
        if not line.startswith(may_change)
    ]
    if lines:
        raise CheckpointError(
            f"{workdir} belongs to a run with another configuration. These fields "
            "differ (saved, now):\n  "
            + "\n  ".join(lines)
            + "\nSet them to the saved values, or choose another --workdir."
        )


def check_model(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Checks that a config describes the model in a work directory.

    Raises:
      CheckpointError: there is no run, or its model differs; the message lists the
        fields that differ.
    """
    lines = [
        line
        for line in differences(read(workdir), resolved(config))
        if line.startswith(_MODEL) and not line.startswith(_LAYERS)
    ]
    if lines:
        raise CheckpointError(
            f"{workdir} holds another model than the config describes. These fields "
            "differ (saved, now):\n  "
            + "\n  ".join(lines)
            + "\nPass the flags that train.py was run with."
        )


def claim(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Writes the resolved configuration to the work directory."""
    if jax.process_index() == 0:
        json_files.write_object(workdir / CONFIG, resolved(config))


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns the configuration of a work directory.

    Raises:
      CheckpointError: config.json is missing, or is not a JSON object.
    """
    return json_files.read_object(
        workdir / CONFIG,
        error=CheckpointError,
        expected="the work directory of a training run; train.py prints its name",
    )


def read_config(workdir: pathlib.Path, defaults: ConfigDict | None) -> ConfigDict:
    """Returns the configuration of a work directory, locked.

    Args:
      workdir: the work directory of a run.
      defaults: values of the fields that the version that trained it did not have.

    Raises:
      CheckpointError: see `read`.
    """
    saved = read(workdir)
    if defaults is not None:
        saved = _completed(saved, resolved(defaults))
    return ConfigDict(saved).lock()


def _completed(saved: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested values, with defaults where there is none."""
    values = {**defaults, **saved}
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(values[name], dict):
            values[name] = _completed(values[name], default)
    return values


def check_processes(config: ConfigDict) -> None:
    """Checks that all processes have the same configuration; all must call this.

    Raises:
      ConfigError: the message lists the fields that differ.
    """
    configs = processes.gather(resolved(config))
    for number, own in enumerate(configs):
        if lines := differences(configs[0], own):
            raise ConfigError(
                f"process {number} has another config than process 0 (process 0, "
                f"process {number}): {'; '.join(lines)}. Expected the same command on "
                "every host."
            )


def resolved(config: ConfigDict) -> dict[str, Any]:
    """Returns a configuration as plain JSON values."""
    return json.loads(config.to_json_best_effort())


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps a second run out of the work directory, which is created if missing.

    The operating system holds the lock and releases it when the process ends, for
    whatever reason.

    Raises:
      CheckpointError: another run is training there; on every process of this one.
    """
    with contextlib.ExitStack() as stack:
        processes.on_process_0(lambda: stack.enter_context(_locked(workdir)))
        yield


@contextlib.contextmanager
def _locked(workdir: pathlib.Path) -> Iterator[None]:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"--workdir {workdir}: {error.strerror}. Expected a folder that can be "
            "written to."
        ) from error
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


def differences(
    saved: Mapping[str, Any], current: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """Lists the fields in which two nested mappings differ: "name: saved, current"."""
    lines = []
    for name in sorted(set(itertools.chain(saved, current))):
        old, new = saved.get(name), current.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            lines.append(f"{prefix}{name}: {old!r}, {new!r}")
    return lines
