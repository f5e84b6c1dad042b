"""Shows results and predictions in a terminal."""

import textwrap
from collections.abc import Sequence

from rich.table import Table

from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.evaluation.results import Results
from bertgen_jax.metrics.metric_value import signatures


def table(results: Results) -> Table:
    """Returns a table of the scores of the model, the baseline and the paper."""
    table = Table(
        title=f"{results.split}, {results.examples:,} examples, step {results.step:,}",
        title_justify="left",
    )
    table.add_column("metric")
    table.add_column("model", justify="right")
    table.add_column("95% interval", justify="right")
    table.add_column(results.baseline_name, justify="right")
    if results.paper:
        table.add_column("paper", justify="right")
    for name, score in results.scores.items():
        row = [
            name,
            f"{score.value:.2f}",
            f"{score.low:.2f} to {score.high:.2f}",
            f"{results.baseline[name].value:.2f}",
        ]
        if results.paper:
            value = results.paper.metrics.get(name)
            row.append("" if value is None else f"{value:g}")
        table.add_row(*row)
    return table


def footnotes(results: Results) -> str:
    """Returns the metrics' signatures, and how the run differs from the paper's."""
    lines = signatures(results.scores)
    if results.paper:
        paper = results.paper
        lines.append(f"paper: {paper.table}, {paper.setup}, {paper.layers} layers")
        if paper.differences:
            lines.append("This run has:")
            lines += [f"  {difference}" for difference in paper.differences]
    return "\n".join(lines)


def samples(predictions: Sequence[Prediction], count: int = 3) -> str:
    """Returns a few predictions, spread evenly, with their sources and references."""
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
