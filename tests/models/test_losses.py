"""Losses are sums over the tokens that count, and nothing else leaks into them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models import losses
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.outputs import LogitFactors
from tests.fixtures.models import pair_config

# Probabilities .5 .25 .25 and .1 .2 .7, as logits that are not normalised.
LOGITS = jnp.log(jnp.array([[[4.0, 2.0, 2.0], [1.0, 2.0, 7.0]]]))
LABELS = np.array([[1, 2]])


def cross_entropy(logits, labels, weights, *options, **chunks):
    """Computes the loss of given logits, which a table of ones leaves as they are."""
    factors = LogitFactors(logits, jnp.eye(logits.shape[-1])[None], None)
    return losses.cross_entropy(factors, labels, weights, *options, **chunks)


def test_an_example_by_hand():
    sums = cross_entropy(LOGITS, LABELS, np.ones((1, 2), np.float32))
    nll = -np.log(0.25) - np.log(0.7)
    np.testing.assert_allclose(sums.nll, nll, rtol=1e-6)
    np.testing.assert_allclose(sums.loss, nll, rtol=1e-6)
    assert (sums.correct, sums.tokens) == (1, 2)

    smoothed = cross_entropy(LOGITS, LABELS, np.ones((1, 2)), 0.3)
    uniform = -(np.log([0.5, 0.25, 0.25]).mean() + np.log([0.1, 0.2, 0.7]).mean())
    np.testing.assert_allclose(smoothed.loss, 0.7 * nll + 0.3 * uniform, rtol=1e-6)
    np.testing.assert_allclose(smoothed.nll, nll, rtol=1e-6)


def test_weights_weigh():
    sums = cross_entropy(LOGITS, LABELS, np.array([[0.5, 2.0]]))
    wanted = -0.5 * np.log(0.25) - 2.0 * np.log(0.7)
    np.testing.assert_allclose(sums.loss, wanted, rtol=1e-6)
    assert (sums.correct, sums.tokens) == (2.0, 2.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_where_there_is_no_label_nothing_counts(bad, smoothing):
    weights = np.array([[1.0, 0.0]], np.float32)

    def loss(logits, labels):
        return cross_entropy(logits, labels, weights, smoothing).loss

    wanted, slope = jax.value_and_grad(loss)(LOGITS, LABELS)
    spoilt = LOGITS.at[0, 1].set(bad)
    found, found_slope = jax.value_and_grad(loss)(spoilt, np.array([[1, -100]]))
    assert found == wanted
    np.testing.assert_array_equal(found_slope, slope)
    np.testing.assert_array_equal(found_slope[0, 1], 0)


def test_sums_add_up():
    one = cross_entropy(LOGITS, LABELS, np.ones((1, 2), np.float32), 0.1)
    both = cross_entropy(
        jnp.concatenate([LOGITS] * 2), np.tile(LABELS, (2, 1)), np.ones((2, 2)), 0.1
    )
    total = losses.Sums.zeros() + one + one
    for found, wanted in zip(*map(jax.tree.leaves, (total, both)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def random_factors(rows, length, dtype=jnp.float32):
    """Returns factors with a bias, labels and weights of rows of unequal lengths."""
    rng = np.random.default_rng(0)
    states, table = rng.normal(size=(rows, length, 6)), rng.normal(size=(1, 11, 6))
    factors = LogitFactors(
        jnp.asarray(states, dtype),
        jnp.asarray(table, jnp.float32),
        jnp.asarray(rng.normal(size=11), jnp.float32),
    )
    labels = rng.integers(0, 11, (rows, length))
    lengths = rng.integers(0, length + 1, (rows, 1))
    weights = (np.arange(length) < lengths) * rng.choice([0.5, 1.0], (rows, length))
    return factors, labels, weights.astype(np.float32)


def whole_loss(factors, labels, weights, smoothing):
    """Computes the loss from all logits at once."""
    log_probs = jax.nn.log_softmax(factors.logits(), axis=-1)
    target = (1 - smoothing) * jax.nn.one_hot(labels, 11) + smoothing / 11
    return -jnp.sum(jnp.sum(target * log_probs, axis=-1) * weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("devices", "chunk"), [(1, 1024), (1, 5), (2, 4), (4, 1)])
def test_chunks_give_the_loss_and_the_gradients_of_the_whole(devices, chunk, smoothing):
    factors, labels, weights = random_factors(4, 7)
    table = jnp.tile(factors.table, (devices, 1, 1))
    factors = dataclasses.replace(factors, table=table)

    def in_chunks(factors):
        sums = losses.cross_entropy(factors, labels, weights, smoothing, chunk=chunk)
        return 3.0 * sums.loss, sums

    (_, sums), slopes = jax.value_and_grad(in_chunks, has_aux=True)(factors)
    wanted, wanted_slopes = jax.value_and_grad(whole_loss)(
        factors, labels, weights, smoothing
    )
    np.testing.assert_allclose(sums.loss, wanted, rtol=1e-5)
    np.testing.assert_allclose(in_chunks(factors)[1].nll, sums.nll, rtol=1e-6)
    best = factors.logits().argmax(-1) == labels
    np.testing.assert_allclose(sums.correct, (best * weights).sum(), rtol=1e-6)
    jax.tree.map(
        lambda slope, whole: np.testing.assert_allclose(
            slope, 3.0 * whole, rtol=1e-4, atol=1e-5
        ),
        slopes,
        wanted_slopes,
    )


def test_a_batch_without_labels_has_no_loss_and_no_gradient():
    factors, labels, weights = random_factors(2, 3)
    loss, slopes = jax.value_and_grad(
        lambda factors: losses.cross_entropy(factors, labels, 0 * weights).loss
    )(factors)
    assert loss == 0
    jax.tree.map(lambda slope: np.testing.assert_array_equal(slope, 0), slopes)


def test_the_table_of_a_bfloat16_model_gets_a_float32_gradient():
    factors, labels, weights = random_factors(3, 5, jnp.bfloat16)
    slopes = jax.grad(
        lambda factors: losses.cross_entropy(factors, labels, weights).loss
    )(factors)
    assert slopes.states.dtype == jnp.bfloat16
    assert (slopes.table != slopes.table.astype(jnp.bfloat16)).mean() > 0.9
    exact = jax.grad(whole_loss)(factors, labels, weights, 0.0)
    np.testing.assert_allclose(slopes.table, exact.table, atol=0.05)


def test_the_loss_is_that_of_the_logits_and_a_key_turns_dropout_on(draw_params):
    config = pair_config()
    params = draw_params(config)
    inputs = {
        "input_ids": np.array([[3, 4, 5]]),
        "attention_mask": np.array([[True, True, False]]),
        "decoder_input_ids": np.array([[2, 7]]),
    }
    labels, weights = np.array([[7, 9]]), np.ones((1, 2), np.float32)
    batch = inputs | {"labels": labels, "label_weights": weights}
    model = EncoderDecoder(config)
    run = jax.jit(
        lambda key: losses.teacher_forced_loss(model, params, batch, key).loss
    )
    plain = run(None)
    apply = jax.jit(lambda *batch: model.apply({"params": params}, *batch).logits)
    wanted = cross_entropy(apply(*inputs.values()), labels, weights).loss
    np.testing.assert_allclose(plain, wanted, rtol=1e-5)
    dropped = [run(jax.random.key(seed, impl="rbg")) for seed in (0, 0, 1)]
    assert dropped[0] == dropped[1]
    assert len({float(plain), float(dropped[0]), float(dropped[2])}) == 3


@pytest.mark.parity
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_is_torchs(smoothing):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (3, 5, 17)).astype(np.float32)
    labels = rng.integers(0, 17, (3, 5))
    weights = rng.choice([0.0, 1.0, 0.5], (3, 5)).astype(np.float32)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits).reshape(-1, 17),
        torch.tensor(labels).reshape(-1),
        reduction="none",
        label_smoothing=smoothing,
    ).numpy()
    ours = cross_entropy(jnp.asarray(logits), labels, weights, smoothing)
    wanted = (theirs * weights.reshape(-1)).sum()
    np.testing.assert_allclose(ours.loss, wanted, rtol=1e-5)
