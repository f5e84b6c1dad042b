"""Prints the results of `benchmarks.decode` as the table of docs/generation.md.

python -m benchmarks.decode_table benchmarks/results/decode-CLASS.json
"""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from benchmarks import markdown, system

Row = Mapping[str, Any]


def tables(results: Mapping[str, Any]) -> str:
    """Returns the results of a run in Markdown."""
    machine, rates = results["machine"], results["rates"]
    processor = f" ({machine['processor']})" if "processor" in machine else ""
    lines = [
        f"{results['date']}, {machine['class']}{processor}, {results['dtype']}; "
        f"jax {machine['jax']}, torch {machine['torch']}, transformers "
        f"{machine['transformers']}, CTranslate2 {machine['ctranslate2']}. The machine "
        f"reads {rates['read'] / 1e9:.0f} GB/s and multiplies "
        f"{rates['multiply'] / 1e9:.0f} GFLOP/s; load before the run "
        f"{results['load']:g}. Medians of {results['repeats']} rounds. "
        f"`{results['command']}`",
        "",
    ]
    names = list(results["rows"][0]["systems"])
    names.remove(system.Ours.name)
    head = ["case", "size", "batch", "beams", "ours", *names, "of the floor"]
    lines += markdown.header(head)
    for row in results["rows"]:
        ours = row["systems"][system.Ours.name]["median_s"]
        cells = [row["case"], row.get("size", "small"), row["batch"], row["beams"]]
        cells.append(f"{ours:.2f} s")
        for name in names:
            times = row["systems"].get(name)
            cells.append("" if times is None else f"{times['ratio']:.2f}x")
        floor = row.get("floor")
        cells.append("" if floor is None else f"{floor['reached']:.0%}")
        lines.append(markdown.line(map(str, cells)))
    lines += ["", "Their time over ours: above 1x, we are faster."]
    lines.append(_agreement(results["rows"], names))
    for row in results["rows"]:
        if "shell" in row:
            lines.append(
                f"The shell command of the last row, which loads and compiles, took "
                f"{row['shell']['seconds']:.0f} s."
            )
    return "\n".join(lines) + "\n"


def _agreement(rows: list[Row], names: list[str]) -> str:
    """States how many texts of each system equal ours."""
    parts = []
    for name in names:
        shares = [
            row["systems"][name]["agreement"] for row in rows if name in row["systems"]
        ]
        if shares:
            parts.append(f"{name} {min(shares):.1%} to {max(shares):.1%}")
    return f"Texts equal to ours: {', '.join(parts)}."


def main() -> None:
    """Prints the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, help="JSON file")
    options = parser.parse_args()
    print(tables(json.loads(options.results.read_text(encoding="utf-8"))), end="")


if __name__ == "__main__":
    main()
