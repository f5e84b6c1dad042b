"""Evaluates parameters on a split: computes the loss, and scores generated texts."""

import dataclasses
import functools
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Self

import jax
from ml_collections import ConfigDict

from bertgen_jax import normalization, sharding, watchdog
from bertgen_jax.data import batching, loading
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation import predictions as predictions_lib
from bertgen_jax.evaluation import results as results_lib
from bertgen_jax.evaluation.predictions import Prediction
from bertgen_jax.evaluation.results import Results, Scoring
from bertgen_jax.experiment import tasks
from bertgen_jax.experiment.run import Run
from bertgen_jax.experiment.splits import Split
from bertgen_jax.experiment.tasks import PaperResult
from bertgen_jax.metrics.metric_value import Score
from bertgen_jax.models import losses
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.losses import Batch, Sums
from bertgen_jax.trees import Params

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The evaluation of one checkpoint on one split.

    Attributes:
      metrics: values by name, as metrics.jsonl and checkpoints store them.
      predictions: the generated texts.
      results: the scores of the predictions, with signatures and intervals.
    """

    metrics: Mapping[str, float]
    predictions: list[Prediction]
    results: Results

    def write(self, workdir: pathlib.Path) -> None:
        """Writes predictions/SPLIT-STEP.jsonl and results/SPLIT-STEP.json."""
        if jax.process_index() == 0:
            name = f"{self.results.split}-{self.results.step}"
            predictions_lib.write(
                workdir / "predictions" / f"{name}.jsonl", self.predictions
            )
            results_lib.write(workdir / "results" / f"{name}.json", self.results)


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Evaluates parameters of a run on one split.

    Attributes:
      run: the run.
      split: the split; loss and accuracy are computed on all its examples.
      plan: the batches of `split`.
      decoded: the examples of the split that texts are generated for.
      decoded_plan: the batches of `decoded`.
      search: settings for generating texts.
      scoring: settings for scoring texts.
      paper: the paper's result for the same setup, or None.
    """

    run: Run
    split: Split
    plan: batching.EvalPlan
    decoded: Split
    decoded_plan: batching.EvalPlan
    search: GenerationConfig
    scoring: Scoring
    paper: PaperResult | None

    @classmethod
    def open(cls, run: Run, name: str, num_examples: int = 0) -> Self:
        """Encodes a split and plans its batches.

        Args:
          run: the run.
          name: the name of a split that the run has opened.
          num_examples: number of examples to generate texts for; 0 for all.

        Raises:
          ConfigError: an example fits none of `data.buckets`.
        """
        config = run.config
        split = decoded = run.split(name)
        if 0 < num_examples < len(split.examples):
            decoded = run.split(name, num_examples)
        plan = functools.partial(batching.EvalPlan, batch_size=config.eval.batch_size)
        return cls(
            run=run,
            split=split,
            plan=plan(split.encoded, split.buckets),
            decoded=decoded,
            decoded_plan=plan(decoded.encoded, decoded.buckets),
            search=run.generation_config,
            scoring=Scoring(
                tasks.get(config.task),
                normalization.parse_steps(config.eval.normalization),
                config.eval.stemming,
                config.eval.sentence_ends,
            ),
            paper=tasks.paper_result(
                config, run.model.config, name, len(decoded.examples)
            ),
        )

    @functools.cached_property
    def _baseline(self) -> dict[str, Score]:
        """The baseline's scores, which are the same at each evaluation."""
        examples = self.decoded.examples
        return self.scoring.baseline([examples[i] for i in range(len(examples))])

    def evaluate(self, params: Params, step: int) -> Evaluation:
        """Computes loss and accuracy, generates texts and scores them.

        Args:
          params: the parameters, on the devices of the run's mesh.
          step: the training step that the parameters belong to.
        """
        metrics = self._losses(params)
        predictions = predictions_lib.predict(
            self.run, params, self.decoded, self.decoded_plan, self.search
        )
        results = results_lib.score(
            predictions,
            split=self.split.name,
            step=step,
            scoring=self.scoring,
            baseline=self._baseline,
            search=self.search,
            paper=self.paper,
        )
        metrics |= {name: score.value for name, score in results.scores.items()}
        return Evaluation(metrics, predictions, results)

    def _losses(self, params: Params) -> dict[str, float]:
        host_batches = loading.eval_batches(
            self.split.encoded,
            self.plan,
            fill=self.run.fill_ids,
            host=jax.process_index(),
            hosts=jax.process_count(),
        )
        by_rows = sharding.batch_sharding(self.run.mesh)
        sums = Sums.zeros()
        batches = loading.to_device(host_batches, by_rows)
        what = f"the loss of the {self.split.name} split"
        for _, batch in watchdog.each(batches, what):
            earlier, sums = (
                sums,
                _add_losses(
                    self.run.model,
                    self.run.config.label_smoothing,
                    params,
                    batch,
                    sums,
                ),
            )
            # Be one batch ahead of the devices, not all, so that progress is seen.
            jax.block_until_ready(earlier)
        with watchdog.watching(what):
            sums = jax.device_get(sums)
        nll = float(sums.nll) / float(sums.tokens)
        return {
            "loss": float(sums.loss) / float(sums.tokens),
            "nll": nll,
            "perplexity": math.exp(min(nll, 700.0)),  # more would overflow a float
            "accuracy": 100 * float(sums.correct) / float(sums.tokens),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _add_losses(
    model: Seq2SeqModel,
    label_smoothing: float,
    params: Params,
    batch: Batch,
    sums: Sums,
) -> Sums:
    return sums + losses.teacher_forced_loss(
        model, params, batch, None, label_smoothing=label_smoothing
    )


def evaluate_run(
    config: ConfigDict, workdir: pathlib.Path, split: str, step: str
) -> Evaluation:
    """Evaluates a checkpoint of a work directory on a whole split and writes the files.

    Args:
      config: the experiment's config.
      workdir: the work directory of a training run.
      split: "validation", "test" or "train".
      step: "best", "latest" or a number.

    Raises:
      BertgenError: there is no such checkpoint, or data is missing.
    """
    with (
        Run.for_evaluation(config, workdir, [split]) as run,
        watchdog.running(config.watchdog_s),
    ):
        number = run.find_step(step)
        params = run.params(number, sharding.replicated(run.mesh))
        _log.info("evaluating step %d on the %s split", number, split)
        evaluation = Evaluator.open(run, split).evaluate(params, number)
        evaluation.write(workdir)
        return evaluation
