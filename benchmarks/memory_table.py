"""Prints the results of `benchmarks.memory` as the table of docs/performance.md.

python -m benchmarks.memory_table benchmarks/results/memory-h100.json ...
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks import markdown

_HEAD = ["device", "model, batch", "remat", "temporaries", "in all", "predicted", ""]


def table(files: Sequence[pathlib.Path]) -> str:
    """Returns the results of several devices in Markdown."""
    lines, origins = [], []
    for file in files:
        results = json.loads(file.read_text(encoding="utf-8"))
        machine = results["machine"]
        versions = f"{results['date']}, jax {machine['jax']}"
        if versions not in origins:
            origins.append(versions)
        available = f"{results['available'] / 1e9:.1f} GB"
        name = results["device"]
        device = "this machine's CPU" if name == "here" else name
        for row in results["rows"]:
            lines.append(markdown.line(_cells(f"{device}, {available}", row)))
    head = markdown.header(_HEAD)
    note = markdown.wrapped(
        f"{'; '.join(origins)}. bf16, on a CPU f32; {_lengths(files)} tokens; bytes on "
        "one device. `auto` stands before the policy that it takes. `python -m "
        "benchmarks.memory --device=h100`, and so on.",
    )
    return "\n".join([*head, *lines, "", note]) + "\n"


def _cells(device: str, row: dict[str, Any]) -> list[str]:
    policy = row["policy"]
    if row["requested"] != policy:
        policy = f"{row['requested']}: {policy}"
    measured = [
        f"{row[name] / 1e9:.1f} GB" if row[name] else ""
        for name in ("temporaries", "total", "predicted")
    ]
    fits = "fits" if row["fits"] else "does not fit"
    return [device, f"{row['size']}, {row['batch']}", policy, *measured, fits]


def _lengths(files: Sequence[pathlib.Path]) -> str:
    lengths = {
        f"{row['source']}/{row['target']}"
        for file in files
        for row in json.loads(file.read_text(encoding="utf-8"))["rows"]
    }
    return ", ".join(sorted(lengths))


def main() -> None:
    """Prints the table of several files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, nargs="+", help="JSON files")
    print(table(parser.parse_args().results), end="")


if __name__ == "__main__":
    main()
