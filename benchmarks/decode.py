"""How fast we generate, beside Hugging Face on torch and CTranslate2.

    python -m benchmarks.decode [--model=DIR] [--sizes=small,base] [--batches=4,16]
        [--beams=1,4] [--cases=fixed,real,end-to-end] [--repeats=5] [--output=FILE]

All have the same weights, read the same ids and search with the same settings, in turn
in one process. Three cases:

  fixed       128 random tokens to exactly 64.
  real        WikiSplit's sentences; a bias of EOS makes what random weights say of them
              as long as the references, at most 64 tokens.
  end-to-end  1,000 sentences, text to text, with the model of --model, or a small one
              of such weights.

Ratios are theirs over ours: above 1, we are faster. Beside each fixed case stands its
floor, the least time that the machine needs for it (`floor`). On a GPU all compute in
bfloat16, text to text excepted, and base has one more batch: 64 sources with 4 beams.
"""

import argparse
import contextlib
import dataclasses
import itertools
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from benchmarks import decode_cases, floor, record, wikisplit
from benchmarks.decode_cases import Row, Skip
from benchmarks.system import Setting
from bertgen_jax.models import presets

DEFAULTS = {
    "sizes": ("small", "base"),
    "batches": (4, 16),
    "beams": (1, 4),
    "cases": ("fixed", "real", "end-to-end"),
}
GPU_SIZE, GPU_SHAPE = "base", (64, 4)  # batch, beams
LIBRARIES = (
    *("bertgen_jax", "jax", "jaxlib", "numpy"),
    *("torch", "transformers", "ctranslate2"),
)
LEAST_AGREEMENT = 0.9  # with Hugging Face in f32; rounding may decide between equals


def main() -> int:
    """Prints what is found; writes it if asked to, or if all of it was measured."""
    options, setting = _options(), Setting.of_this_machine()
    kind = jax.devices()[0].device_kind if setting.device == "cuda" else None
    machine = record.machine(*LIBRARIES, device=kind)
    load = os.getloadavg()[0]  # before we add to it; a benchmark wants 0
    rates = floor.measure(setting.dtype)
    print(
        f"{machine['class']}, {setting.dtype}, load {load:.1f}; "
        f"reads {rates.read / 1e9:.1f} GB/s, "
        f"multiplies {rates.multiply / 1e9:,.0f} GFLOP/s\n"
    )
    rows, skipped = [], []

    def skip(what: str) -> None:
        if what not in skipped:
            skipped.append(what)
            print(f"skipped: {what}\n", flush=True)

    for row in _rows(options, setting, rates, skip):
        rows.append(row)
        print(f"{_described(row)}\n", flush=True)

    common = _in_common(rows)
    if setting.dtype == "float32" and common < LEAST_AGREEMENT:
        print(
            f"{common:.0%} of the texts are those of Hugging Face; expected at least "
            f"{LEAST_AGREEMENT:.0%}: something else was measured. Nothing is written.",
            file=sys.stderr,
        )
        return 1
    is_whole = all(getattr(options, name) == DEFAULTS[name] for name in DEFAULTS)
    if options.output or is_whole:
        record.write(
            options.output or record.results_file("decode", machine),
            shlex.join(["python", "-m", "benchmarks.decode", *sys.argv[1:]]),
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
    for name, default in DEFAULTS.items():
        parser.add_argument(
            f"--{name}",
            type=_listed(type(default[0])),
            default=default,
            help=f"by default {','.join(map(str, default))}",
        )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are timed")
    parser.add_argument("--model", help="directory; of end-to-end")
    parser.add_argument("--sentences", type=int, default=1000, help="of end-to-end")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="JSON file; by default one in results/, unless cases are left out",
    )
    options = parser.parse_args()
    for name, known in (("sizes", presets.SIZES), ("cases", DEFAULTS["cases"])):
        for value in getattr(options, name):
            if value not in known:
                parser.error(f"--{name}: {value!r} is none of {', '.join(known)}")
    config = pathlib.Path(options.model or "") / "config.json"
    if options.model and not config.is_file():
        parser.error(f"--model: there is no {config}")
    return options


def _listed(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Reads an option of several values: "4,16"."""
    return lambda text: tuple(map(kind, text.split(",")))


def _rows(
    options: argparse.Namespace, setting: Setting, rates: floor.Rates, skip: Skip
) -> Iterator[Row]:
    """All cases, one after the other."""
    for size in options.sizes:
        shapes = list(itertools.product(options.batches, options.beams))
        if setting.device == "cuda" and size == GPU_SIZE and GPU_SHAPE not in shapes:
            shapes.append(GPU_SHAPE)
        how = (options.repeats, setting)
        if "fixed" in options.cases:
            yield from decode_cases.fixed(size, shapes, *how, rates, skip)
        if "real" in options.cases:
            try:
                yield from decode_cases.real(size, shapes, *how, skip)
            except LookupError as error:
                skip(f"real: {error}")
    if "end-to-end" in options.cases:
        yield from _end_to_end(options, setting, skip)


def _end_to_end(
    options: argparse.Namespace, setting: Setting, skip: Skip
) -> Iterator[Row]:
    try:
        # Here, because it needs the peer.
        from benchmarks import end_to_end

        texts = [source for source, _ in wikisplit.pairs()[: options.sentences]]
    except (ImportError, LookupError) as error:
        skip(f"end-to-end: {error}")
        return
    with contextlib.ExitStack() as stack:
        model = options.model
        if model is None:
            model = stack.enter_context(decode_cases.random_model("small", setting))
        repeats = max(1, options.repeats // 3)  # a thousand texts are many repeats
        yield end_to_end.measure(model, texts, repeats, setting.device)


def _described(row: Row) -> str:
    """A row as lines: what it is, then each system, then the floor."""
    title = [row["case"], *([row["size"]] if "size" in row else [])]
    title += [f"batch {row['batch']}", f"beams {row['beams']}"]
    title.append(f"{row['sentences']} sentences")
    if "median_tokens" in row:
        title.append(
            f"to {row['median_tokens']:g} tokens, {row['distinct']:.0%} are distinct"
        )
    lines = [", ".join(title)]
    for name, one in row["systems"].items():
        spread = f"({one['min_s']:.3f} to {one['max_s']:.3f})"
        lines.append(f"  {name:22}{one['median_s']:8.3f} s {spread:20}")
        if "tokens" in one:
            lines[-1] += f"{one['tokens']:6} tokens"
        if "ratio" in one:
            lines[-1] += f"{one['ratio']:7.2f}x  {one['agreement']:6.1%} the same"
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


def _in_common(rows: Sequence[Row]) -> float:
    """The share of all texts that Hugging Face found as well; 1 without it.

    Not of each row: of four long texts of random weights rounding may well change one.
    """
    texts = [
        (row["sentences"], peer["agreement"])
        for row in rows
        if (peer := row["systems"].get("transformers")) is not None
    ]
    total = sum(number for number, _ in texts)
    return sum(number * share for number, share in texts) / total if total else 1.0


if __name__ == "__main__":
    sys.exit(main())
