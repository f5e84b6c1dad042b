"""Prints the kept results of a benchmark of training as a table of the docs.

python -m benchmarks.training_tables benchmarks/results/tokenize-CLASS.json
"""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from benchmarks import markdown

Results = Mapping[str, Any]


def tokenizing(results: Results) -> str:
    """Returns the results of `benchmarks.tokenize` in Markdown."""
    names = list(results["rows"][0]["seconds"])
    head = ["tokenizer", *names, "8 cores, computed", "1 core", "all", "8"]
    lines = [_origin(results), "", *markdown.header(head)]
    for row in results["rows"]:
        ratios = list(row["ratios"].values())
        cells = [row["tokenizer"]]
        cells += [
            f"{row['seconds'][name]:.2f} ({row['cpu_s'][name]:.2f})" for name in names
        ]
        cells.append(f"{row['eight_cores_computed_s']:.2f}")
        lines.append(
            markdown.line([*cells, *(f"{ratio:.1f}x" for ratio in ratios[:3])])
        )
    lines += [
        "",
        markdown.wrapped(
            f"Seconds for {results['rows'][0]['examples']:,} pairs, and CPU seconds of "
            "all processes. The last three columns are the baseline's time over ours: "
            "on one core, on all cores, and the baseline on one core over ours on "
            "eight."
        ),
    ]
    return "\n".join(lines) + "\n"


def memory(results: Results) -> str:
    """Returns the results of `benchmarks.tokenize --memory` in Markdown."""
    lines = [_origin(results), ""]
    lines += markdown.header(
        ["resident memory", "before", "peak", "largest other process"]
    )
    for row in results["rows"]:
        sizes = (f"{row[field]} MB" for field in ("before", "peak", "worker_peak"))
        lines.append(markdown.line([row["case"], *sizes]))
    return "\n".join(lines) + "\n"


def initializing(results: Results) -> str:
    """Returns the results of `benchmarks.initialize` in Markdown."""
    head = ["size", "parameters", "Flax", "CPU", "ours", "CPU", "ratio"]
    lines = [_origin(results), "", *markdown.header(head)]
    for row in results["rows"]:
        times = [
            f"{row[f'{name} {field}']:.1f} s"
            for name in ("model.init", "draw_params")
            for field in ("seconds", "cpu_s")
        ]
        cells = [row["size"], f"{row['parameters']:,}", *times]
        lines.append(markdown.line([*cells, f"{row['ratio']:.1f}x"]))
    return "\n".join(lines) + "\n"


def padding(results: Results) -> str:
    """Returns the results of `benchmarks.padding` in Markdown."""
    names = list(results["rows"][0]["padding"])
    lines = [_origin(results), "", *markdown.header(["corpus", "batch", *names])]
    for row in results["rows"]:
        shares = (f"{row['padding'][name]:.0%}" for name in names)
        lines.append(markdown.line([row["corpus"], str(row["batch"]), *shares]))
    return "\n".join(lines) + "\n"


def first_step(results: Results) -> str:
    """Returns the results of `benchmarks.first_step` in Markdown."""
    names = [n for n in results["rows"][0] if n not in ("size", "kind", "cpu_s")]
    lines = [_origin(results), "", *markdown.header(["size", "", *names, "CPU"])]
    for row in results["rows"]:
        times = (f"{row[name]:.1f} s" for name in (*names, "cpu_s"))
        lines.append(markdown.line([row["size"], row["kind"], *times]))
    return "\n".join(lines) + "\n"


def epoch(results: Results) -> str:
    """Returns the results of `benchmarks.train_epoch` in Markdown."""
    head = ["system", "all", "training", "CPU", "padding", "loss", "all / ours"]
    lines = [_origin(results), "", *markdown.header(head)]
    for row in results["rows"]:
        seconds = (f"{row[name]:.0f} s" for name in ("seconds", "train_s", "cpu_s"))
        cells = [row["system"], *seconds, f"{row['padding']:.0%}"]
        cells += [f"{row['loss']:.3f}", f"{row['ours_is_faster']:.2f}x"]
        lines.append(markdown.line(cells))
    sizes = (
        f"{results['size']}, an epoch of {results['pairs']:,} pairs in batches of "
        f"{results['batch']}; {results['validation']:,} validation pairs, "
        f"{results['beams']} beams, at most {results['new_tokens']} tokens."
    )
    return "\n".join([*lines, "", markdown.wrapped(sizes)]) + "\n"


def step(results: Results) -> str:
    """Returns the results of `benchmarks.train_step` in Markdown."""
    names = list(results["rows"][0]["systems"])
    head = ["size, batch", *names, "theirs / ours", "floor", "floor / ours", "tokens/s"]
    lines = [_origin(results), "", *markdown.header(head)]
    for row in results["rows"]:
        systems = row["systems"].values()
        times = (f"{s['median_s']:.2f} s ({s['min_s']:.2f})" for s in systems)
        ratios = [f"{s['ratio']:.2f}x" for s in systems if "ratio" in s]
        cells = [f"{row['size']}, {row['batch']}", *times, ", ".join(ratios)]
        cells += [f"{row['floor_s']:.2f} s", f"{row['floor_share']:.0%}"]
        lines.append(markdown.line([*cells, f"{row['tokens_per_s']:,}"]))
    sizes = (
        f"{results['source']}/{results['target']} tokens, {results['dtype']}, dropout "
        f"{results['dropout']:g}: the median of {results['repeats']} steps, and the "
        "shortest."
    )
    return "\n".join([*lines, "", markdown.wrapped(sizes)]) + "\n"


def _origin(results: Results) -> str:
    machine = results["machine"]
    versions = [
        f"{name} {version}"
        for name, version in machine.items()
        if name not in ("class", "processor", "python", "bertgen_jax")
    ]
    return markdown.wrapped(
        f"{results['date']}, {machine['class']} ({machine['processor']}); "
        f"{', '.join(versions)}; load before the run {results['load']:g}"
        + (f"; repeats: {results['repeats']}" if "repeats" in results else "")
        + f". `{results['command']}`"
    )


def table(path: pathlib.Path) -> str:
    """Returns the results in a file in Markdown."""
    results = json.loads(path.read_text(encoding="utf-8"))
    row = results["rows"][0]
    tables = {
        "worker_peak": memory,
        "tokenizer": tokenizing,
        "kind": first_step,
        "system": epoch,
        "systems": step,
        "padding": padding,
        "ratio": initializing,
    }
    return next(table for field, table in tables.items() if field in row)(results)


def main() -> None:
    """Prints the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=pathlib.Path, help="JSON file")
    print(table(parser.parse_args().results), end="")


if __name__ == "__main__":
    main()
