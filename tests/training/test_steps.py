"""A step is the same update for any division over devices and micro-batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import keystr

from bertgen_jax import sharding
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.losses import Sums, teacher_forced_loss
from bertgen_jax.training import steps
from bertgen_jax.training.adam import unless_bad
from bertgen_jax.training.steps import TrainState
from tests.fixtures.models import START, VOCAB_SIZE, pair_config, stack_config

# One plain descent step of rate 1: the change of a parameter is minus its gradient.
DESCENT = unless_bad(optax.sgd(1.0))


def random_batch(seed, rows=16, source=8, target=6):
    """A batch of unequal lengths; the last row only fills it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, source + 1, rows)
    target_lengths = rng.integers(1, target + 1, rows)
    lengths[-1] = target_lengths[-1] = 0
    weights = np.arange(target) < target_lengths[:, None]
    labels = np.where(weights, rng.integers(3, VOCAB_SIZE, (rows, target)), 0)
    start = np.full((rows, 1), START)
    return {
        "input_ids": rng.integers(3, VOCAB_SIZE, (rows, source)).astype(np.int32),
        "attention_mask": np.arange(source) < lengths[:, None],
        "decoder_input_ids": np.hstack([start, labels[:, :-1]]).astype(np.int32),
        "labels": labels.astype(np.int32),
        "label_weights": weights.astype(np.float32),
    }


@pytest.fixture
def batch():
    return random_batch(0)


def initial(model):
    ids = np.zeros((1, 2), np.int32)
    params = jax.jit(model.init)(jax.random.key(0), ids, None, ids)["params"]
    return TrainState.create(params, DESCENT, ema=False)


def step_of(model, **settings):
    return functools.partial(
        steps.train_step,
        loss=functools.partial(teacher_forced_loss, model),
        optimizer=DESCENT,
        settings=steps.StepSettings(seed=0, **settings),
    )


