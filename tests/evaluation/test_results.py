"""Predictions become scores, files and a table that a person can read."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation import predictions, report, results
from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.experiment import tasks
from bertgen_jax.metrics.outputs import Outputs

PREDICTIONS = [
    Prediction("a", "A dog ran. It was late.", ("it was late",), "it was late", -0.5),
    Prediction("b", "Rain fell. Roads closed.", ("roads closed",), "rain fell", -1.0),
    Prediction("c", "Nothing new.", ("nothing new", "no news"), "no news", -0.25),
]


@pytest.fixture
def scored():
    scoring = results.Scoring(tasks.get(""))
    return results.score(
        PREDICTIONS,
        split="test",
        step=7,
        scoring=scoring,
        baseline=scoring.baseline(PREDICTIONS),
        search=GenerationConfig(num_beams=4),
    )


def test_the_baseline_is_the_first_sentence_of_the_same_sources(scored):
    assert scored.scores["rouge1"].value == pytest.approx(100 * 2 / 3)
    assert scored.baseline["rouge1"].value == pytest.approx(100 * 1 / 3)


def test_files_hold_all_that_fixes_a_number(scored, tmp_path):
    path = tmp_path / "results" / "test-7.json"
    results.write(path, scored)
    values = json.loads(path.read_text())
    assert (values["split"], values["step"], values["examples"]) == ("test", 7, 3)
    assert values["search"]["num_beams"] == 4
    rouge = values["scores"]["rougeL"]
    assert rouge["low"] <= rouge["value"] <= rouge["high"]
    assert "stem:yes" in rouge["signature"]
    assert "n:3" in rouge["signature"]


def test_predictions_are_one_object_a_line_in_order(tmp_path):
    path = tmp_path / "predictions" / "test-7.jsonl"
    predictions.write(path, PREDICTIONS)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "c"]
    assert lines[2] == {
        "id": "c",
        "source": "Nothing new.",
        "references": ["nothing new", "no news"],
        "prediction": "no news",
        "score": -0.25,
    }
    assert [file.name for file in path.parent.iterdir()] == ["test-7.jsonl"]


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


def test_samples_are_spread_over_the_split():
    text = report.samples(PREDICTIONS, count=2)
    assert "A dog ran." in text
    assert text.count("reference") == 2
    assert max(map(len, text.splitlines())) <= 88


def test_the_paper_stands_beside_what_it_has_measured(scored):
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
    paper = compared.to_dict()["paper"]
    assert [*paper] == ["source", "setup", "layers", "metrics", "differences"]
    assert (paper["source"], paper["metrics"]) == ("Table 5", {"rouge1": 38.52})


def outputs_of(prediction, reference, source=""):
    return Outputs.of([prediction], [[reference]], [source])


def test_texts_are_normalized_before_they_are_scored():
    outputs = outputs_of("the `Duke` sank", 'the "Duke" sank')
    task = tasks.get("discofuse")
    assert results.Scoring(task).scores(outputs)["exact"].value == 0
    found = results.Scoring(task, ("backticks",)).scores(outputs)["exact"]
    assert found.value == 100
    assert "|texts:backticks|" in found.signature


def test_a_baseline_is_normalized_as_well():
    one = Prediction("a", "the `Duke` sank", ('the "Duke" sank',), "", 0.0)
    scoring = results.Scoring(tasks.get("discofuse"), ("backticks",))
    assert scoring.baseline([one])["exact"].value == 100


def test_rouge_is_measured_as_it_is_told():
    outputs = outputs_of("It rains. A dog ran.", "A dog ran.\nIt rained.")
    split, unstemmed = (
        results.Scoring(tasks.get(""), **options).scores(outputs)
        for options in ({"sentence_ends": "split"}, {"stemming": False})
    )
    assert split["rougeLsum"].value == 100
    assert unstemmed["rouge1"].value < 100
