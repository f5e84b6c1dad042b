"""Results and predictions become a table and paragraphs that a person can read."""

import dataclasses
import io

from rich.console import Console

from bertgen_jax.evaluation import report
from bertgen_jax.experiment import tasks


def table_text(scored):
    console = Console(width=80, file=io.StringIO())
    console.print(report.table(scored))
    return console.file.getvalue()


def test_the_table_shows_the_model_beside_the_baseline(scored):
    text = table_text(scored)
    assert "test, 3 examples, step 7" in text
    (line,) = [line for line in text.splitlines() if "rouge1" in line]
    assert "66.67" in line
    assert "33.33" in line


def test_samples_are_spread_over_the_split(predictions):
    text = report.samples(predictions, count=2)
    assert "A dog ran." in text
    assert text.count("reference") == 2
    assert max(map(len, text.splitlines())) <= 88


def test_the_table_shows_the_papers_result_where_it_has_one(scored):
    paper = tasks.PaperResult(
        "Table 5", "bertshare", 12, {"rouge1": 38.52}, ("3 examples, not 11,334",)
    )
    compared = dataclasses.replace(scored, paper=paper)
    lines = table_text(compared).splitlines()
    assert any("rouge1" in line and "38.52" in line for line in lines)
    notes = report.footnotes(compared)
    assert "paper: Table 5, bertshare, 12 layers" in notes
    assert "  3 examples, not 11,334" in notes
    assert "rouge1, rouge2, rougeL, rougeLsum: rouge-score" in notes
    assert "paper" not in table_text(scored)
