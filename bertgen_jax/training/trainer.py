"""The training loop.

Read `train` from top to bottom. docs/architecture.md documents the order of its
effects. Running the same command again on the same work directory resumes a stopped
run, bit for bit.
"""

import contextlib
import dataclasses
import functools
import logging
import pathlib

import jax
from ml_collections import ConfigDict

from bertgen_jax import sharding, watchdog
from bertgen_jax.data import batching, loading
from bertgen_jax.evaluation.evaluator import Evaluator
from bertgen_jax.experiment.run import Run
from bertgen_jax.models import initialization
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.pretrained import saving
from bertgen_jax.training import metrics_log, optimizers, steps
from bertgen_jax.training.finite_watch import FiniteWatch
from bertgen_jax.training.flops import Utilization
from bertgen_jax.training.interruption import Interruption
from bertgen_jax.training.metrics_log import Clock, MetricsLog
from bertgen_jax.training.progress import Progress, due
from bertgen_jax.training.step_programs import StepPrograms
from bertgen_jax.training.steps import TrainState
from bertgen_jax.trees import Params
from bertgen_jax.watchdog import watching

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a call of `train`.

    Attributes:
      step: completed steps.
      best_step: the step whose parameters are the best.
      interrupted: the name of the signal that stopped the run before its end; "" if the
        run is complete. Only a complete run writes WORKDIR/model.
    """

    step: int
    best_step: int | None
    interrupted: str = ""


def train(config: ConfigDict, workdir: str | pathlib.Path) -> Outcome:
    """Trains a model, or continues to train it.

    Args:
      config: an experiment; see configs/common.py.
      workdir: the folder for all files of the run; created if missing.

    Raises:
      BertgenError: an invalid file, flag or field; everything saved before is intact.
    """
    with contextlib.ExitStack() as stack:
        # 1. Check the config, lock the work directory and compare its config. Open data
        #    and checkpoints, so that a missing file fails here. Then tokenize.
        run = stack.enter_context(Run.for_training(config, pathlib.Path(workdir)))
        corpus = run.split("train")
        validation = Evaluator.open(run, "validation", config.eval.num_examples)
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

        # 2. Decide where arrays live, and compile the functions of the loop. Batches
        #    are split over both axes of the mesh (data, fsdp); parameters and optimizer
        #    state over fsdp.
        model, mesh = run.model, run.mesh
        param_shapes = initialization.param_shapes(model)
        schedule = optimizers.create_schedule(
            config.optim.schedule,
            rate=config.optim.learning_rate,
            warmup_steps=config.optim.warmup_steps,
            total_steps=config.total_steps,
            hidden_size=model.config.decoder.hidden_size,
        )
        optimizer = optimizers.create_optimizer(config.optim, schedule, param_shapes)

        def create_state(params: Params) -> TrainState:
            return TrainState.create(params, optimizer, ema=config.ema_decay > 0)

        state_shapes = jax.eval_shape(create_state, param_shapes)
        state_sharding = sharding.state_shardings(state_shapes, mesh)
        batch_sharding = sharding.batch_sharding(mesh)
        replicated = sharding.replicated(mesh)

        def jit_step(policy: str) -> jax.stages.Wrapped:
            return jax.jit(
                functools.partial(
                    steps.train_step,
                    loss=functools.partial(
                        teacher_forced_loss,
                        model.clone(remat=policy),
                        label_smoothing=config.label_smoothing,
                    ),
                    optimizer=optimizer,
                    settings=steps.StepSettings(
                        seed=config.seed,
                        micro_batches=config.micro_batches,
                        ema_decay=config.ema_decay,
                    ),
                ),
                in_shardings=(state_sharding, batch_sharding),
                out_shardings=(state_sharding, replicated),
                donate_argnums=0,
            )

        count = sum(leaf.size for leaf in jax.tree.leaves(param_shapes))
        _log.info("model: %s, %s parameters", config.init.recipe, f"{count:,}")
        sharded_shapes = sharding.with_shardings(state_shapes, state_sharding)
        train_step = StepPrograms.of_run(
            run, jit_step, sharded_shapes, corpus.buckets, parameters=count
        )
        if (run.store.latest_step() or 0) < config.total_steps:
            train_step.prepare()  # a run that does not fit fails here
        flush_totals = jax.jit(
            steps.flush_totals,
            in_shardings=(state_sharding,),
            out_shardings=(state_sharding, replicated),
            donate_argnums=0,
        )

        # 3. Create or restore the state. A new run starts from random parameters, of
        #    which the warm start replaces some, and makes the optimizer's state from
        #    them. A run with checkpoints continues from the newest intact one.
        if run.is_new:
            create_on_mesh = jax.jit(create_state, out_shardings=state_sharding)
            state = create_on_mesh(run.first_params())
            progress = Progress(data=plan.fingerprint)
        else:
            _, state, extra = run.store.restore(None, sharded_shapes)
            progress = Progress.restored(extra, plan.fingerprint)
            _log.info("resuming from step %d", int(state.step))
        run.write_config()
        step, last = int(state.step), config.total_steps

        log = MetricsLog(run.workdir, tensorboard=config.log.tensorboard, step=step)
        stack.enter_context(contextlib.closing(log))
        interruption = stack.enter_context(Interruption.watched())
        batches = loading.to_device(
            loading.train_batches(
                corpus.encoded,
                plan,
                fill=run.fill_ids,
                start=step,
                host=jax.process_index(),
                hosts=jax.process_count(),
                threads=config.data.threads,
                prefetch=config.data.prefetch,
            ),
            batch_sharding,
        )
        stack.enter_context(contextlib.closing(batches))
        watch = FiniteWatch(run.examples["train"])
        clock = Clock(progress.elapsed_s)
        kind = jax.local_devices()[0].device_kind
        utilization = Utilization(model.config, kind, mesh.size)
        clock.begin(step)

        # 4. The loop: draw a batch, make a step, log. Evaluate before saving, so that
        #    the checkpoint has its metrics, and save before drawing the next batch.
        #    Arrays move between host and devices only in the explicit transfer of
        #    batches, and where the guard allows it: to log, evaluate and save.
        stack.enter_context(jax.transfer_guard("disallow"))
        stack.enter_context(watchdog.running(config.watchdog_s))
        done = step >= last or progress.exhausted(config.eval.patience)
        stopping = False
        while not (done or stopping):
            with clock.waiting(), watching(f"the wait for batch {step + 1}"):
                host_batch, batch = next(batches)
            with watching(f"step {step + 1}"):
                state, step_checks = train_step(state, batch)
            step += 1
            watch.add(step, step_checks, host_batch["example_index"])
            utilization.add(host_batch)

            if due(step, config.log.every_steps, last):
                state, totals = flush_totals(state)
                watch.flush()
                with jax.transfer_guard("allow"):
                    values = metrics_log.train_values(totals, schedule(step - 1))
                values |= metrics_log.rates(clock, utilization, step, last, values)
                log.write(step, "train", values)
                _log.info(metrics_log.train_line(step, last, values))

            metrics = None
            if due(step, config.eval.every_steps, last):
                watch.flush()
                with clock.paused(), jax.transfer_guard("allow"):
                    evaluation = validation.evaluate(state.eval_params, step)
                    metrics = evaluation.metrics
                    log.write(step, "validation", metrics)
                    evaluation.write(run.workdir)
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
                watch.flush()
                progress = dataclasses.replace(progress, elapsed_s=clock.trained_s)
                with (
                    clock.paused(),
                    jax.transfer_guard("allow"),
                    watching(f"the save of step {step}"),
                ):
                    run.store.save(step, state, dataclasses.asdict(progress), metrics)

        # 5. Export the best parameters to WORKDIR/model.
        with jax.transfer_guard("allow"), watching(f"the save of step {step}"):
            run.store.wait()
        best_step = run.store.best_step()
        if not done:
            return Outcome(step, best_step, interruption.name)
        if step < last:
            _log.info(
                "stopped after step %d: %s has not improved for %d evaluations",
                step,
                config.eval.metric,
                config.eval.patience,
            )
        if best_step is None:
            _log.warning("no checkpoint has a finite %s", config.eval.metric)
        with jax.transfer_guard("allow"):
            params = run.params(best_step)
            if jax.process_index() == 0:
                saving.save_pretrained(
                    run.workdir / "model",
                    model,
                    params,
                    run.tokenizers,
                    run.generation_config,
                )
        return Outcome(step, best_step)
