"""Parameters in, what they are worth on a split out: during training and after it."""

import contextlib
import dataclasses
import functools
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Self

import jax
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from bertgen_jax import normalization, sharding
from bertgen_jax.data import batching, loading
from bertgen_jax.data import examples as examples_lib
from bertgen_jax.data.examples import Examples
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError
from bertgen_jax.evaluation import prediction, results
from bertgen_jax.evaluation.predict import decode_split
from bertgen_jax.experiment import build, checks, tasks
from bertgen_jax.experiment import workdir as workdir_lib
from bertgen_jax.metrics.score import Score
from bertgen_jax.models import losses
from bertgen_jax.models.config import Seq2SeqConfig
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.tokenizers.pair import TokenizerPair

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was found of one checkpoint on one split.

    Attributes:
      metrics: by name, as metrics.jsonl and checkpoints carry them.
      predictions: generated texts.
      results: their scores, with signatures and intervals.
    """

    metrics: Mapping[str, float]
    predictions: list[prediction.Prediction]
    results: results.Results

    def write(self, workdir: pathlib.Path) -> None:
        """Writes predictions/SPLIT-STEP.jsonl and results/SPLIT-STEP.json."""
        if jax.process_index() == 0:
            name = f"{self.results.split}-{self.results.step}"
            prediction.write(
                workdir / "predictions" / f"{name}.jsonl", self.predictions
            )
            results.write(workdir / "results" / f"{name}.json", self.results)


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Evaluates parameters on one split.

    Attributes:
      split: its loss is measured on all of it.
      plan: its batches.
      decoded: the part of it that texts are generated for.
      decoded_plan: its batches.
      tokenizers: of sources and of targets.
      config: how to search.
      label_smoothing: part of the loss, not of the negative log-likelihood.
      measure: how texts are scored.
      paper: what the paper has reached, or None.
      sharding: of the batch axis.
    """

    split: build.Split
    plan: batching.EvalPlan
    decoded: build.Split
    decoded_plan: batching.EvalPlan
    tokenizers: TokenizerPair
    config: GenerationConfig
    label_smoothing: float
    measure: results.Measure
    paper: tasks.Yardstick | None
    sharding: NamedSharding

    @classmethod
    def open(
        cls,
        config: ConfigDict,
        name: str,
        examples: Examples,
        tokenizers: TokenizerPair,
        model: Seq2SeqConfig,
        sharding: NamedSharding,
        num_examples: int = 0,
    ) -> Self:
        """Encodes the split.

        Args:
          config: the experiment's.
          name: of the split.
          examples: its texts.
          tokenizers: the experiment's.
          model: its architecture.
          sharding: of the batch axis.
          num_examples: how many texts are generated; 0 for all.

        Raises:
          ConfigError: an example that fits none of `data.buckets`.
        """
        split = build.open_split(config, name, examples, tokenizers)
        decoded = split
        part = examples_lib.first(examples, num_examples)
        if part is not examples:
            decoded = build.open_split(config, name, part, tokenizers)
        plan = functools.partial(batching.EvalPlan, batch_size=config.eval.batch_size)
        return cls(
            split=split,
            plan=plan(split.encoded, split.buckets),
            decoded=decoded,
            decoded_plan=plan(decoded.encoded, decoded.buckets),
            tokenizers=tokenizers,
            config=build.generation_config(config, tokenizers),
            label_smoothing=config.label_smoothing,
            measure=results.Measure(
                tasks.get(config.task),
                normalization.parse_steps(config.eval.normalization),
                config.eval.stemming,
                config.eval.sentence_ends,
            ),
            paper=tasks.yardstick(config, model, name, len(part)),
            sharding=sharding,
        )

    @functools.cached_property
    def _baseline(self) -> dict[str, Score]:
        """It is the same at each evaluation."""
        examples = self.decoded.examples
        return self.measure.baseline([examples[i] for i in range(len(examples))])

    def evaluate(self, model: Seq2SeqModel, params: Any, step: int) -> Evaluation:
        """Measures loss and accuracy, generates texts and scores them."""
        metrics = self._losses(model, params)
        predictions = decode_split(
            model,
            params,
            self.decoded,
            self.decoded_plan,
            self.tokenizers,
            self.config,
            self.sharding,
        )
        scored = results.score(
            predictions,
            split=self.split.name,
            step=step,
            measure=self.measure,
            baseline=self._baseline,
            search=self.config,
            paper=self.paper,
        )
        metrics |= {name: score.value for name, score in scored.scores.items()}
        return Evaluation(metrics, predictions, scored)

    def _losses(self, model: Seq2SeqModel, params: Any) -> dict[str, float]:
        batches = loading.eval_batches(
            self.split.encoded,
            self.plan,
            fill=build.fill_ids(self.tokenizers, model),
            host=jax.process_index(),
            hosts=jax.process_count(),
        )
        sums = losses.Sums.zeros()
        for _, batch in loading.to_device(batches, self.sharding):
            sums = _add_losses(model, self.label_smoothing, params, batch, sums)
        sums = jax.device_get(sums)
        nll = float(sums.nll) / float(sums.tokens)
        return {
            "loss": float(sums.loss) / float(sums.tokens),
            "nll": nll,
            "perplexity": math.exp(min(nll, 700.0)),  # the largest that a float holds
            "accuracy": 100 * float(sums.correct) / float(sums.tokens),
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _add_losses(model, label_smoothing, params, batch, sums):
    logits = losses.teacher_forced_logits(model, params, batch, None)
    labels, weights = batch["labels"], batch["label_weights"]
    return sums + losses.cross_entropy(logits, labels, weights, label_smoothing)


def evaluate_run(
    config: ConfigDict, workdir: pathlib.Path, split: str, step: str
) -> Evaluation:
    """Evaluates a checkpoint of a work directory on a whole split and writes the files.

    Args:
      config: the experiment's.
      workdir: of a training run.
      split: "validation" or "test"; "train" works too.
      step: "best", "latest" or a number.

    Raises:
      BertgenError: no such checkpoint, or data that is not there.
    """
    checks.check(config)
    workdir_lib.check_model(workdir, config)
    examples = build.open_examples(config, split)
    tokenizers = build.open_tokenizers(workdir)
    model = build.open_model(config, workdir)
    mesh = sharding.create_mesh(data=-1, fsdp=1)
    sharding.check_batch(config.eval.batch_size, mesh, 1, "eval.batch_size")
    with contextlib.closing(build.open_store(config, workdir)) as store:
        number, params = build.restore_params(
            config,
            store,
            _number(store, step, workdir),
            sharding.replicated(mesh),
        )
    _log.info("evaluating step %d on the %s split", number, split)
    evaluator = Evaluator.open(
        config,
        split,
        examples,
        tokenizers,
        model.config,
        sharding.batch_sharding(mesh),
    )
    evaluation = evaluator.evaluate(model, params, number)
    evaluation.write(workdir)
    return evaluation


def _number(store, step: str, workdir: pathlib.Path) -> int:
    saved = store.steps()
    if not saved:
        raise CheckpointError(
            f"{workdir}/checkpoints: no checkpoint there yet; expected the work "
            "directory of a run that has saved one."
        )
    if step == "latest":
        return store.latest_step()
    if step == "best":
        best = store.best_step()
        if best is None:
            _log.warning("no checkpoint has a finite metric; taking the latest")
            return store.latest_step()
        return best
    if not (step.isascii() and step.isdigit()) or int(step) not in saved:
        raise CheckpointError(
            f"step is {step!r}; expected 'best', 'latest' or one of those in "
            f"{workdir}/checkpoints: {', '.join(map(str, saved))}."
        )
    return int(step)
