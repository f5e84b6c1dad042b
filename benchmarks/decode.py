"""Measures how fast we generate, beside Hugging Face on torch and CTranslate2.

    python -m benchmarks.decode [--model=DIR] [--sizes=small,base] [--batches=4,16]
        [--beams=1,4] [--cases=fixed,real,end-to-end] [--repeats=5] [--output=FILE]

All systems have the same weights, read the same ids and search with the same settings,
in turn in one process. There are three cases:

  fixed       128 random tokens to exactly 64.
  real        WikiSplit's sentences. The weights are random, but a bias of EOS makes the
              targets as long as the references, at most 64 tokens.
  end-to-end  1,000 sentences, text to text, with the model of --model, or a small one
              with such weights.

Ratios are their time over ours: above 1, we are faster. Each fixed case is printed with
its floor, the least time that the machine needs for it (`floor`). On a GPU all systems
compute in bfloat16, except text to text, and base has one more batch: 64 sources with 4
beams.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

import jax

from benchmarks import arguments, decode_cases, floor, record, wikisplit
from benchmarks.decode_cases import Row, Skip
from benchmarks.system import Setting
from bertgen_jax.models import presets

DEFAULTS = {
    "sizes": ["small", "base"],
    "batches": [4, 16],
    "beams": [1, 4],
    "cases": ["fixed", "real", "end-to-end"],
}
GPU_SIZE, GPU_SHAPE = "base", (64, 4)  # batch, beams
LIBRARIES = (
    *("bertgen_jax", "jax", "jaxlib", "numpy"),
    *("torch", "transformers", "ctranslate2"),
)
LEAST_AGREEMENT = 0.9  # with Hugging Face in f32; rounding decides some ties


def main() -> int:
    """Prints the results; writes them on request, or if all cases were measured."""
    options, setting = _options(), Setting.of_this_machine()
    kind = jax.devices()[0].device_kind if setting.device == "cuda" else None
    machine = record.machine(*LIBRARIES, device=kind)
    load = os.getloadavg()[0]  # before we add to it; it should be near 0
    rates = floor.measure(setting.dtype)
    print(
        f"{machine['class']}, {setting.dtype}, load {load:.1f}; "
        f"reads {rates.read / 1e9:.1f} GB/s, "
        f"multiplies {rates.multiply / 1e9:,.0f} GFLOP/s\n"
    )
    rows, skipped = [], []

    def skip(reason: str) -> None:
        if reason not in skipped:
            skipped.append(reason)
            print(f"skipped: {reason}\n", flush=True)

    for row in _rows(options, setting, rates, skip):
        rows.append(row)
        print(f"{_described(row)}\n", flush=True)

    agreement = _agreement(rows)
    if setting.dtype == "float32" and agreement < LEAST_AGREEMENT:
        print(
            f"{agreement:.0%} of the texts equal Hugging Face's; expected at least "
            f"{LEAST_AGREEMENT:.0%}, or the systems did different work. Nothing is "
            "written.",
            file=sys.stderr,
        )
        return 1
    is_whole = all(getattr(options, name) == DEFAULTS[name] for name in DEFAULTS)
    if options.output or is_whole:
        record.write(
            options.output or record.results_file("decode", machine),
            record.command("decode"),
            machine,
            {
                "dtype": setting.dtype,
                "load": round(load, 2),
                "repeats": options.repeats,
                "rates": dataclasses.asdict(rates),
                "skipped": skipped,
                "rows": rows,
            },
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    listed = {
        "sizes": arguments.names(presets.SIZES),
        "cases": arguments.names(DEFAULTS["cases"]),
    }
    for name, default in DEFAULTS.items():
        parser.add_argument(
            f"--{name}",
            type=listed.get(name, arguments.counts),
            default=default,
            help=f"by default {','.join(map(str, default))}",
        )
    parser.add_argument(
        "--repeats", type=arguments.count, default=5, help="rounds that are timed"
    )
    parser.add_argument("--model", help="model directory for end-to-end")
    parser.add_argument("--sentences", type=int, default=1000, help="for end-to-end")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="JSON file; by default one in results/ if no case is left out",
    )
    options = parser.parse_args()
    config = pathlib.Path(options.model or "") / "config.json"
    if options.model and not config.is_file():
        parser.error(f"--model: there is no {config}")
    return options


def _rows(
    options: argparse.Namespace, setting: Setting, rates: floor.Rates, skip: Skip
) -> Iterator[Row]:
    """Measures all cases, one after the other."""
    for size in options.sizes:
        shapes = list(itertools.product(options.batches, options.beams))
        if setting.device == "cuda" and size == GPU_SIZE and GPU_SHAPE not in shapes:
            shapes.append(GPU_SHAPE)
        options_of_case = (options.repeats, setting)
        if "fixed" in options.cases:
            yield from decode_cases.fixed(size, shapes, *options_of_case, rates, skip)
        if "real" in options.cases:
            try:
                yield from decode_cases.real(size, shapes, *options_of_case, skip)
            except LookupError as error:
                skip(f"real: {error}")
    if "end-to-end" in options.cases:
        yield from _end_to_end(options, setting, skip)


def _end_to_end(
    options: argparse.Namespace, setting: Setting, skip: Skip
) -> Iterator[Row]:
    try:
        # Imported here, because it needs transformers.
        from benchmarks import end_to_end

        texts = [source for source, _ in wikisplit.pairs()[: options.sentences]]
    except (ImportError, LookupError) as error:
        skip(f"end-to-end: {error}")
        return
    with contextlib.ExitStack() as stack:
        model = options.model
        if model is None:
            model = stack.enter_context(decode_cases.random_model("small", setting))
        repeats = max(1, options.repeats // 3)  # a thousand texts vary less
        yield end_to_end.measure(model, texts, repeats, setting.device)


def _described(row: Row) -> str:
    """Returns a row as lines: the case, then each system, then the floor."""
    title = [row["case"], *([row["size"]] if "size" in row else [])]
    title += [f"batch {row['batch']}", f"beams {row['beams']}"]
    title.append(f"{row['sentences']} sentences")
    if "median_tokens" in row:
        title.append(
            f"to {row['median_tokens']:g} tokens, {row['distinct']:.0%} are distinct"
        )
    lines = [", ".join(title)]
    for name, times in row["systems"].items():
        spread = f"({times['min_s']:.3f} to {times['max_s']:.3f})"
        lines.append(f"  {name:22}{times['median_s']:8.3f} s {spread:20}")
        if "tokens" in times:
            lines[-1] += f"{times['tokens']:6} tokens"
        if "ratio" in times:
            lines[-1] += f"{times['ratio']:7.2f}x  {times['agreement']:6.1%} the same"
    if "shell" in row:
        lines.append(
            f"  {'shell command':22}{row['shell']['seconds']:8.3f} s, loads and "
            f"compiles  {row['shell']['agreement']:7.1%} the same"
        )
    if "floor" in row:
        least = row["floor"]
        lines.append(
            f"  {'floor':22}{least['total_s']:8.3f} s, {1e3 * least['step_s']:.2f} ms "
            f"a step: we reach {least['reached']:.0%} of it"
        )
    return "\n".join(line.rstrip() for line in lines)


def _agreement(rows: Sequence[Row]) -> float:
    """Returns the share of all texts that equal Hugging Face's; 1 without it.

    It is not checked for each row, because with random weights rounding may well change
    one of four long texts.
    """
    texts = [
        (row["sentences"], row["systems"]["transformers"]["agreement"])
        for row in rows
        if "transformers" in row["systems"]
    ]
    total = sum(number for number, _ in texts)
    return sum(number * share for number, share in texts) / total if total else 1.0


if __name__ == "__main__":
    sys.exit(main())
