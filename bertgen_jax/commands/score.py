"""`bertgen score`: compares predictions of any system with references."""

import argparse
import functools
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import markup
from rich.console import Console
from rich.table import Table

from bertgen_jax import normalization
from bertgen_jax.commands.messages import plural
from bertgen_jax.data import texts
from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.files import atomic, json_files
from bertgen_jax.metrics import baselines, catalogue, rouge
from bertgen_jax.metrics.bootstrap import Resamples, paired_bootstrap, scores
from bertgen_jax.metrics.metric_value import MetricValue, Score, signatures
from bertgen_jax.metrics.outputs import Outputs

_ROUNDING = 1e-9  # a smaller difference of two scores comes from rounding
_WIDTH = 160  # of the table in characters, if the output is not a terminal
# Default names of columns; the first of them that the file has is read.
_PREDICTIONS = ("prediction", "generated_text", "output", "hypothesis", "text")
_REFERENCES = ("references", "reference", "target", "targets", "summary")
_SOURCES = ("source", "document", "article", "text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "bertgen score --predictions FILE [--references FILE ...] [options]"
    parser.description = (
        "Scores predictions, with 95% intervals and signatures that state how each\n"
        "score is computed. Row n of each file belongs to the same example."
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
        help="the references; several files, several columns of a .tsv, and lists in a "
        ".jsonl are several references for each prediction. Default: columns of the "
        "predictions' file, as in WORKDIR/predictions/SPLIT-STEP.jsonl",
    )
    parser.add_argument(
        "--sources", metavar="FILE", help="the input texts, for SARI and novelty"
    )
    parser.add_argument(
        "--metrics",
        default="rouge",
        metavar="NAMES",
        help="some of the metrics below, separated by commas (default rouge)",
    )
    parser.add_argument(
        "--normalization",
        default="",
        metavar="STEPS",
        help="normalize all texts first: quotes, separator, ..., separated by commas; "
        "as eval.normalization in a config",
    )
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="predictions of another system, to compare with, with p-values",
    )
    parser.add_argument(
        "--baseline",
        choices=baselines.BASELINES,
        help="compare with a baseline, which makes predictions of the sources",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write everything to this file, as JSON"
    )
    parser.add_argument(
        "--per-example",
        metavar="FILE",
        help="write the scores of each example, a JSON object a line",
    )
    columns = parser.add_argument_group(
        "columns", description="keys and columns with other names than the usual ones"
    )
    for name in ("prediction", "reference", "source"):
        columns.add_argument(f"--{name}-column", metavar="NAME")
    group = parser.add_argument_group("ROUGE")
    group.add_argument(
        "--stemming",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare stems of words (default)",
    )
    group.add_argument(
        "--sentence-ends",
        choices=rouge.SENTENCE_ENDS,
        default="newline",
        help="for rougeLsum, sentences end at line ends (default newline), or also "
        "within a line",
    )
    group.add_argument(
        "--multi-reference",
        choices=rouge.MULTI_REFERENCE,
        default="best",
        help="how the scores of several references are combined (default best)",
    )
    group.add_argument(
        "--wordnet-exceptions",
        metavar="PATH",
        help="irregular forms for rouge155: ROUGE-1.5.5's data/WordNet-2.0-Exceptions",
    )
    resampling = parser.add_argument_group("intervals and p-values")
    resampling.add_argument(
        "--samples",
        type=int,
        default=1_000,
        metavar="N",
        help="number of resamples (default 1000)",
    )
    resampling.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the resamples (default 0)",
    )


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
        raise ConfigError("--metrics is empty; expected names such as rouge,bleu.")
    for name in names:
        catalogue.get(name)
    if options.wordnet_exceptions and "rouge155" not in names:
        raise ConfigError(
            "--wordnet-exceptions is for rouge155; expected it among --metrics."
        )
    steps = normalization.parse_steps(options.normalization)
    for name in filter(None, (options.output, options.per_example)):
        _check_output(pathlib.Path(name), options)

    outputs = _read_outputs(options)
    rivals = _rivals(options, outputs)
    resamples = Resamples(len(outputs), options.samples, options.seed)

    def compute(outputs: Outputs) -> list[MetricValue]:
        return catalogue.compute(
            names, outputs, _metric_options(options), normalization=steps
        )

    values = compute(outputs)
    own_scores = scores(values, resamples)
    comparisons = {
        name: _compare(values, compute(rival), resamples)
        for name, rival in rivals.items()
    }
    _print_table(options, len(outputs), own_scores, comparisons)
    if options.output:
        content = {
            "predictions": options.predictions,
            "references": list(options.references) or [options.predictions],
            "sources": options.sources,
            "examples": len(outputs),
            "scores": {name: vars(score) for name, score in own_scores.items()},
            "compared_with": comparisons,
        }
        json_files.write_object(pathlib.Path(options.output), content)
    if options.per_example:
        columns = {value.name: value.per_example.tolist() for value in values}
        rows = zip(*columns.values(), strict=True)
        atomic.write_text(
            pathlib.Path(options.per_example),
            (f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows),
        )
    return 0


