"""`bertgen score`: texts that anyone has made, compared with references."""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bertgen_jax import file_scoring
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import baselines, catalogue, rouge, significance
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.score import Score, scores

_SIGNIFICANT = 0.05


def define(parser: argparse.ArgumentParser) -> None:
    """Says what the command takes."""
    parser.usage = "bertgen score --predictions FILE [--references FILE ...] [options]"
    parser.description = (
        "Scores predictions, with 95% intervals and all that fixes each number. Row n "
        "of each file belongs to the same example."
    )
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--predictions",
        required=True,
        metavar="FILE",
        help="a text a line; or .jsonl, .json, .csv, .tsv; each also .gz",
    )
    parser.add_argument(
        "--references",
        nargs="+",
        default=(),
        metavar="FILE",
        help="the right answers: several files, or several columns of a .tsv, or lists "
        "in a .jsonl are several references. By default they stand beside the "
        "predictions, as in WORKDIR/predictions/SPLIT-STEP.jsonl",
    )
    parser.add_argument(
        "--sources", metavar="FILE", help="the input texts, for SARI and novelty"
    )
    parser.add_argument(
        "--metrics",
        default="rouge",
        metavar="NAMES",
        help="joined by commas, of those listed below (rouge)",
    )
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="another system's predictions: p-values of the differences",
    )
    parser.add_argument(
        "--baseline",
        choices=baselines.BASELINES,
        help="what nobody had to learn, beside it; made of the sources",
    )
    parser.add_argument("--output", metavar="FILE", help="all of it as JSON")
    columns = parser.add_argument_group(
        "columns", description="of objects and tables, where they have other names"
    )
    for name in ("prediction", "reference", "source"):
        columns.add_argument(f"--{name}-column", metavar="NAME")
    group = parser.add_argument_group("ROUGE")
    group.add_argument(
        "--stemming",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare stems of words (yes)",
    )
    group.add_argument(
        "--sentence-ends",
        choices=rouge.SENTENCE_ENDS,
        default="newline",
        help="of rougeLsum: line ends (the default), or found in the text too",
    )
    group.add_argument(
        "--multi-reference",
        choices=rouge.MULTI_REFERENCE,
        default="best",
        help="what several references give (best)",
    )
    group.add_argument(
        "--wordnet-exceptions",
        metavar="PATH",
        help="irregular forms for rouge155: ROUGE-1.5.5's data/WordNet-2.0-Exceptions",
    )
    drawn = parser.add_argument_group("intervals and p-values")
    drawn.add_argument(
        "--samples", type=int, default=1_000, metavar="N", help="resamples (1000)"
    )
    drawn.add_argument("--seed", type=int, default=0, metavar="N", help="of them (0)")


_EXAMPLES = "metrics:\n" + "\n".join(
    f"  {name:18} {metric.description}" for name, metric in catalogue.METRICS.items()
)
_EXAMPLES += """

examples:
  bertgen score --predictions runs/papers/predictions/test-300.jsonl
  bertgen score --predictions output.de --references test.de --metrics bleu,chrf
  bertgen score --predictions ours.txt --references a.txt b.txt --sources in.txt \\
      --metrics sari,exact --compare theirs.txt --output scores.json
"""


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    names = [name for name in options.metrics.replace(" ", "").split(",") if name]
    if not names:
        raise ConfigError("--metrics names none; expected some, such as rouge,bleu.")
    choices = _choices(options)
    for name in names:  # before files are read
        catalogue.metric(name)
    outputs = file_scoring.read(
        options.predictions,
        options.references,
        options.sources,
        prediction_column=options.prediction_column,
        reference_column=options.reference_column,
        source_column=options.source_column,
    )
    measured = catalogue.measure(names, outputs, choices)
    resamples = Resamples(len(outputs), options.samples, options.seed)
    found = scores(measured, resamples)
    compared: dict[str, Any] = {}
    if options.compare:
        others = file_scoring.read_predictions(
            options.compare, options.prediction_column, outputs
        )
        their_own = catalogue.measure(names, others, choices)
        compared = _compared(measured, their_own, resamples)
    trivial: dict[str, Score] = {}
    if options.baseline:
        answer = baselines.BASELINES[options.baseline]
        sources = outputs.known_sources(f"The baseline {options.baseline}")
        answers = outputs.replace_predictions([answer(source) for source in sources])
        trivial = scores(catalogue.measure(names, answers, choices), resamples)
    if options.output:
        content: dict[str, Any] = {
            "predictions": options.predictions,
            "references": list(options.references) or [options.predictions],
            "sources": options.sources,
            "examples": len(outputs),
            "scores": {name: vars(score) for name, score in found.items()},
        }
        if trivial:
            content["baseline"] = options.baseline
            content["baseline_scores"] = {n: vars(one) for n, one in trivial.items()}
        if compared:
            content |= {"compared_with": options.compare, "comparison": compared}
        _write(pathlib.Path(options.output), content)
    columns = {"score": found, **({options.baseline: trivial} if trivial else {})}
    _show(options, len(outputs), columns, compared)
    return 0


def _choices(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    shared = {
        "sentence_ends": options.sentence_ends,
        "multi_reference": options.multi_reference,
    }
    return {
        "rouge": {**shared, "stemming": options.stemming},
        "rouge155": {**shared, "exceptions": options.wordnet_exceptions},
    }


def _write(path: pathlib.Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _compared(
    ours: Sequence[Measurement], theirs: Sequence[Measurement], resamples: Resamples
) -> dict[str, dict[str, float]]:
    """The other system's value of each metric, and the p-value of the difference."""
    return {
        our.name: {
            "value": their.value,
            "p_value": significance.paired_bootstrap(our, their, resamples),
        }
        for our, their in zip(ours, theirs, strict=True)
    }


def _show(
    options: argparse.Namespace,
    examples: int,
    columns: dict[str, dict[str, Score]],
    compared: dict[str, Any],
) -> None:
    found, *_ = columns.values()
    print(f"{options.predictions}, {examples:,} examples")
    table = Table()
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
        table.add_column("95% interval", justify="right")
    if compared:
        table.add_column(pathlib.Path(options.compare).name, justify="right")
        table.add_column("p", justify="right")
    for name in found:
        row = [name]
        for column in columns.values():
            score = column[name]
            row += [f"{score.value:.2f}", f"{score.low:.2f} to {score.high:.2f}"]
        if compared:
            other = compared[name]
            mark = "" if other["p_value"] >= _SIGNIFICANT else "*"
            row += [f"{other['value']:.2f}", f"{other['p_value']:.4f}{mark}"]
        table.add_row(*row)
    Console().print(table)
    by_signature: dict[str, list[str]] = {}
    for name, score in found.items():
        by_signature.setdefault(score.signature, []).append(name)
    for signature, names in by_signature.items():
        print(f"{', '.join(names)}: {signature}")
    if compared:
        print(f"p: paired bootstrap; * below {_SIGNIFICANT}")
