"""Predictions in, scored results out: WORKDIR/results/SPLIT-STEP.json."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.data.columns import Example
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.experiment.tasks import Task, Yardstick
from bertgen_jax.files import json_files
from bertgen_jax.metrics import measuring
from bertgen_jax.metrics.baselines import BASELINES
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.score import Score, scores


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

    def scores(self, outputs: Outputs) -> dict[str, Score]:
        """The scores of texts as they are, by name."""
        rouge = {"stemming": self.stemming, "sentence_ends": self.sentence_ends}
        found = measuring.measure(
            self.task.metrics, outputs, self.normalization, {"rouge": rouge}
        )
        return scores(found, Resamples(len(outputs)))

    def baseline(self, examples: Sequence[Example]) -> dict[str, Score]:
        """The scores of the task's baseline."""
        answer = BASELINES[self.task.baseline]
        sources = [one.source for one in examples]
        references = [one.references for one in examples]
        return self.scores(Outputs.of([*map(answer, sources)], references, sources))


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
    baseline: Mapping[str, Score],
    search: GenerationConfig,
    paper: Yardstick | None = None,
) -> Results:
    """Scores predictions; the baseline is that of the same examples."""
    outputs = Outputs.of(
        [one.prediction for one in predictions],
        [one.references for one in predictions],
        [one.source for one in predictions],
    )
    return Results(
        split=split,
        step=step,
        examples=len(predictions),
        search=search.to_dict(),
        scores=measure.scores(outputs),
        baseline_name=measure.task.baseline,
        baseline=baseline,
        paper=paper,
    )


def write(path: pathlib.Path, results: Results) -> None:
    """Writes results as JSON, whole or not at all."""
    json_files.write_object(path, results.to_dict())
