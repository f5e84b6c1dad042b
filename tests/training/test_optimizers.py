"""Schedules and optimizers do what the config's `optim` says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bertgen_jax import stacked_layers
from bertgen_jax.errors import ConfigError
from bertgen_jax.training import optimizers
from bertgen_jax.training.adam import scale_by_adam
from configs import common

PARAMS = {
    "encoder": {"layer_0": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones((3,))}},
    "decoder": {"embedding": jnp.full((5, 4), 2.0)},
}
GRADS = jax.tree.map(lambda leaf: 0.1 * leaf, PARAMS)


def optim(**changes):
    """The default settings with a rate of 1, which shows what comes before it."""
    settings = common.get_config().optim
    settings.update(learning_rate=1.0, schedule="constant", warmup_steps=0, eps=0.0)
    settings.update(changes)
    return settings


def updates(params=PARAMS, grads=GRADS, **changes):
    """The first updates, and the state after them."""
    settings = optim(**changes)
    schedule = optimizers.create_schedule(
        settings.schedule,
        rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        total_steps=10,
        hidden_size=4,
    )
    optimizer = optimizers.create_optimizer(settings, schedule, params)
    return optimizer.update(grads, optimizer.init(params), params, good=True)


def test_adam_steps_by_the_rate_against_the_gradient():
    moves, _ = updates()
    jax.tree.map(
        lambda update: np.testing.assert_allclose(update, -1.0, rtol=1e-5), moves
    )


def test_decay_pulls_on_what_the_pattern_names_alone():
    moves, _ = updates(name="adamw", weight_decay=0.25, decay_pattern="kernel$")
    layer = moves["encoder"]["layer_0"]
    np.testing.assert_allclose(layer["kernel"], -1.0 - 0.25 * 1.0, rtol=1e-5)
    np.testing.assert_allclose(layer["bias"], -1.0, rtol=1e-5)
    np.testing.assert_allclose(moves["decoder"]["embedding"], -1.0, rtol=1e-5)


def test_frozen_parameters_do_not_move_and_have_no_moments():
    moves, state = updates(freeze=("^encoder/",), clip_norm=1.0)
    assert not np.any(moves["encoder"]["layer_0"]["kernel"])
    assert np.all(np.asarray(moves["decoder"]["embedding"]) != 0)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    assert (5, 4) in shapes
    assert (4, 3) not in shapes


def test_multipliers_multiply():
    pairs = (("encoder", 0.5), ("bias", 0.2), ("bias", 0.5))
    moves, _ = updates(multipliers=pairs)
    layer = moves["encoder"]["layer_0"]
    np.testing.assert_allclose(layer["kernel"], -0.5, rtol=1e-5)
    np.testing.assert_allclose(layer["bias"], -0.05, rtol=1e-5)
    np.testing.assert_allclose(moves["decoder"]["embedding"], -1.0, rtol=1e-5)


def test_everything_at_once():
    moves, _ = updates(
        name="adamw",
        weight_decay=0.25,
        freeze=("bias",),
        multipliers=(("encoder", 0.5),),
        clip_norm=1.0,
    )
    layer = moves["encoder"]["layer_0"]
    np.testing.assert_allclose(layer["kernel"], 0.5 * -1.25, rtol=1e-5)
    assert not np.any(layer["bias"])


def test_clipping_is_by_the_global_norm():
    _, state = updates(clip_norm=0.01)
    moments = optax.tree.get(state, "mu")
    scale = (1 - 0.9) * 0.01 / optax.tree.norm(GRADS)
    jax.tree.map(
        lambda moment, grad: np.testing.assert_allclose(
            moment, scale * grad, rtol=1e-5
        ),
        moments,
        GRADS,
    )


def test_adafactor_keeps_rows_and_columns_instead_of_matrices():
    params = {"kernel": jnp.ones((256, 128))}
    moves, state = updates(params, {"kernel": jnp.ones((256, 128))}, name="adafactor")
    assert np.all(np.asarray(moves["kernel"]) < 0)
    assert (256, 128) not in [leaf.shape for leaf in jax.tree.leaves(state)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "adamw", "weight_decay": 0.25, "freeze": ("bias",), "clip_norm": 1.0},
        {"name": "adafactor"},
    ],
)
def test_a_bad_step_leaves_the_state_alone(changes):
    optimizer = optimizers.create_optimizer(
        optim(**changes), lambda count: jnp.float32(1.0), PARAMS
    )
    _, state = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS, good=True)
    bad = jax.tree.map(lambda leaf: leaf * jnp.nan, GRADS)
    _, kept = jax.jit(optimizer.update)(bad, state, PARAMS, good=jnp.array(False))
    jax.tree.map(np.testing.assert_array_equal, kept, state)
    _, moved = jax.jit(optimizer.update)(GRADS, state, PARAMS, good=jnp.array(True))
    counts = [leaf for leaf in jax.tree.leaves(moved) if leaf.dtype == jnp.int32]
    assert {int(count) for count in counts} == {2}


def test_adam_is_that_of_optax():
    ours = scale_by_adam(0.9, 0.98, 1e-6)
    theirs = optax.scale_by_adam(0.9, 0.98, 1e-6)
    our_state, their_state = ours.init(PARAMS), theirs.init(PARAMS)
    for step in range(5):
        grads = jax.tree.map(lambda leaf, step=step: leaf * (step - 1.7), GRADS)
        our_moves, our_state = jax.jit(ours.update)(grads, our_state, good=True)
        their_moves, their_state = jax.jit(theirs.update)(grads, their_state)
        jax.tree.map(
            lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6),
            (our_moves, our_state),
            (their_moves, their_state),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "adamm"}, "Did you mean 'adam'"),
        ({"weight_decay": 0.1}, "plain Adam; expected 0, or 'adamw'"),
        ({"freeze": ("encoder/layer_7",)}, "matches no parameter"),
        ({"freeze": ("",)}, "matches every parameter"),
        ({"freeze": ("(",)}, "not a regular expression"),
        ({"multipliers": ("encoder", 0.5)}, "expected pairs of a regular"),
        ({"multipliers": (("encoder", "x"),)}, "expected pairs of a regular"),
        ({"multipliers": (("encoder", np.nan),)}, "expected pairs of a regular"),
        ({"multipliers": (("encoder", -1.0),)}, "expected pairs of a regular"),
        ({"multipliers": (("layer_9", 2.0),)}, r"optim.multipliers: 'layer_9' matches"),
        (
            {"name": "adamw", "weight_decay": 0.1, "decay_pattern": "kernl"},
            "optim.decay_pattern: 'kernl' matches no",
        ),
    ],
)
def test_invalid_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        updates(**changes)


def rates(name, steps, **changes):
    """Rates of the updates numbered `steps`, counted from 1."""
    settings = {
        "rate": 1.0,
        "warmup_steps": 10,
        "total_steps": 110,
        "hidden_size": 4,
    } | changes
    schedule = optimizers.create_schedule(name, **settings)
    return [float(schedule(np.int32(step - 1))) for step in steps]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (768, [2.255e-7, 2.255e-6, 9.021e-6, 5.705e-6, 4.034e-6, 3.294e-6, 2.552e-6]),
        (1024, [1.953e-7, 1.953e-6, 7.813e-6, 4.941e-6, 3.494e-6, 2.853e-6, 2.210e-6]),
    ],
)
def test_paper_schedule_at_the_steps_of_its_runs(width, expected):
    steps = [1_000, 10_000, 40_000, 100_000, 200_000, 300_000, 500_000]
    values = rates("paper", steps, rate=0.05, warmup_steps=40_000, hidden_size=width)
    np.testing.assert_allclose(values, expected, rtol=5e-4)


def test_warm_up_is_linear_from_the_first_update():
    for name in ("constant", "linear", "cosine"):
        np.testing.assert_allclose(rates(name, [1, 5, 10]), [0.1, 0.5, 1.0], rtol=1e-6)


def test_decays_reach_zero_at_the_last_step():
    np.testing.assert_allclose(
        rates("linear", [60, 110, 200]), [0.5, 0.0, 0.0], atol=1e-7
    )
    np.testing.assert_allclose(
        rates("cosine", [35, 60, 110]), [0.853553, 0.5, 0.0], atol=1e-6
    )
    assert rates("constant", [110]) == [1.0]


def test_no_warm_up():
    assert rates("constant", [1], warmup_steps=0) == [1.0]


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        rates("cosin", [1])


def test_a_warm_up_longer_than_the_run_is_refused_where_the_end_matters():
    with pytest.raises(ConfigError, match="warmup_steps is 110 with total_steps 110"):
        rates("linear", [1], warmup_steps=110)
    assert rates("paper", [1], warmup_steps=110)


LAYERS = {
    "encoder": {
        f"layer_{number}": {
            "kernel": np.full((4, 3), 1.0 + number, np.float32),
            "LayerNorm": {"scale": np.full(3, 0.5 + number, np.float32)},
        }
        for number in range(11)
    },
    "decoder": {"embedding": np.full((5, 4), 2.0, np.float32)},
}


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({}, True),
        ({"name": "adamw", "weight_decay": 0.1}, True),
        ({"name": "adafactor"}, False),
        ({"freeze": ("^encoder/", "embedding")}, True),
        ({"freeze": ("encoder/layer_[0-9]/",)}, False),  # not layer_10
        ({"freeze": ("layer_0/", "layer_[1-9]")}, False),  # cautious
        ({"multipliers": (("kernel", 0.5), ("layer_", 0.1))}, True),
        ({"multipliers": (("layer_10/", 0.5),)}, False),
        ({"name": "adamw", "weight_decay": 0.1, "decay_pattern": "layer_0/"}, False),
        ({"decay_pattern": "layer_0/"}, True),  # nothing decays
    ],
)
def test_which_settings_tell_layers_apart(changes, alike):
    assert optimizers.updates_layers_alike(optim(**changes), LAYERS) == alike


def test_a_pattern_for_a_layer_that_is_not_there():
    with pytest.raises(ConfigError, match=r"'layer_11/' matches no parameter"):
        optimizers.updates_layers_alike(optim(freeze=("layer_11/",)), LAYERS)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "adamw", "weight_decay": 0.1, "clip_norm": 1.0},
        {"freeze": ("scale",), "multipliers": (("encoder/layer_", 0.5),)},
    ],
)
def test_stacked_layers_get_the_updates_of_each(changes):
    grads = jax.tree.map(lambda leaf: 0.1 * leaf**2, LAYERS)
    stack = stacked_layers.stack_params
    expected, _ = updates(LAYERS, grads, **changes)
    moves, _ = updates(stack(LAYERS), stack(grads), **changes)
    assert np.any(moves["encoder"]["layers"]["kernel"])
    moves = stacked_layers.unstack_params(moves)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moves, expected
    )
