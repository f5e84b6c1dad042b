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

from bertgen_jax import sharding, stacked_layers, trees, watchdog
from bertgen_jax.data import batching, loading
from bertgen_jax.evaluation.evaluator import Evaluator
from bertgen_jax.experiment.run import Run
from bertgen_jax.models import initialization
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.pretrained import saving
from bertgen_jax.training import environment, metrics_log, optimizers, steps
from bertgen_jax.training.checkpointing import Checkpointing
from bertgen_jax.training.flops import Utilization
from bertgen_jax.training.interruption import Interruption
from bertgen_jax.training.metrics_log import Clock, MetricsLog
from bertgen_jax.training.progress import Progress, due
from bertgen_jax.training.step_programs import StepPrograms
from bertgen_jax.training.step_watch import BadSteps, StepWatch
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
      interrupted: the name of a signal that asked the run to stop; "" without one. If
        it came before the last step, there is no WORKDIR/model yet.
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
        #    and checkpoints, and make the optimizer, so that a missing file or a wrong
        #    value fails here. Then tokenize.
        run = stack.enter_context(Run.for_training(config, pathlib.Path(workdir)))
        model, mesh = run.model, run.mesh
        param_shapes = initialization.param_shapes(model)
        schedule = optimizers.create_schedule(
            config.optim.schedule,
            rate=config.optim.learning_rate,
            warmup_steps=config.optim.warmup_steps,
            total_steps=config.total_steps,
            hidden_size=model.config.decoder.hidden_size,
        )
        stacks_layers = config.model.scan_layers and optimizers.updates_layers_alike(
            config.optim, param_shapes
        )
        if stacks_layers:
            param_shapes = stacked_layers.stack_params(param_shapes)
        optimizer = optimizers.create_optimizer(config.optim, schedule, param_shapes)
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
        bad_steps = BadSteps(**config.bad_steps)
        window = bad_steps.window if bad_steps.spike_factor else 0

        def create_state(params: Params) -> TrainState:
            return TrainState.create(
                params, optimizer, ema=config.ema_decay > 0, window=window
            )

        state_shapes = steps.abstract_state(create_state, param_shapes, mesh)
        state_shardings = sharding.shardings(state_shapes)
        step_settings = steps.StepSettings(
            seed=config.seed,
            micro_batches=config.micro_batches,
            ema_decay=config.ema_decay,
            spike_factor=bad_steps.spike_factor,
            counts_bad_steps=bad_steps.skips,
        )

        def jit_step(policy: str) -> jax.stages.Wrapped:
            loss = functools.partial(
                teacher_forced_loss,
                model.clone(remat=policy),
                label_smoothing=config.label_smoothing,
            )
            return steps.jit_train_step(
                loss, optimizer, step_settings, state_shapes, mesh
            )

        count = sum(leaf.size for leaf in jax.tree.leaves(param_shapes))
        _log.info("model: %s, %s parameters", config.init.recipe, f"{count:,}")
        buckets = plan.buckets_in_use(run.store.latest_step() or 0, config.total_steps)
        train_step = StepPrograms.of_run(
            run, jit_step, state_shapes, buckets, parameters=count
        )

        @stack.push
        def end_compiling(error: type[BaseException] | None, *_: object) -> None:
            train_step.close(waits=error is not KeyboardInterrupt)

        interruption = stack.enter_context(Interruption.watched())
        train_step.start()
        flush_totals = jax.jit(
            steps.flush_totals,
            in_shardings=(state_shardings,),
            out_shardings=(state_shardings, sharding.replicated(mesh)),
            donate_argnums=0,
        )

        # 3. Create or restore the state. A new run starts from random parameters, of
        #    which the warm start replaces some, and makes the optimizer's state from
        #    them. A run with checkpoints continues from the newest intact one.
        checkpoints = Checkpointing(run.store, state_shapes, mesh, plan.fingerprint)
        params = run.first_params() if run.is_new else None  # while the step compiles
        # A run that does not fit fails here.
        train_step.wait(interruption.requested_alone)
        current = environment.describe(
            mesh, config.model.scan_layers, train_step.policy
        )
        if params is not None:
            if stacks_layers:
                params = stacked_layers.stack_params(params)
            create_on_mesh = jax.jit(create_state, out_shardings=state_shardings)
            state = create_on_mesh(params)
            progress = Progress(data=plan.fingerprint, environment=current)
        else:
            state, progress = checkpoints.restore(None)
            _log.info("resuming from step %d", int(state.step))
            changes = environment.changes(progress.environment, current, model.config)
            if changes:
                _log.warning("%s", changes)
            progress = dataclasses.replace(progress, environment=current)
        del params  # the host's copy
        run.write_config()
        if run.is_new and bad_steps.goes_back:
            state = checkpoints.save(state, progress, None, step=0)
        step, last = int(state.step), config.total_steps

        def begin():  # from the current `step` and `progress`
            log = MetricsLog(run.workdir, tensorboard=config.log.tensorboard, step=step)
            batches = loading.to_device(
                loading.train_batches(
                    corpus.encoded,
                    plan,
                    fill=run.fill_ids,
                    start=step + progress.left_out_batches,
                    host=jax.process_index(),
                    hosts=jax.process_count(),
                    threads=config.data.threads,
                    prefetch=config.data.prefetch,
                ),
                sharding.batch_sharding(mesh),
            )
            stack.enter_context(contextlib.closing(log))
            stack.enter_context(contextlib.closing(batches))
            watch = StepWatch(run.examples["train"], bad_steps, progress)
            kind = jax.local_devices()[0].device_kind
            return log, batches, watch, Utilization(model.config, kind, mesh.size)

        log, batches, watch, utilization = begin()
        clock = Clock(progress.elapsed_s)
        clock.begin(step)
        if step < last:
            _log.info("training from step %s to %s", f"{step + 1:,}", f"{last:,}")

        # 4. The loop: draw a batch, make a step, log. Evaluate before saving, so that
        #    the checkpoint has its metrics, and save before drawing the next batch.
        #    Arrays move between host and devices only in the explicit transfer of
        #    batches, and where the guard allows it: to log, evaluate and save.
        stack.enter_context(jax.transfer_guard("disallow"))
        stack.enter_context(watchdog.running(config.watchdog_s))
        done = step >= last or progress.exhausted(config.eval.patience)
        stopping = False
        while not (done or stopping):
            number = step + progress.left_out_batches + 1
            with clock.waiting(), watching(f"the wait for batch {number}"):
                host_batch, batch = next(batches)
            with watching(f"step {step + 1}"):
                state, step_checks = train_step(state, batch)
            step += 1
            watch.add(step, step_checks, host_batch["example_index"])
            utilization.add(host_batch)

            stopping = interruption.requested()
            logs = due(step, config.log.every_steps, last)
            evaluates = due(step, config.eval.every_steps, last)
            saves = due(step, config.checkpoint.every_steps, last)
            if logs or evaluates or saves or stopping:
                watch.flush()
            if watch.bad_step is not None:
                # Go back, and leave out the batches up to the bad one. A run that is
                # killed before its next save comes here again, so the result is the
                # same.
                with clock.paused(), jax.transfer_guard("allow"):
                    trees.delete(state)
                    state, earlier = checkpoints.restore(progress.scheduled_step)
                    run.store.delete_after(progress.scheduled_step)
                    progress = progress.gone_back(earlier, watch.bad_step)
                    step = progress.scheduled_step
                    batches.close()
                    log.close()
                    log, batches, watch, utilization = begin()
                    clock.begin(step)
                _log.warning(
                    "back to step %d; the next batch is number %d",
                    step,
                    step + progress.left_out_batches + 1,
                )
                stopping = False
                continue
            progress = dataclasses.replace(
                progress,
                skipped=watch.skipped,
                skipped_in_a_row=watch.skipped_in_a_row,
            )

            if logs:
                state, totals = flush_totals(state)
                with jax.transfer_guard("allow"):
                    rate = schedule(step - progress.skipped - 1)
                    values = metrics_log.train_values(totals, rate)
                values |= metrics_log.rates(clock, utilization, step, last, values)
                values |= progress.left_out()
                log.write(step, "train", values)
                _log.info(metrics_log.train_line(step, last, values))

            metrics = None
            if evaluates:
                with clock.paused(), jax.transfer_guard("allow"):
                    params = stacked_layers.unstack_params(state.eval_params)
                    evaluation = validation.evaluate(params, step)
                    del params
                    metrics = evaluation.metrics
                    log.write(step, "validation", metrics)
                    evaluation.write(run.workdir)
                progress = progress.after(metrics, config.eval.metric, step)
                _log.info(progress.line(step, metrics, config.eval.metric))

            done = step == last or progress.exhausted(config.eval.patience)
            saves |= done or (metrics is not None and progress.best_step == step)
            if saves or stopping:
                progress = dataclasses.replace(progress, elapsed_s=clock.trained_s)
                if saves:
                    progress = progress.scheduled(step)
                with clock.paused(), jax.transfer_guard("allow"):
                    state = checkpoints.save(
                        state,
                        progress,
                        metrics,
                        step=step,
                        # What a signal saves does not replace the checkpoint to which
                        # an undisturbed run would go back.
                        keep=[progress.scheduled_step] if bad_steps.goes_back else [],
                    )

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
        return Outcome(
            step, best_step, interruption.name if interruption.requested() else ""
        )
