"""A process that is stuck says where, and ends; one that makes progress does not."""

import subprocess
import sys
import textwrap

import pytest

from bertgen_jax import watchdog

IMPORTS = "import time\nfrom bertgen_jax import watchdog\n"


def run(script):
    """Runs a script; returns its exit status and what it wrote to stderr."""
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTS + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return ended.returncode, ended.stderr


def test_a_stuck_process_names_what_ran_shows_stacks_and_ends():
    status, errors = run(
        """
        def read_a_dead_disk():
            time.sleep(1000)

        with watchdog.running(0.2), watchdog.watching("the save of step 60"):
            with watchdog.watching("a part of it"):
                pass
            read_a_dead_disk()
        """
    )
    assert status == watchdog.STUCK
    assert "was stuck in the save of step 60 for more than 0.2 s" in errors
    assert "in read_a_dead_disk" in errors
    assert "the same command resumes the run" in errors


def test_an_item_that_does_not_come_is_noticed():
    status, errors = run(
        """
        def items():
            yield from range(3)
            time.sleep(1000)

        with watchdog.running(0.2):
            for item in watchdog.each(items(), "the texts of the test split"):
                pass
        """
    )
    assert status == watchdog.STUCK
    assert "stuck in the texts of the test split" in errors


def test_progress_unwatched_code_and_compiling_are_left_alone():
    status, errors = run(
        """
        import jax
        from jax._src import compiler

        compile = compiler.backend_compile_and_load

        def compile_slowly(*args, **kwargs):
            time.sleep(1.5)
            return compile(*args, **kwargs)

        compiler.backend_compile_and_load = compile_slowly
        with watchdog.running(0.5):
            for item in watchdog.each(range(6), "short items"):
                time.sleep(0.2)
            time.sleep(1.5)
            with watchdog.watching("a step"):
                jax.jit(lambda x: x * 3)(2.0)
        assert watchdog._Watchdog.current is None
        with watchdog.running(0), watchdog.watching("no watchdog"):
            pass
        """
    )
    assert status == 0, errors


def test_each_yields_the_items_without_a_watchdog():
    assert list(watchdog.each([1, 2], "items")) == [1, 2]


NO_BATCH = """
read = loading.to_device

def to_device(batches, sharding):
    yield from itertools.islice(read(batches, sharding), 2)
    time.sleep(1000)

loading.to_device = to_device
"""
NO_STEP = """
loss = trainer.teacher_forced_loss
calls = []

def sleep(labels):
    calls.append(1)
    time.sleep(1000 if len(calls) == 2 else 0)
    return labels

def stuck(model, params, batch, *rest, **settings):
    labels = jax.ShapeDtypeStruct((8, 8), "int32")
    labels = jax.pure_callback(sleep, labels, batch["labels"])
    return loss(model, params, {**batch, "labels": labels}, *rest, **settings)

trainer.teacher_forced_loss = stuck
"""
NO_SAVE = """
CheckpointStore.save = lambda *_: time.sleep(1000)
config.checkpoint.every_steps = 1
"""

NO_TEXT = """
Generator.__call__ = lambda *_: time.sleep(1000)
config.eval.every_steps = 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (NO_BATCH, "the wait for batch 3"),
        (NO_STEP, "step 2"),
        (NO_SAVE, "the save of step 1"),
        (NO_TEXT, "the texts of the validation split"),
    ],
    ids=["batch", "step", "save", "text"],
)
def test_a_stuck_run_says_what_it_waits_for(fault, what, tmp_path):
    script = f"""
import itertools
import pathlib

import jax

from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.data import loading
from bertgen_jax.generation.generator import Generator
from bertgen_jax.training import trainer
from tests.training import test_trainer

data = pathlib.Path({str(tmp_path)!r})
test_trainer.write_examples(data / "train.jsonl", 40, seed=0)
test_trainer.write_examples(data / "held_out.jsonl", 10, seed=1)
config = test_trainer.small_config(data)
config.batch_size = 8
config.data.buckets = ((32, 8),)
config.checkpoint.every_steps = config.eval.every_steps = 0
config.watchdog_s = 3.0
{fault}
trainer.train(config, data / "run")
"""
    status, errors = run(script)
    assert status == watchdog.STUCK, errors
    assert f"stuck in {what} for more than 3 s" in errors
