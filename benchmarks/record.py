"""Writes the results of benchmarks to JSON files, with the machine they ran on."""

import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from bertgen_jax.training import environment

RESULTS = pathlib.Path(__file__).parent / "results"


def cores() -> int:
    """Returns the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine(*libraries: str, device: str | None = None) -> dict[str, Any]:
    """Describes the machine.

    Args:
      *libraries: whose versions are recorded; the version is None if one is missing.
      device: the kind of accelerator, if it is used.

    Returns:
      The class of the machine, which names files of results, its processor, versions.
    """
    kind = f"{cores()}-cores" if device is None else re.sub(r"\W+", "-", device)
    return {
        "class": f"{platform.machine()}-{kind}",
        "processor": environment.cpu_name(),
        "python": platform.python_version(),
        **{name: _version(name) for name in libraries},
    }


def results_file(benchmark: str, machine: dict[str, Any]) -> pathlib.Path:
    """Returns the file for results of a benchmark on a machine, see `machine`."""
    return RESULTS / f"{benchmark}-{machine['class']}.json"


def command(benchmark: str) -> str:
    """Returns the shell command that started this process: a module of `benchmarks`."""
    words = ["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]
    tunables = os.environ.get("GLIBC_TUNABLES")
    return (f"GLIBC_TUNABLES={tunables} " if tunables else "") + shlex.join(words)


def write(
    file: pathlib.Path, command: str, machine: dict[str, Any], values: dict[str, Any]
) -> None:
    """Writes results after their date, command and machine."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "machine": machine,
        **values,
    }
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def rows(file: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the rows of the results in a file; none if there is no file."""
    if not file.exists():
        return []
    return json.loads(file.read_text(encoding="utf-8"))["rows"]


def with_row(
    kept: Sequence[dict[str, Any]], row: dict[str, Any], key: Sequence[str]
) -> list[dict[str, Any]]:
    """Puts a row in the place of the one with the same values of `key`.

    Returns:
      The rows, sorted by these values.
    """
    kept = [each for each in kept if any(each[name] != row[name] for name in key)]
    return sorted([*kept, row], key=lambda each: [each[name] for name in key])


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
