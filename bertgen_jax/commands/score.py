"""`bertgen score`: texts that anyone has made, compared with references."""

import argparse
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import markup
from rich.console import Console
from rich.table import Table

from bertgen_jax import normalization
from bertgen_jax.commands.messages import several
from bertgen_jax.data import texts
from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.files import atomic
from bertgen_jax.metrics import baselines, catalogue, rouge
from bertgen_jax.metrics.bootstrap import Resamples, paired_bootstrap, scores
from bertgen_jax.metrics.metric_value import MetricValue, Score, signatures
from bertgen_jax.metrics.outputs import Outputs

_SAME = 1e-9  # two scores that differ by less do so by rounding
_WIDE = 160  # characters
# The columns that are read where none is named; the first one that a file has.
_PREDICTIONS = ("prediction", "generated_text", "output", "hypothesis", "text")
_REFERENCES = ("references", "reference", "target", "targets", "summary")
_SOURCES = ("source", "document", "article", "text")


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
        "--normalization",
        default="",
        metavar="STEPS",
        help="of all texts before, joined by commas: quotes, separator, ...; as "
        "eval.normalization in a config",
    )
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="another system's predictions, beside these, with p-values",
    )
    parser.add_argument(
        "--baseline",
        choices=baselines.BASELINES,
        help="an answer that needs no model, beside these: made of the sources",
    )
    parser.add_argument("--output", metavar="FILE", help="all of it as JSON")
    parser.add_argument(
        "--per-example",
        metavar="FILE",
        help="the scores of each example alone: a JSON object a line",
    )
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
        help="compare stems of words (the default)",
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
    for name in names:
        catalogue.get(name)
    if options.wordnet_exceptions and "rouge155" not in names:
        raise ConfigError(
            "--wordnet-exceptions is for rouge155, which is not asked for."
        )
    steps = normalization.parse_steps(options.normalization)
    for written in filter(None, (options.output, options.per_example)):
        _check_written(pathlib.Path(written), options)

    # Several columns may come from one file, which is read once.
    open_table = functools.cache(texts.TextTable)
    outputs = _read_outputs(options, open_table)
    rivals: dict[str, Outputs] = {}
    if options.compare:
        rivals[options.compare] = _read_rival(
            open_table(options.compare), options.prediction_column, outputs
        )
    if options.baseline:
        if outputs.sources is None:
            raise DataError(
                f"The baseline {options.baseline} is made of the sources, which are "
                "not known; expected --sources."
            )
        answers = map(baselines.BASELINES[options.baseline], outputs.sources)
        rivals[options.baseline] = outputs.replace_predictions(tuple(answers))
    resamples = Resamples(len(outputs), options.samples, options.seed)

    def compute(outputs: Outputs) -> list[MetricValue]:
        return catalogue.compute(names, outputs, _choices(options), normalization=steps)

    own = compute(outputs)
    found = scores(own, resamples)
    others = {
        name: _compared(own, compute(rival), resamples)
        for name, rival in rivals.items()
    }
    _show(options, len(outputs), found, others)
    if options.output:
        content = {
            "predictions": options.predictions,
            "references": list(options.references) or [options.predictions],
            "sources": options.sources,
            "examples": len(outputs),
            "scores": {name: vars(score) for name, score in found.items()},
            "compared_with": others,
        }
        atomic.write_text(
            pathlib.Path(options.output), [json.dumps(content, indent=2) + "\n"]
        )
    if options.per_example:
        columns = {one.name: one.per_example.tolist() for one in own}
        rows = zip(*columns.values(), strict=True)
        atomic.write_text(
            pathlib.Path(options.per_example),
            (f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows),
        )
    return 0


def _read_outputs(
    options: argparse.Namespace, open_table: Callable[[str], texts.TextTable]
) -> Outputs:
    """Reads what is to be scored; row n of each file belongs to the same example.

    References and sources that no file is named for are columns of the predictions'
    file, as in WORKDIR/predictions/SPLIT-STEP.jsonl; sources may be missing.
    """
    table = open_table(options.predictions)
    predictions = _predictions(table, options.prediction_column)

    reference_files = options.references
    if not reference_files:
        names = _names(options.reference_column, _REFERENCES)
        if not table.has_column(names):
            raise DataError(
                f"{table.name} has no references beside its predictions; expected a "
                f"file of them (--references), or one of the columns "
                f"{', '.join(names)}."
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
                "expected one at least, if only an empty text."
            )
    return Outputs.of(predictions, joined, sources)


