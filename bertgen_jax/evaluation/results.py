"""Predictions in, scored results out: WORKDIR/results/SPLIT-STEP.json."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.metrics import rouge, sentences
from bertgen_jax.metrics.score import Score


@dataclasses.dataclass(frozen=True)
class Results:
    """The scores of one model on one split.

    Attributes:
      split: "validation" or "test".
      step: of the checkpoint.
      examples: how many were scored.
      search: settings of the search.
      scores: of the model, by metric.
      baseline: of the source's first sentence, by metric.
    """

    split: str
    step: int
    examples: int
    search: Mapping[str, Any]
    scores: Mapping[str, Score]
    baseline: Mapping[str, Score]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the scores of single examples are left out."""
        values = dataclasses.asdict(self)
        for group in ("scores", "baseline"):
            for score in values[group].values():
                del score["per_example"]
        return values


def score(
    predictions: Sequence[Prediction],
    *,
    split: str,
    step: int,
    stemming: bool,
    search: GenerationConfig,
) -> Results:
    """Scores predictions and the lead-1 baseline on the same examples with ROUGE."""
    references = [prediction.references for prediction in predictions]
    leads = [sentences.lead(prediction.source) for prediction in predictions]
    texts = [prediction.prediction for prediction in predictions]
    return Results(
        split=split,
        step=step,
        examples=len(predictions),
        search=search.to_dict(),
        scores=rouge.rouge(texts, references, stemming=stemming),
        baseline=rouge.rouge(leads, references, stemming=stemming),
    )


def write(path: pathlib.Path, results: Results) -> None:
    """Writes results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(
        json.dumps(results.to_dict(), indent=2) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
