"""Predictions are written atomically, in order."""

import json

from bertgen_jax.evaluation import predictions as predictions_lib


def test_predictions_are_one_object_a_line_in_order(predictions, tmp_path):
    path = tmp_path / "predictions" / "test-7.jsonl"
    predictions_lib.write(path, predictions)
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