def _read_outputs(options: argparse.Namespace) -> Outputs:
    """Reads predictions, references and sources; row n of each is the same example.

    Without files of their own, references and sources are columns of the predictions'
    file, as in WORKDIR/predictions/SPLIT-STEP.jsonl. Sources are optional.
    """
    # Several columns may come from one file, which is read once.
    open_table = functools.cache(texts.TextTable)
    table = open_table(options.predictions)
    predictions = _predictions(table, options.prediction_column)

    reference_files = options.references
    if not reference_files:
        names = _names(options.reference_column, _REFERENCES)
        if not table.has_column(names):
            raise DataError(
                f"{table.name} has no references; expected a file of them "
                f"(--references), or one of the columns {', '.join(names)}."
            )
        reference_files = [table.name]
    references = [
        _references(open_table(name), options.reference_column)
        for name in reference_files
    ]
    for name, rows in zip(reference_files, references, strict=True):
        _check_length(table.name, len(predictions), name, len(rows))

    source_file, sources = options.sources, None
    # "text" in a file of predictions is the prediction.
    names = [name for name in _SOURCES if name not in _PREDICTIONS]
    if source_file is None and table.has_column(_names(options.source_column, names)):
        source_file = table.name
    if source_file is not None:
        rows = open_table(source_file).texts(_SOURCES, options.source_column)
        sources = [" ".join(row) for row in rows]  # as in training
        _check_length(table.name, len(predictions), source_file, len(sources))

    joined = [sum(rows, ()) for rows in zip(*references, strict=True)]
    for number, row in enumerate(joined, start=1):
        if not row:
            raise DataError(
                f"{', '.join(reference_files)}, row {number}: there is no reference; "
                "expected at least one, which may be an empty text."
            )
    return Outputs.of(predictions, joined, sources)


def _rivals(options: argparse.Namespace, outputs: Outputs) -> dict[str, Outputs]:
    """Returns the predictions to compare with, by the names of their systems."""
    rivals = {}
    if options.compare:
        table = texts.TextTable(options.compare)
        predictions = _predictions(table, options.prediction_column)
        if len(predictions) != len(outputs):
            raise DataError(
                f"{table.name} has {len(predictions):,} predictions and "
                f"{options.predictions} {len(outputs):,}; expected the same examples "
                "in the same order."
            )
        rivals[table.name] = outputs.replace_predictions(predictions)
    if options.baseline:
        if outputs.sources is None:
            raise DataError(
                f"The baseline {options.baseline} is made of the sources; expected "
                "--sources."
            )
        answers = map(baselines.BASELINES[options.baseline], outputs.sources)
        rivals[options.baseline] = outputs.replace_predictions(tuple(answers))
    return rivals


def _predictions(table: texts.TextTable, column: str | None) -> list[str]:
    rows = table.texts(_PREDICTIONS, column)
    for number, row in enumerate(rows, start=1):
        if len(row) != 1:
            raise DataError(
                f"{table.name}, row {number}: found {len(row)} texts, expected one "
                "prediction. In .tsv every column is a text, unless one is named."
            )
    return [text for (text,) in rows]


def _references(table: texts.TextTable, column: str | None) -> list[tuple[str, ...]]:
    """Returns the references of each row, of one column or of several: "a,b"."""
    names = [None] if column is None else column.split(",")
    columns = [table.texts(_REFERENCES, name) for name in names]
    return [sum(row, ()) for row in zip(*columns, strict=True)]


def _names(column: str | None, default: Sequence[str]) -> Sequence[str]:
    return default if column is None else column.split(",")


def _check_length(first: str, count: int, second: str, second_count: int) -> None:
    if count != second_count:
        raise DataError(
            f"{first} has {count:,} rows and {second} {second_count:,}; expected the "
            "same number, because row n of one belongs to row n of the other."
        )


def _check_output(path: pathlib.Path, options: argparse.Namespace) -> None:
    """Checks, before any work, that a file can be written and is not an input."""
    inputs = [
        options.predictions,
        options.sources,
        options.compare,
        *options.references,
    ]
    if any(name and path.resolve() == pathlib.Path(name).resolve() for name in inputs):
        raise ConfigError(
            f"{path} is an input as well as an output; expected another file."
        )
    atomic.check_writable(path)


def _metric_options(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    shared = {
        "sentence_ends": options.sentence_ends,
        "multi_reference": options.multi_reference,
    }
    return {
        "rouge": {**shared, "stemming": options.stemming},
        "rouge155": {**shared, "exceptions": options.wordnet_exceptions},
    }


def _compare(
    values: Sequence[MetricValue], rivals: Sequence[MetricValue], resamples: Resamples
) -> dict[str, dict[str, float | None]]:
    """Returns each metric value of the rival, and the p-value of the difference."""
    comparison: dict[str, dict[str, float | None]] = {}
    for value, rival in zip(values, rivals, strict=True):
        p_value = None
        if abs(value.value - rival.value) > _ROUNDING:
            p_value = paired_bootstrap(value, rival, resamples)
        comparison[value.name] = {"value": rival.value, "p_value": p_value}
    return comparison


def _print_table(
    options: argparse.Namespace,
    examples: int,
    own_scores: Mapping[str, Score],
    comparisons: Mapping[str, Mapping[str, Mapping[str, float | None]]],
) -> None:
    print(f"{options.predictions}, {plural(examples, 'example')}")
    table = Table()
    table.add_column("metric", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("95% interval", justify="right", no_wrap=True)
    for name in comparisons:
        table.add_column(markup.escape(pathlib.Path(name).name), justify="right")
        table.add_column("p", justify="right", no_wrap=True)
    for name, score in own_scores.items():
        row = [
            name,
            f"{score.value:.2f}",
            f"{score.low:.2f} to {score.high:.2f}",
        ]
        for comparison in comparisons.values():
            p_value = comparison[name]["p_value"]
            row.append(f"{comparison[name]['value']:.2f}")
            row.append("=" if p_value is None else f"{p_value:.4f}")
        table.add_row(*row)
    # A fixed width for files and pagers, so that no column is cut.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    console.print(table)
    print("\n".join(signatures(own_scores)))
    if comparisons:
        print("p: p-value of the difference, by paired bootstrap")
