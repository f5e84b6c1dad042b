"""What a benchmark found in, a JSON file out; and what the machine is."""

import datetime
import json
import os
import pathlib
import platform
import re
from importlib import metadata
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine(*libraries: str, device: str | None = None) -> dict[str, Any]:
    """What it was measured on.

    Args:
      *libraries: whose versions matter; None stands for one that is not installed.
      device: the kind of accelerator, if it was measured on one.

    Returns:
      Its class, which names the file of results, its processor and versions.
    """
    kind = f"{cores()}-cores" if device is None else re.sub(r"\W+", "-", device)
    return {
        "class": f"{platform.machine()}-{kind}",
        "processor": _processor(),
        "python": platform.python_version(),
        **{name: _version(name) for name in libraries},
    }


def results_file(benchmark: str, found: dict[str, Any]) -> pathlib.Path:
    """Where the results of a benchmark lie that ran on `machine()`."""
    return RESULTS / f"{benchmark}-{found['class']}.json"


def write(
    file: pathlib.Path, command: str, found: dict[str, Any], values: dict[str, Any]
) -> None:
    """Writes results with their date, command and machine before them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command,
        "machine": found,
        **values,
    }
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _processor() -> str | None:
    """As Linux calls it; on x86, where it has a name."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return None if name is None else name[1]


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
