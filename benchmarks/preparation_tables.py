"""Prints the results of `benchmarks.tokenize` or `.initialize` as a table of the docs.

python -m benchmarks.preparation_tables benchmarks/results/tokenize-CLASS.json
"""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]


def tokenizing(results: Results) -> str:
    """Returns the results of `benchmarks.tokenize` in Markdown."""
    names = list(results["rows"][0]["seconds"])
    head = ["tokenizer", *names, "8 cores, computed", "1 core", "all", "8"]
    lines = [_origin(results), "", *_header(head)]
    for row in results["rows"]:
        times = [*row["seconds"].values(), row["eight_cores_computed_s"]]
        ratios = list(row["ratios"].values())
        cells = [row["tokenizer"], *(f"{seconds:.2f} s" for seconds in times)]
        lines.append(_line([*cells, *(f"{ratio:.1f}x" for ratio in ratios[:3])]))
    lines += [
        "",
        f"Each is the time of {results['rows'][0]['examples']:,} pairs. The last three "
        "columns are the baseline's time over ours: on one core, on all cores of the "
        "machine, and the baseline on one core over ours on eight.",
        "",
        *_header(["MB", "before", "peak", "largest other process"]),
    ]
    for name, memory in results["memory_mb"].items():
        lines.append(_line([name, *map(str, memory.values())]))
    return "\n".join(lines) + "\n"


def initializing(results: Results) -> str:
    """Returns the results of `benchmarks.initialize` in Markdown."""
    head = ["size", "parameters", "model.init", "CPU", "draw_params", "CPU", "ratio"]
    lines = [_origin(results), "", *_header(head)]
    for row in results["rows"]:
        times = [
            f"{row[f'{name} {field}']:.1f} s"
            for name in ("model.init", "draw_params")
            for field in ("seconds", "cpu_s")
        ]
        cells = [row["size"], f"{row['parameters']:,}", *times]
        lines.append(_line([*cells, f"{row['ratio']:.1f}x"]))
    return "\n".join(lines) + "\n"


def _origin(results: Results) -> str:
    machine = results["machine"]
    versions = [
        f"{name} {version}"
        for name, version in machine.items()
        if name not in ("class", "processor", "python", "bertgen_jax")
    ]
    return (
        f"{results['date']}, {machine['class']} ({machine['processor']}); "
        f"{', '.join(versions)}; load before the run {results['load']:g}. Medians of "
        f"{results['repeats']} rounds. `{results['command']}`"
    )


def _header(cells: list[str]) -> list[str]:
    return [_line(cells), "|---" * len(cells) + "|"]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, help="JSON file")
    path = parser.parse_args().results
    results = json.loads(path.read_text(encoding="utf-8"))
    is_tokenizing = "memory_mb" in results
    print((tokenizing if is_tokenizing else initializing)(results), end="")


if __name__ == "__main__":
    main()
