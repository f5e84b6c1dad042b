"""The memory of a step is predicted, checked, and decides what is recomputed."""

import functools

import jax
import jax.numpy as jnp
import pytest

from benchmarks import ahead_of_time
from benchmarks.ahead_of_time import Workload
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
from bertgen_jax.models.presets import SIZES
from bertgen_jax.training import memory
from bertgen_jax.training.memory import Shapes
from tests.fixtures.models import pair_config, prefix_config, stack_config

BASE = pair_config(
    stack_config(vocab_size=50_358, max_position_embeddings=512, **SIZES["base"]),
    share_embeddings=True,
)
PARAMETERS = 237_595_830  # of BASE
PAPER = Shapes(rows=64, source=512, target=128, itemsize=2)

# Bytes that XLA's programs for an H100 need with these policies.
H100 = {"none": 34.0e9, "dots": 13.9e9, "full": 7.3e9}


@pytest.mark.parametrize("policy", H100)
def test_the_prediction_is_near_the_program_for_an_h100(policy):
    predicted = memory.predicted_bytes(BASE, PARAMETERS, PAPER, policy)
    assert 0.9 < predicted / H100[policy] < 1.25


def predicted(policy, config=BASE, **changes):
    shapes = Shapes(**vars(PAPER) | changes)
    return memory.predicted_bytes(config, PARAMETERS, shapes, policy)


def test_what_needs_less():
    assert predicted("none") > predicted("dots") > predicted("full")
    for policy in ("none", "dots", "full"):
        assert predicted(policy, rows=32) < predicted(policy)
        assert predicted(policy, source=256) < predicted(policy)
        assert predicted(policy, split=8) < predicted(policy)
        assert predicted(policy, itemsize=4) > predicted(policy)
        assert predicted(policy, slots=4) > predicted(policy)
    assert predicted("full", prefix_config(stack_config(max_position_embeddings=640)))


@pytest.mark.parametrize(
    ("gigabytes", "chosen"),
    [
        (80, ["none", "dots", "full"]),
        (20, ["dots", "full"]),
        (9, ["full"]),
        (1, ["full"]),
    ],
)
def test_auto_tries_what_should_fit_first(gigabytes, chosen):
    available = int(gigabytes * 1e9)
    assert list(memory.policies("auto", predicted, available)) == chosen
    assert list(memory.policies("dots", predicted, available)) == ["dots"]


@pytest.mark.slow
def test_auto_keeps_a_step_of_the_papers_size_below_20_gb_of_temporary_arrays():
    in_f32 = functools.partial(predicted, itemsize=4)
    policy = next(memory.policies("auto", in_f32, 20 * 10**9))
    workload = Workload(BASE, Bucket(512, 128), 64, dtype="float32")
    assert workload.parameters == PARAMETERS
    mesh = sharding.create_mesh(1, 1, devices=jax.devices()[:1])
    traced = ahead_of_time.trace_step(workload, mesh, policy)
    analysis = traced.lower().compile().memory_analysis()
    assert analysis.temp_size_in_bytes < 20e9
    # The new state takes the place of the old one.
    assert analysis.alias_size_in_bytes > 0.99 * 3 * 4 * PARAMETERS


def settings(policy="full", needed=None, available=10**9, **changes):
    arguments = {"micro_batches": 1, "devices": 1, "is_unrolled": False} | changes
    return memory.remedies(
        predicted, PAPER, policy=policy, needed=needed, available=available, **arguments
    )


def test_what_was_tried_is_no_remedy():
    assert "--config.model.remat=full" in settings("dots")
    assert "--config.model.remat=full" not in settings("full")
    assert "--config.model.remat=full" not in settings("dots", is_unrolled=True)
    assert "--config.model.scan_layers=True" in settings("full", is_unrolled=True)


def test_remedies_are_as_much_larger_as_the_program_was():
    plain = settings("dots", devices=8)
    scaled = settings("dots", needed=10 * predicted("dots"), devices=8)
    assert set(plain) == set(scaled)
    for setting, size in plain.items():
        assert scaled[setting] == pytest.approx(10 * size)
    # A prediction that was too high says nothing about others.
    assert settings("dots", needed=1, devices=8) == plain


def test_as_many_micro_batches_as_it_takes():
    def parts(available, rows=64):
        shapes = Shapes(**vars(PAPER) | {"rows": rows})
        named = memory.remedies(
            predicted,
            shapes,
            policy="full",
            needed=None,
            available=available,
            micro_batches=3,
            devices=1,
            is_unrolled=False,
        )
        return [*named]

    eight = predicted("full", rows=8, accumulates=True)
    assert parts(eight) == ["--config.micro_batches=24"]
    assert parts(1) == ["--config.micro_batches=192"]  # one row each
    assert parts(1, rows=12) == ["--config.micro_batches=12"]
    assert parts(1, rows=3) == []


def test_a_cpu_has_the_memory_of_the_machine():
    assert jnp.dtype(jnp.float32).itemsize * 2**20 < memory.available_bytes() < 2**50