def gradients(state, new):
    """Returns the gradients by path, from one descent step."""
    changes = jax.tree.map(
        lambda old, now: np.asarray(old - now), state.params, new.params
    )
    leaves, _ = jax.tree_util.tree_flatten_with_path(changes)
    return {keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


@pytest.fixture(scope="module")
def reference():
    """A model, its state, and the gradients of the whole batch on one device."""
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    stack = stack_config(hidden_size=32, intermediate_size=64, **no_dropout)
    model = EncoderDecoder(pair_config(stack, share_embeddings=True))
    state = initial(model)
    new, checks = jax.jit(step_of(model))(state, random_batch(0))
    assert bool(checks.finite)
    return model, state, gradients(state, new)


def assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    assert "decoder/bert/embeddings/word_embeddings/embedding" in expected
    for path, gradient in expected.items():
        np.testing.assert_allclose(
            actual[path], gradient, rtol=2e-4, atol=2e-6, err_msg=path
        )


def test_micro_batches_give_the_gradient_of_the_whole(reference, batch):
    model, state, expected = reference
    new, _ = jax.jit(step_of(model, micro_batches=4))(state, batch)
    assert_same(gradients(state, new), expected)
    np.testing.assert_allclose(
        float(new.totals.sums.tokens), batch["label_weights"].sum()
    )


@pytest.mark.parametrize(
    ("data", "fsdp", "micro_batches"), [(8, 1, 1), (4, 2, 2), (1, 8, 1)]
)
def test_every_mesh_gives_the_gradient_of_one_device(
    reference, data, fsdp, micro_batches, batch, monkeypatch
):
    model, state, expected = reference
    # So small a model would not be split otherwise.
    monkeypatch.setattr(sharding, "_MIN_SPLIT_SIZE", 1)
    mesh = sharding.create_mesh(data, fsdp)
    places = sharding.state_shardings(jax.eval_shape(lambda: state), mesh)
    by_rows = sharding.batch_sharding(mesh)
    step = jax.jit(
        step_of(model.clone(mesh=mesh), micro_batches=micro_batches),
        in_shardings=(places, by_rows),
        out_shardings=(places, sharding.replicated(mesh)),
    )
    new, _ = step(jax.device_put(state, places), jax.device_put(batch, by_rows))
    assert_same(gradients(jax.device_get(state), jax.device_get(new)), expected)


def toy_loss(params, batch, key):
    """A loss from one table with dropout, where the test is not about the model."""
    keep = jax.random.bernoulli(key, 0.5, (*batch["labels"].shape, VOCAB_SIZE))
    logits = jnp.where(keep, params["table"][batch["decoder_input_ids"]], 0.0)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    labels, weights = batch["labels"][..., None], batch["label_weights"]
    nll = -jnp.take_along_axis(log_probs, labels, axis=-1)[..., 0]
    nll = jnp.where(weights > 0, nll, 0.0)
    loss = jnp.sum(nll * weights)
    return Sums(loss, loss, jnp.zeros(()), jnp.sum(weights))


def toy_state(**options):
    table = jax.random.normal(jax.random.key(0), (VOCAB_SIZE, VOCAB_SIZE))
    return TrainState.create({"table": table}, DESCENT, **{"ema": False} | options)


def toy_step(state, batch, **settings):
    return steps.train_step(
        state,
        batch,
        loss=toy_loss,
        optimizer=DESCENT,
        settings=steps.StepSettings(seed=0, **settings),
    )


def test_a_step_that_is_not_finite_changes_nothing(batch):
    state = toy_state()
    table = state.params["table"].at[7].set(jnp.inf)
    state = state.replace(params={"table": table})
    new, checks = toy_step(
        state, batch | {"decoder_input_ids": batch["labels"] * 0 + 7}
    )
    assert not bool(checks.finite)
    jax.tree.map(np.testing.assert_array_equal, new, state)


def spiked(batch):
    """Returns the batch with a loss and a gradient that are many times as large."""
    return batch | {"label_weights": batch["label_weights"].at[0, 0].set(-60.0)}


@pytest.fixture
def arrays(batch):
    return jax.tree.map(jnp.asarray, batch)


def test_a_spike_is_above_a_multiple_of_the_median_of_a_full_window(arrays):
    state = toy_state(window=3)
    for number in range(3):
        assert int(jnp.isnan(state.recent).sum()) == 2 * (3 - number)
        spike = toy_step(state, spiked(arrays), spike_factor=3.0)[1]
        assert bool(spike.good)
        assert bool(jnp.isnan(spike.excess).all())
        state, checks = toy_step(state, arrays, spike_factor=3.0)
        assert bool(checks.good)
        assert float(state.recent[0, -1]) == float(checks.loss)
        assert float(state.recent[1, -1]) == float(checks.grad_norm)
    new, checks = toy_step(state, spiked(arrays), spike_factor=3.0)
    assert not bool(checks.good)
    assert bool(checks.finite)
    medians = np.median(state.recent, axis=1)
    latest = np.array([checks.loss, checks.grad_norm])
    np.testing.assert_allclose(checks.excess, latest / medians, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, new, state)
    assert bool(toy_step(state, spiked(arrays), spike_factor=1e6)[1].good)


def test_a_skipped_step_changes_only_the_number_of_steps(arrays):
    state = toy_state(window=1, ema=True)
    settings = {"spike_factor": 3.0, "counts_bad_steps": True, "ema_decay": 0.9}
    state, _ = toy_step(state, arrays, **settings)
    nans = arrays | {"label_weights": arrays["label_weights"] * jnp.nan}
    for bad in (spiked(arrays), nans):
        new, checks = toy_step(state, bad, **settings)
        assert not bool(checks.good)
        assert int(new.step) == int(state.step) + 1
        back = new.replace(step=state.step)
        jax.tree.map(np.testing.assert_array_equal, back, state)


def test_dropout_differs_from_step_to_step_and_repeats_for_a_step(batch):
    state = toy_state()
    losses = [
        float(toy_step(state.replace(step=jnp.asarray(number)), batch)[1].loss)
        for number in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_micro_batches_do_not_share_their_dropout(batch):
    # Rows come in equal pairs, one row for each micro-batch. If both had the same mask,
    # the loss would be that of the single rows.
    pairs = {name: np.repeat(rows, 2, axis=0) for name, rows in batch.items()}
    once = toy_step(toy_state(), batch)[1].loss
    twice = toy_step(toy_state(), pairs, micro_batches=2)[1].loss
    assert float(once) != float(twice)


def test_the_average_follows_the_parameters(batch):
    state = toy_state(ema=True)
    new, _ = toy_step(state, batch, ema_decay=0.75)
    np.testing.assert_allclose(
        new.ema_params["table"],
        0.75 * state.params["table"] + 0.25 * new.params["table"],
        rtol=1e-5,
        atol=1e-7,
    )
    assert new.eval_params is new.ema_params


def test_totals_add_up_until_they_are_flushed(batch):
    new, _ = toy_step(toy_step(toy_state(), batch)[0], batch)
    flushed, totals = steps.flush_totals(new)
    assert int(totals.steps) == 2
    assert int(totals.examples) == 2 * 15  # the sixteenth row only fills the batch
    assert float(totals.source_tokens) == 2 * batch["attention_mask"].sum()
    assert float(flushed.totals.sums.tokens) == 0.0
    assert int(flushed.step) == 2


def equations(jaxpr):
    """Yields the equations of a jaxpr and of those inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@pytest.mark.parametrize("remat", ["none", "dots"])
def test_every_product_of_a_bfloat16_step_multiplies_bfloat16(remat, batch):
    config = pair_config(stack_config(), share_embeddings=True)
    model = EncoderDecoder(config, jnp.bfloat16, scan_layers=True, remat=remat)
    ids = np.zeros((1, 2), np.int32)
    params = jax.eval_shape(
        lambda: model.init(jax.random.key(0), ids, None, ids)["params"]
    )
    state = jax.eval_shape(
        lambda params: TrainState.create(params, DESCENT, ema=False), params
    )
    traced = jax.make_jaxpr(step_of(model))(state, batch)
    products = [
        tuple(operand.aval.dtype.name for operand in equation.invars)
        for equation in equations(traced.jaxpr)
        if equation.primitive.name == "dot_general"
    ]
    assert len(products) > 50
    assert set(products) == {("bfloat16", "bfloat16")}
