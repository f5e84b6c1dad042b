"""Predictions in, scored results out: WORKDIR/results/SPLIT-STEP.json."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.metrics import catalogue, measurement
from bertgen_jax.metrics.baselines import BASELINES
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.score import Score, scores
from bertgen_jax.tasks import Task, Yardstick
from bertgen_jax.tokenizers.normalization import normalize


@dataclasses.dataclass(frozen=True)
class Measure:
    """How predictions become scores.

    Attributes:
      task: which metrics, and which baseline.
      normalization: steps that are applied to all texts before.
      stemming: of ROUGE.
      sentence_ends: of rougeLsum; see `rouge.measure`.
    """

    task: Task
    normalization: tuple[str, ...] = ()
    stemming: bool = True
    sentence_ends: str = "newline"

    def scores(
        self, predictions: Sequence[Prediction]
    ) -> tuple[dict[str, Score], dict[str, Score]]:
        """The scores of the predictions, and of the baseline on the same examples."""
        outputs = Outputs.of(
            [one.prediction for one in predictions],
            [one.references for one in predictions],
            [one.source for one in predictions],
        ).map(lambda text: normalize(text, self.normalization))
        baseline = BASELINES[self.task.baseline]
        answers = outputs.replace_predictions(
            [baseline(source) for source in outputs.known_sources("A baseline")]
        )
        resamples = Resamples(len(outputs))
        return (
            scores(self._measured(outputs), resamples),
            scores(self._measured(answers), resamples),
        )

    def _measured(self, outputs: Outputs) -> list[Measurement]:
        rouge = {"stemming": self.stemming, "sentence_ends": self.sentence_ends}
        found = catalogue.measure(self.task.metrics, outputs, {"rouge": rouge})
        steps = "+".join(self.normalization)
        return measurement.sign(found, f"texts:{steps}") if steps else found


@dataclasses.dataclass(frozen=True)
class Results:
    """The scores of one model on one split.

    Attributes:
      split: "validation" or "test".
      step: of the checkpoint.
      examples: how many were scored.
      search: settings of the search.
      scores: of the model, by metric.
      baseline_name: what the baseline answers, of `baselines.BASELINES`.
      baseline: its scores, by metric.
      paper: what the paper has reached; None where it has no such row.
    """

    split: str
    step: int
    examples: int
    search: Mapping[str, Any]
    scores: Mapping[str, Score]
    baseline_name: str
    baseline: Mapping[str, Score]
    paper: Yardstick | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def score(
    predictions: Sequence[Prediction],
    *,
    split: str,
    step: int,
    measure: Measure,
    search: GenerationConfig,
    paper: Yardstick | None = None,
) -> Results:
    """Scores predictions and the task's baseline on the same examples."""
    model, baseline = measure.scores(predictions)
    return Results(
        split=split,
        step=step,
        examples=len(predictions),
        search=search.to_dict(),
        scores=model,
        baseline_name=measure.task.baseline,
        baseline=baseline,
        paper=paper,
    )


def write(path: pathlib.Path, results: Results) -> None:
    """Writes results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(
        json.dumps(results.to_dict(), indent=2) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
