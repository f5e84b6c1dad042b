"""Scores predictions, and writes the scores to WORKDIR/results/SPLIT-STEP.json."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertgen_jax.data.columns import Example
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.experiment.tasks import PaperResult, Task
from bertgen_jax.files import json_files
from bertgen_jax.metrics import catalogue
from bertgen_jax.metrics.baselines import BASELINES
from bertgen_jax.metrics.bootstrap import Resamples, scores
from bertgen_jax.metrics.metric_value import Score
from bertgen_jax.metrics.outputs import Outputs


@dataclasses.dataclass(frozen=True)
class Scoring:
    """Settings for scoring texts.

    Attributes:
      task: names the metrics and the baseline.
      normalization: steps that are applied to all texts first.
      stemming: whether ROUGE stems words.
      sentence_ends: how rougeLsum finds sentences; see `rouge.compute`.
    """

    task: Task
    normalization: tuple[str, ...] = ()
    stemming: bool = True
    sentence_ends: str = "newline"

    def scores(self, outputs: Outputs) -> dict[str, Score]:
        """Returns the scores of texts by name."""
        rouge = {"stemming": self.stemming, "sentence_ends": self.sentence_ends}
        values = catalogue.compute(
            self.task.metrics,
            outputs,
            {"rouge": rouge},
            normalization=self.normalization,
        )
        return scores(values, Resamples(len(outputs)))

    def baseline(self, examples: Sequence[Example | Prediction]) -> dict[str, Score]:
        """Returns the scores of the task's baseline on examples."""
        answer = BASELINES[self.task.baseline]
        sources = [example.source for example in examples]
        references = [example.references for example in examples]
        return self.scores(Outputs.of([*map(answer, sources)], references, sources))


@dataclasses.dataclass(frozen=True)
class Results:
    """The scores of one model on one split.

    Attributes:
      split: "validation" or "test".
      step: the step of the checkpoint.
      examples: the number of scored examples.
      search: settings of the search.
      scores: scores of the model, by metric.
      baseline_name: a name in `baselines.BASELINES`.
      baseline: scores of the baseline, by metric.
      paper: the paper's result; None if the paper has none for this setup.
    """

    split: str
    step: int
    examples: int
    search: Mapping[str, Any]
    scores: Mapping[str, Score]
    baseline_name: str
    baseline: Mapping[str, Score]
    paper: PaperResult | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        values = dataclasses.asdict(self)
        if self.paper:  # the file calls the paper's table a source
            paper = values["paper"]
            values["paper"] = {"source": paper.pop("table"), **paper}
        return values


def score(
    predictions: Sequence[Prediction],
    *,
    split: str,
    step: int,
    scoring: Scoring,
    baseline: Mapping[str, Score],
    search: GenerationConfig,
    paper: PaperResult | None = None,
) -> Results:
    """Scores predictions.

    Args:
      predictions: the predictions for one split.
      split: the name of the split.
      step: the step of the checkpoint that generated the texts.
      scoring: settings for scoring texts.
      baseline: the baseline's scores on the same examples.
      search: settings that the texts were generated with.
      paper: the paper's result for this setup, if it has one.
    """
    outputs = Outputs.of(
        [prediction.prediction for prediction in predictions],
        [prediction.references for prediction in predictions],
        [prediction.source for prediction in predictions],
    )
    return Results(
        split=split,
        step=step,
        examples=len(predictions),
        search=search.to_dict(),
        scores=scoring.scores(outputs),
        baseline_name=scoring.task.baseline,
        baseline=baseline,
        paper=paper,
    )


def write(path: pathlib.Path, results: Results) -> None:
    """Writes results atomically, as one JSON object."""
    json_files.write_object(path, results.to_dict())
