"""The one training loop: a config and a work directory in, a trained model out.

Read `train` from top to bottom. The order of effects in it is a promise of
docs/architecture.md; the same command on the same work directory goes on where the last
one stopped, bit for bit.
"""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from bertgen_jax import sharding
from bertgen_jax.data import batching, loading
from bertgen_jax.evaluation import evaluator
from bertgen_jax.experiment import build
from bertgen_jax.experiment import checks as checks_lib
from bertgen_jax.experiment import workdir as workdir_lib
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.pretrained import loading as loading_lib
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.training import reporting
from bertgen_jax.training.clock import Clock
from bertgen_jax.training.compiled import CompiledSteps
from bertgen_jax.training.interruption import Interruption
from bertgen_jax.training.periodic import due
from bertgen_jax.training.progress import Progress
from bertgen_jax.training.watch import FiniteWatch
from bertgen_jax.training.writers import Writer
from bertgen_jax.warm_start import initialization
from bertgen_jax.warm_start.recipes import Selection

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
      step: completed steps.
      best_step: the checkpoint in `model/`.
      interrupted: the name of the signal that stopped the run before its end; "" if
        none did. `model/` is written at the end only.
    """

    step: int
    best_step: int | None
    interrupted: str = ""


def train(config: ConfigDict, workdir: str | pathlib.Path) -> Outcome:
    """Trains a model, or goes on training it.

    Args:
      config: an experiment; see configs/common.py.
      workdir: where everything of the run is kept; made if missing.

    Raises:
      BertgenError: a file, flag or field that cannot be meant; nothing that was saved
        is lost.
    """
    workdir = pathlib.Path(workdir)
    with contextlib.ExitStack() as stack:
        # 1. The configuration, and the devices that it asks for.
        checks_lib.check(config)
        stack.enter_context(workdir_lib.locked(workdir))
        store = stack.enter_context(
            contextlib.closing(build.open_store(config, workdir))
        )
        is_new = store.latest_step() is None
        if not is_new:  # what has saved nothing yet owns nothing
            workdir_lib.check(workdir, config)
        mesh = sharding.create_mesh(config.mesh.data, config.mesh.fsdp)
        sharding.check_batch(
            config.batch_size, mesh, config.micro_batches, "batch_size"
        )
        sharding.check_batch(config.eval.batch_size, mesh, 1, "eval.batch_size")
        by_rows = sharding.batch_sharding(mesh)

        # 2. The data: opened and checked, then tokenized.
        texts = build.open_examples(config, "train")
        held_out = build.open_examples(config, "validation")
        if config.data.test:  # read at the end, missed at once
            build.open_examples(config, "test")
        if is_new:
            checkpoints = build.open_checkpoints(config)  # what is missing shows now
            tokenizers = build.make_tokenizers(config, workdir, checkpoints, texts)
            architecture = build.model_config(config, checkpoints, tokenizers)
            build.write_model_config(workdir, architecture)
        else:
            tokenizers = build.open_tokenizers(workdir)
        model = build.open_model(config, workdir)
        corpus = build.open_split(config, "train", texts, tokenizers)
        validation = evaluator.Evaluator.open(
            config,
            "validation",
            held_out,
            tokenizers,
            model.config,
            by_rows,
            config.eval.num_examples,
        )
        plan = batching.TrainPlan(
            corpus.encoded,
            corpus.buckets,
            batch_size=config.batch_size,
            seed=config.seed,
        )
        _log.info(
            "train: %d batches an epoch, %.0f%% of their tokens padding",
            plan.batches_per_epoch,
            100 * plan.padding_share(),
        )

        # 3. A new run: the parameters, then the optimizer's state made from them.
        # 4. Else the newest intact checkpoint.
        run = CompiledSteps.create(config, model, mesh)
        count = sum(leaf.size for leaf in jax.tree.leaves(run.abstract_state.params))
        _log.info("model: %s, %s parameters", config.init.recipe, f"{count:,}")
        if is_new:
            params = first_params(config, workdir, model, checkpoints, tokenizers)
            state = run.initial_state(params)
            progress = Progress(data=plan.fingerprint)
        else:
            _, state, extra = store.restore(None, run.abstract_state)
            progress = Progress.resumed(extra, plan.fingerprint)
            _log.info("going on from step %d", int(state.step))
        workdir_lib.claim(workdir, config)
        step, last = int(state.step), config.total_steps

        writer = Writer(workdir, tensorboard=config.log.tensorboard, step=step)
        stack.enter_context(contextlib.closing(writer))
        interruption = stack.enter_context(Interruption.watched())
        batches = loading.to_device(
            loading.train_batches(
                corpus.encoded,
                plan,
                fill=build.fill_ids(tokenizers, model),
                start=step,
                host=jax.process_index(),
                hosts=jax.process_count(),
                threads=config.data.threads,
                prefetch=config.data.prefetch,
            ),
            by_rows,
        )
        stack.enter_context(contextlib.closing(batches))
        watch = FiniteWatch(texts)
        clock = Clock(progress.elapsed_s)
        clock.begin(step)

        # The loop: draw, step, log; evaluate, then save, so that the checkpoint carries
        # its metrics; only then the next batch.
        done = step >= last or progress.exhausted(config.eval.patience)
        while not done:
            host_batch, batch = next(batches)
            state, checks = run.step(state, batch)
            step += 1
            watch.add(step, checks, host_batch["example_index"])

            if due(step, config.log.every_steps, last):
                state, totals = run.drain(state)
                watch.settle()
                values = reporting.train_values(
                    totals, run.schedule(np.int32(step - 1))
                )
                rates = reporting.rates(clock, step, last, totals)
                writer.write(step, "train", values | rates)
                _log.info(reporting.line(step, last, values, rates))

            metrics = None
            if due(step, config.eval.every_steps, last):
                watch.settle()
                with clock.paused():
                    evaluation = validation.evaluate(model, state.eval_params, step)
                    metrics = evaluation.metrics
                    writer.write(step, "validation", metrics)
                    evaluation.write(workdir)
                progress = progress.after(metrics, config.eval.metric, step)
                _log.info(progress.line(step, metrics, config.eval.metric))

            done = step == last or progress.exhausted(config.eval.patience)
            stopping = interruption.requested(step)
            if (
                stopping
                or done
                or due(step, config.checkpoint.every_steps, last)
                or (metrics is not None and progress.best_step == step)
            ):
                watch.settle()
                with clock.paused():
                    progress = dataclasses.replace(progress, elapsed_s=clock.trained_s)
                    store.save(step, state, dataclasses.asdict(progress), metrics)
            if stopping and not done:
                store.wait()
                return Outcome(step, store.best_step(), interruption.name)

        # The end: the best parameters become WORKDIR/model.
        store.wait()
        if step < last:
            _log.info(
                "stopped after step %d: %s has not improved for %d evaluations",
                step,
                config.eval.metric,
                config.eval.patience,
            )
        best_step = store.best_step()
        if best_step is None:
            _log.warning("no checkpoint has a finite %s", config.eval.metric)
        if jax.process_index() == 0:
            _, params = build.restore_params(config, store, best_step)
            loading_lib.save_pretrained(
                workdir / "model",
                model,
                params,
                tokenizers,
                build.generation_config(config, tokenizers),
            )
        return Outcome(step, best_step)


def first_params(
    config: ConfigDict,
    workdir: pathlib.Path,
    model: Seq2SeqModel,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
) -> Any:
    """The parameters before step 1: random by the seed, and warm by the recipe.

    What came from where is logged, and written to WORKDIR/warm_start.json.
    """
    params = initialization.random_params(model, config.seed)
    path = workdir / "warm_start.json"
    if jax.process_index() == 0:
        path.unlink(missing_ok=True)  # of a run that saved nothing else
    if not checkpoints:
        return params
    init = config.init
    selection = Selection.parse(init.parts, init.layers, init.mlm_bias)
    params, report = initialization.fill(
        params, model.config, checkpoints, tokenizers, selection
    )
    _log.info("%s", report)
    if jax.process_index() == 0:
        initialization.write_report(report, path)
    return params
