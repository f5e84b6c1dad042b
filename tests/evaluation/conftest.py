"""Three predictions, and their scores."""

import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation import results
from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.experiment import tasks

PREDICTIONS = [
    Prediction("a", "A dog ran. It was late.", ("it was late",), "it was late", -0.5),
    Prediction("b", "Rain fell. Roads closed.", ("roads closed",), "rain fell", -1.0),
    Prediction("c", "Nothing new.", ("nothing new", "no news"), "no news", -0.25),
]


@pytest.fixture
def predictions():
    return PREDICTIONS


@pytest.fixture
def scored(predictions):
    scoring = results.Scoring(tasks.get(""))
    return results.score(
        predictions,
        split="test",
        step=7,
        scoring=scoring,
        baseline=scoring.baseline(predictions),
        search=GenerationConfig(num_beams=4),
    )