def _read_rival(
    table: texts.TextTable, column: str | None, outputs: Outputs
) -> Outputs:
    """Reads another system's predictions of the same examples."""
    predictions = _predictions(table, column)
    if len(predictions) != len(outputs):
        raise DataError(
            f"{table.name} has {len(predictions):,} predictions, and {len(outputs):,} "
            "are compared with them; expected the same examples in the same order."
        )
    return outputs.replace_predictions(predictions)


def _predictions(table: texts.TextTable, column: str | None) -> list[str]:
    rows = table.texts(_PREDICTIONS, column)
    for number, row in enumerate(rows, start=1):
        if len(row) != 1:
            raise DataError(
                f"{table.name}, row {number}: {len(row)} texts found, expected one "
                "prediction. In .tsv every column is a text where none is named."
            )
    return [text for (text,) in rows]


def _references(table: texts.TextTable, column: str | None) -> list[tuple[str, ...]]:
    """Returns the references of each row, of one column or of several: "a,b"."""
    names = [None] if column is None else column.split(",")
    columns = [table.texts(_REFERENCES, name) for name in names]
    return [sum(row, ()) for row in zip(*columns, strict=True)]


def _names(column: str | None, default: Sequence[str]) -> Sequence[str]:
    return default if column is None else column.split(",")


def _check_length(first: str, count: int, second: str, other: int) -> None:
    if count != other:
        raise DataError(
            f"{first} has {count:,} rows and {second} {other:,}; row n of one belongs "
            "to row n of the other, so as many are expected."
        )


def _check_written(path: pathlib.Path, options: argparse.Namespace) -> None:
    """Refuses, before any work is done, a file that cannot be written."""
    read = [options.predictions, options.sources, options.compare, *options.references]
    if any(name and path.resolve() == pathlib.Path(name).resolve() for name in read):
        raise ConfigError(
            f"{path} is to be written, and is read as well; expected another file."
        )
    atomic.check_writable(path)


def _choices(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    shared = {
        "sentence_ends": options.sentence_ends,
        "multi_reference": options.multi_reference,
    }
    return {
        "rouge": {**shared, "stemming": options.stemming},
        "rouge155": {**shared, "exceptions": options.wordnet_exceptions},
    }


def _compared(
    ours: Sequence[MetricValue], theirs: Sequence[MetricValue], resamples: Resamples
) -> dict[str, dict[str, float | None]]:
    """The other's value of each metric, and the p-value of the difference, if any."""
    found: dict[str, dict[str, float | None]] = {}
    for our, their in zip(ours, theirs, strict=True):
        p_value = None
        if abs(our.value - their.value) > _SAME:
            p_value = paired_bootstrap(our, their, resamples)
        found[our.name] = {"value": their.value, "p_value": p_value}
    return found


def _show(
    options: argparse.Namespace,
    examples: int,
    found: Mapping[str, Score],
    others: Mapping[str, Mapping[str, Mapping[str, float | None]]],
) -> None:
    print(f"{options.predictions}, {several(examples, 'example')}")
    table = Table()
    table.add_column("metric", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("95% interval", justify="right", no_wrap=True)
    for name in others:
        table.add_column(markup.escape(pathlib.Path(name).name), justify="right")
        table.add_column("p", justify="right", no_wrap=True)
    for name, score in found.items():
        row = [
            name,
            f"{score.value:.2f}",
            f"{score.low:.2f} to {score.high:.2f}",
        ]
        for other in others.values():
            p_value = other[name]["p_value"]
            row.append(f"{other[name]['value']:.2f}")
            row.append("=" if p_value is None else f"{p_value:.4f}")
        table.add_row(*row)
    # What is piped into a file or a pager is as wide as it must be.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    console.print(table)
    print("\n".join(signatures(found)))
    if others:
        print("p: of the difference, by paired bootstrap")
