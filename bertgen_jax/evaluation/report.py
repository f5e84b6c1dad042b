"""Results and predictions in, what a person reads in a terminal out."""

import textwrap
from collections.abc import Sequence

from rich.table import Table

from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.evaluation.results import Results
from bertgen_jax.metrics.score import signatures


def table(results: Results) -> Table:
    """The model's scores beside those of the baseline and of the paper."""
    shown = Table(
        title=f"{results.split}, {results.examples:,} examples, step {results.step:,}",
        title_justify="left",
    )
    shown.add_column("metric")
    shown.add_column("model", justify="right")
    shown.add_column("95% interval", justify="right")
    shown.add_column(results.baseline_name, justify="right")
    if results.paper:
        shown.add_column("paper", justify="right")
    for name, score in results.scores.items():
        row = [
            name,
            f"{score.value:.2f}",
            f"{score.low:.2f} to {score.high:.2f}",
            f"{results.baseline[name].value:.2f}",
        ]
        if results.paper:
            published = results.paper.metrics.get(name)
            row.append("" if published is None else f"{published:g}")
        shown.add_row(*row)
    return shown


def footnotes(results: Results) -> str:
    """What fixes the numbers of the table, and what the paper's were measured on."""
    lines = signatures(results.scores)
    if results.paper:
        row = results.paper
        lines.append(f"paper: {row.source}, {row.setup}, {row.layers} layers")
        if row.differences:
            lines += ["Here there are:", *(f"  {one}" for one in row.differences)]
    return "\n".join(lines)


def samples(predictions: Sequence[Prediction], count: int = 3) -> str:
    """A few predictions, spread evenly over the split, beside source and reference."""
    stride = max(len(predictions) // count, 1)
    return "\n\n".join(
        "\n".join(
            [
                _paragraph("source", prediction.source),
                _paragraph("reference", prediction.references[0]),
                _paragraph("model", prediction.prediction),
            ]
        )
        for prediction in predictions[::stride][:count]
    )


def _paragraph(label: str, text: str) -> str:
    text = textwrap.shorten(text, 600, placeholder=" ...")
    return textwrap.fill(
        text, 88, initial_indent=f"{label:>10}  ", subsequent_indent=" " * 12
    )
