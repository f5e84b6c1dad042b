"""Losses are sums over the tokens that count, and nothing else leaks into them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models import losses
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from tests.fixtures.models import pair_config

# Probabilities .5 .25 .25 and .1 .2 .7, as logits that are not normalised.
LOGITS = jnp.log(jnp.array([[[4.0, 2.0, 2.0], [1.0, 2.0, 7.0]]]))
LABELS = np.array([[1, 2]])


def test_an_example_by_hand():
    sums = losses.cross_entropy(LOGITS, LABELS, np.ones((1, 2), np.float32))
    nll = -np.log(0.25) - np.log(0.7)
    np.testing.assert_allclose(sums.nll, nll, rtol=1e-6)
    np.testing.assert_allclose(sums.loss, nll, rtol=1e-6)
    assert (sums.correct, sums.tokens) == (1, 2)

    smoothed = losses.cross_entropy(LOGITS, LABELS, np.ones((1, 2)), 0.3)
    uniform = -(np.log([0.5, 0.25, 0.25]).mean() + np.log([0.1, 0.2, 0.7]).mean())
    np.testing.assert_allclose(smoothed.loss, 0.7 * nll + 0.3 * uniform, rtol=1e-6)
    np.testing.assert_allclose(smoothed.nll, nll, rtol=1e-6)


def test_weights_weigh():
    sums = losses.cross_entropy(LOGITS, LABELS, np.array([[0.5, 2.0]]))
    wanted = -0.5 * np.log(0.25) - 2.0 * np.log(0.7)
    np.testing.assert_allclose(sums.loss, wanted, rtol=1e-6)
    assert (sums.correct, sums.tokens) == (2.0, 2.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_where_there_is_no_label_nothing_counts(bad, smoothing):
    weights = np.array([[1.0, 0.0]], np.float32)

    def loss(logits, labels):
        return losses.cross_entropy(logits, labels, weights, smoothing).loss

    wanted, slope = jax.value_and_grad(loss)(LOGITS, LABELS)
    spoilt = LOGITS.at[0, 1].set(bad)
    found, found_slope = jax.value_and_grad(loss)(spoilt, np.array([[1, -100]]))
    assert found == wanted
    np.testing.assert_array_equal(found_slope, slope)
    np.testing.assert_array_equal(found_slope[0, 1], 0)


def test_sums_add_up():
    one = losses.cross_entropy(LOGITS, LABELS, np.ones((1, 2), np.float32), 0.1)
    both = losses.cross_entropy(
        jnp.concatenate([LOGITS] * 2), np.tile(LABELS, (2, 1)), np.ones((2, 2)), 0.1
    )
    total = losses.Sums.zeros() + one + one
    for found, wanted in zip(*map(jax.tree.leaves, (total, both)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_key_turns_dropout_on(draw_params):
    config = pair_config()
    params = draw_params(config)
    batch = {
        "input_ids": np.array([[3, 4, 5]]),
        "attention_mask": np.array([[True, True, False]]),
        "decoder_input_ids": np.array([[2, 7]]),
    }
    model = EncoderDecoder(config)
    run = jax.jit(lambda key: losses.teacher_forced_logits(model, params, batch, key))
    plain = run(None)
    apply = jax.jit(lambda *batch: model.apply({"params": params}, *batch).logits)
    np.testing.assert_allclose(plain, apply(*batch.values()), rtol=1e-5, atol=1e-5)
    dropped = [run(jax.random.key(seed, impl="rbg")) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    for other in (plain, dropped[2]):
        assert np.abs(dropped[0] - other).max() > 1e-2


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
    ours = losses.cross_entropy(jnp.asarray(logits), labels, weights, smoothing)
    wanted = (theirs * weights.reshape(-1)).sum()
    np.testing.assert_allclose(ours.loss, wanted, rtol=1e-5)
