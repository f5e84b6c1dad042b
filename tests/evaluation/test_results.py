"""Predictions become scores, with everything that determines a number beside it."""

import dataclasses
import json

import pytest

from bertgen_jax.evaluation import results
from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.experiment import tasks
from bertgen_jax.metrics.outputs import Outputs


def test_the_baseline_is_the_first_sentence_of_the_same_sources(scored):
    assert scored.scores["rouge1"].value == pytest.approx(100 * 2 / 3)
    assert scored.baseline["rouge1"].value == pytest.approx(100 * 1 / 3)


def test_the_file_holds_everything_that_determines_a_number(scored, tmp_path):
    path = tmp_path / "results" / "test-7.json"
    results.write(path, scored)
    values = json.loads(path.read_text())
    assert (values["split"], values["step"], values["examples"]) == ("test", 7, 3)
    assert values["search"]["num_beams"] == 4
    rouge = values["scores"]["rougeL"]
    assert rouge["low"] <= rouge["value"] <= rouge["high"]
    assert "stem:yes" in rouge["signature"]
    assert "n:3" in rouge["signature"]


def test_the_file_names_the_table_of_the_paper_as_its_source(scored):
    paper = tasks.PaperResult("Table 5", "bertshare", 12, {"rouge1": 38.52}, ())
    written = dataclasses.replace(scored, paper=paper).to_dict()["paper"]
    assert [*written] == ["source", "setup", "layers", "metrics", "differences"]
    assert (written["source"], written["metrics"]) == ("Table 5", {"rouge1": 38.52})
    assert scored.to_dict()["paper"] is None


def outputs_of(prediction, reference, source=""):
    return Outputs.of([prediction], [[reference]], [source])


def test_texts_are_normalized_before_they_are_scored():
    outputs = outputs_of("the `Duke` sank", 'the "Duke" sank')
    task = tasks.get("discofuse")
    assert results.Scoring(task).scores(outputs)["exact"].value == 0
    score = results.Scoring(task, ("backticks",)).scores(outputs)["exact"]
    assert score.value == 100
    assert "|texts:backticks|" in score.signature


def test_a_baseline_is_normalized_as_well():
    example = Prediction("a", "the `Duke` sank", ('the "Duke" sank',), "", 0.0)
    scoring = results.Scoring(tasks.get("discofuse"), ("backticks",))
    assert scoring.baseline([example])["exact"].value == 100


def test_rouge_has_the_options_of_the_scoring():
    outputs = outputs_of("It rains. A dog ran.", "A dog ran.\nIt rained.")
    split, unstemmed = (
        results.Scoring(tasks.get(""), **options).scores(outputs)
        for options in ({"sentence_ends": "split"}, {"stemming": False})
    )
    assert split["rougeLsum"].value == 100
    assert unstemmed["rouge1"].value < 100
