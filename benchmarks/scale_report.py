"""Prints the tables of docs/scaling.md, and draws its figure, from kept results.

    python -m benchmarks.scale_report memory|traffic|time
    python -m benchmarks.scale_report figure docs/scaling.svg

The results are those of `benchmarks.scale_plan`. The figure needs matplotlib:
pip install 'bertgen_jax[benchmarks]'.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import markdown, record, scale_model, scale_plan

Row = dict[str, Any]

KINDS = ("h100", "v5e", "v5p")
COLORS = {"h100": "#3a7d2c", "v5e": "#1f5fa8", "v5p": "#b5541c"}


def kept_rows(kinds: Sequence[str] = KINDS) -> list[Row]:
    """Returns the rows of all kept results, with the times of today's assumptions."""
    rows = []
    for kind in kinds:
        rows += record.rows(record.RESULTS / f"scale-plan-{kind}.json")
    rows.sort(
        key=lambda row: (
            row["model"],
            KINDS.index(row["device"]),
            row["data"] * row["fsdp"],
            row["fsdp"],
            row["rows"],
        )
    )
    return [row | {"times": scale_model.times(row)} for row in rows]


def memory_table(rows: Sequence[Row]) -> str:
    """Returns the memory of each mesh in Markdown."""
    lines = markdown.header(
        ["mesh", "model", "batch", "rows a device", "remat", "memory"]
    )
    for row in rows:
        share = row["total"] / row["available"]
        lines.append(
            markdown.line(
                [
                    _mesh(row),
                    row["model"],
                    f"{row['rows']:,} x {row['source']}/{row['target']}",
                    str(row["rows"] // (row["data"] * row["fsdp"])),
                    row["policy"],
                    f"{row['total'] / 1e9:.1f} GB, {share:.0%}",
                ]
            )
        )
    return "\n".join(lines) + "\n"


def traffic_table(rows: Sequence[Row]) -> str:
    """Returns what a device sends in a step, by kind of collective, in Markdown."""
    kinds = ["all-reduce", "all-gather", "reduce-scatter"]
    lines = markdown.header(["mesh", "model", "batch", *kinds, "other"])
    for row in rows:
        if row["data"] * row["fsdp"] == 1:
            continue
        sums = dict.fromkeys([*kinds, "other"], 0)
        for each in row["sent"]:
            sums[each["kind"] if each["kind"] in kinds else "other"] += each["bytes"]
        cells = [f"{size / 1e6:,.1f} MB" if size else "" for size in sums.values()]
        lines.append(
            markdown.line([_mesh(row), row["model"], f"{row['rows']:,}", *cells])
        )
    return "\n".join(lines) + "\n"


def time_table(rows: Sequence[Row]) -> str:
    """Returns the expected times of each mesh in Markdown."""
    head = ["mesh", "model", "batch", "TFLOP a device", "recomputed", "computing"]
    head += ["sending", "step", "efficiency", "examples/s", "MFU"]
    lines = markdown.header(head)
    for row in rows:
        times = row["times"]
        again = row["flops"] / row["model_flops"] - 1
        rates = [row["rows"] / times[name] for name in ("serial_s", "step_s")]
        lines.append(
            markdown.line(
                [
                    _mesh(row),
                    row["model"],
                    f"{row['rows']:,}",
                    f"{row['flops'] / 1e12:.2f}",
                    f"{again:.0%}",
                    f"{1e3 * times['compute_s']:.1f} ms",
                    f"{1e3 * times['collectives_s']:.1f} ms",
                    _range(1e3 * times["step_s"], 1e3 * times["serial_s"], ".1f", "ms"),
                    _range(
                        100 * times["serial_efficiency"],
                        100 * times["efficiency"],
                        ".0f",
                        "%",
                    ),
                    _range(*rates, ",.0f", ""),
                    f"{times['mfu']:.0%}",
                ]
            )
        )
    return "\n".join(lines) + "\n"


TABLES = {"memory": memory_table, "traffic": traffic_table, "time": time_table}


def series(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Returns the lines of the figure.

    Returns:
      By panel, "weak" and "strong": the kind of device and the mesh of each line, and
      its points: devices, and the lowest and highest efficiency.
    """
    panels: dict[str, list[dict[str, Any]]] = {"weak": [], "strong": []}
    for panel, lines in panels.items():
        for kind in KINDS:
            for is_split in (False, True):
                chosen = [
                    row
                    for row in rows
                    if row["device"] == kind
                    and row["model"] == "base"
                    and (row["fsdp"] > 1) == is_split
                    and _is_of(panel, row)
                ]
                if not chosen:
                    continue
                lines.append(
                    {
                        "device": kind,
                        "mesh": "fsdp=8" if is_split else "data",
                        "points": [
                            [
                                row["data"] * row["fsdp"],
                                round(row["times"]["serial_efficiency"], 4),
                                round(row["times"]["efficiency"], 4),
                            ]
                            for row in chosen
                        ],
                    }
                )
    return panels


def draw(panels: dict[str, list[dict[str, Any]]], file: pathlib.Path) -> None:
    """Draws the lines of `series`; the file also holds their numbers."""
    try:
        import matplotlib as mpl
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise SystemExit(
            f"{error}: the figure needs pip install 'bertgen_jax[benchmarks]'"
        ) from error
    mpl.rcParams.update({"svg.hashsalt": "bertgen_jax", "svg.fonttype": "none"})
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    titles = {
        "weak": "The batch grows with the devices",
        "strong": f"The paper's batch, {scale_plan.PAPER}, is shared",
    }
    for axis, (panel, lines) in zip(axes, panels.items(), strict=True):
        for line in lines:
            devices, low, high = zip(*line["points"], strict=True)
            color = COLORS[line["device"]]
            style = "--" if line["mesh"] != "data" else "-"
            label = f"{line['device']}, {line['mesh']}"
            axis.plot(devices, high, style, marker="o", color=color, label=label)
            axis.plot(devices, low, style, marker="v", color=color, alpha=0.5)
            axis.fill_between(devices, low, high, color=color, alpha=0.1)
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 8, 64, 256], ["1", "8", "64", "256"])
        axis.set_xlabel("devices")
        axis.set_ylim(0, 1.05)
        axis.set_title(titles[panel], fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower left")
    axes[0].set_ylabel("share of a step that computes")
    figure.tight_layout()
    figure.savefig(
        file,
        format="svg",
        metadata={"Date": None, "Creator": None, "Description": json.dumps(panels)},
    )


def _is_of(panel: str, row: Row) -> bool:
    devices = row["data"] * row["fsdp"]
    if panel == "strong":
        return row["rows"] == scale_plan.PAPER
    return row["rows"] // devices == (32 if row["device"] == "v5e" else 64)


def _mesh(row: Row) -> str:
    star = "" if row["compiled"] else "*"
    return f"{row['device']}, {row['data']} x {row['fsdp']}{star}"


def _range(low: float, high: float, form: str, unit: str) -> str:
    """Formats two numbers as a range, or as one if they look the same."""
    texts = format(low, form), format(high, form)
    space = "" if unit in ("%", "") else " "
    shown = texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"
    return f"{shown}{space}{unit}"


def main() -> int:
    """Prints a table, or draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=[*TABLES, "figure"])
    parser.add_argument("file", type=pathlib.Path, nargs="?", help="of the figure")
    options = parser.parse_args()
    rows = kept_rows()
    if options.what != "figure":
        print(TABLES[options.what](rows), end="")
        return 0
    if options.file is None:
        parser.error("figure: expected a file, such as docs/scaling.svg")
    draw(series(rows), options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
