"""Predictions in, scored results out: WORKDIR/results/SPLIT-STEP.json."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.metrics import rouge, sentences
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.score import Score, scores


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
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def score(
    predictions: Sequence[Prediction],
    *,
    split: str,
    step: int,
    stemming: bool,
    search: GenerationConfig,
) -> Results:
    """Scores predictions and the lead-1 baseline on the same examples with ROUGE."""
    outputs = Outputs.of(
        [one.prediction for one in predictions],
        [one.references for one in predictions],
        [one.source for one in predictions],
    )
    leads = outputs.replace_predictions(
        [sentences.lead(source) for source in outputs.sources]
    )
    resamples = Resamples(len(outputs))
    return Results(
        split=split,
        step=step,
        examples=len(outputs),
        search=search.to_dict(),
        scores=scores(rouge.measure(outputs, stemming=stemming), resamples),
        baseline=scores(rouge.measure(leads, stemming=stemming), resamples),
    )


def write(path: pathlib.Path, results: Results) -> None:
    """Writes results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(
        json.dumps(results.to_dict(), indent=2) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
