"""A layer has the right order, softmax, LayerNorm, dropout sites and precision."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.layers import TransformerLayer, layer_norm, softmax
from tests.fixtures.models import computes_in_bfloat16, stack_config

CONFIG = stack_config(
    hidden_dropout_prob=0.25,
    attention_probs_dropout_prob=0.5,
    is_decoder=True,
    add_cross_attention=True,
)


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, CONFIG.vocab_size, (8, 16))
    source = rng.normal(size=(8, 16, CONFIG.hidden_size)).astype(np.float32)
    return ids, source


@pytest.fixture(scope="module")
def params(draw_params):
    return draw_params(CONFIG, stddev=0.1)


def run_recorded(model, params, inputs, key=None):
    """The model's output, and by path what each dropout and each LayerNorm did."""

    @jax.jit
    def run(params, ids, source):
        dropouts, norms = {}, {}

        def record(call, args, kwargs, context):
            result, path = call(*args, **kwargs), "/".join(context.module.path)
            if isinstance(context.module, nn.Dropout):
                dropouts[path] = (args[0], result)
            elif isinstance(context.module, nn.LayerNorm):
                norms[path] = (args[0], result)
            return result

        with nn.intercept_methods(record):
            output = model.apply(
                {"params": params},
                ids,
                encoder_hidden_states=source,
                deterministic=key is None,
                rngs={} if key is None else {"dropout": key},
            )
        return output, dropouts, norms

    return run(params, *inputs)


def layer_in_numpy(params, hidden, source, pre_layer_norm):
    """A causal layer of one row: [T, D] over a source [S, D] to [T, D]."""

    def norm(p, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return p["scale"] * (x - mean) / np.sqrt(variance + 1e-5) + p["bias"]

    def attend(p, x, read, mask):
        query, key, value = (
            np.einsum("TD,DHK->HTK", states, p[name]["kernel"])
            + p[name]["bias"][:, None]
            for name, states in (("query", x), ("key", read), ("value", read))
        )
        scores = np.einsum("HTK,HSK->HTS", query, key) / np.sqrt(key.shape[-1])
        scores = np.where(mask, scores, -np.inf)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        context = np.einsum("HTS,HSK->HTK", weights, value)
        outer = p["output"]
        return np.einsum("HTK,HKD->TD", context, outer["kernel"]) + outer["bias"]

    def feed_forward(x):
        inner, outer = params["intermediate"], params["output"]
        active = np.tanh(x @ inner["kernel"] + inner["bias"])
        return active @ outer["kernel"] + outer["bias"]

    own, cross = params["attention"], params["crossattention"]
    past = np.tril(np.ones((len(hidden), len(hidden)), bool))
    for normalizer, sublayer in (
        (own["LayerNorm"], lambda x: attend(own, x, x, past)),
        (cross["LayerNorm"], lambda x: attend(cross, x, source, True)),
        (params["LayerNorm"], feed_forward),
    ):
        if pre_layer_norm:
            hidden = hidden + sublayer(norm(normalizer, hidden))
        else:
            hidden = norm(normalizer, hidden + sublayer(hidden))
    return hidden


@pytest.mark.parametrize("pre_layer_norm", [False, True], ids=["BERT", "GPT-2"])
def test_the_order_of_a_layer(draw_params, pre_layer_norm):
    config = dataclasses.replace(
        CONFIG,
        hidden_act="tanh",
        layer_norm_eps=1e-5,
        lm_head_bias=False,
        pre_layer_norm=pre_layer_norm,
    )
    params = draw_params(config)["bert"]["layer_0"]
    rng = np.random.default_rng(0)
    hidden, source = (
        rng.normal(size=(1, length, config.hidden_size)).astype(np.float32)
        for length in (5, 7)
    )
    past = np.tril(np.ones((1, 1, 5, 5), bool))
    run = jax.jit(TransformerLayer(config).apply)
    output = run({"params": params}, hidden, past, source=source)[0]
    expected = layer_in_numpy(params, hidden[0], source[0], pre_layer_norm)
    np.testing.assert_allclose(output[0], expected, rtol=1e-5, atol=1e-5)


def test_a_softmax_row_that_sees_nothing_is_zero():
    scores = jnp.array([[[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    mask = np.array([[[[1, 1, 0], [0, 0, 0], [0, 0, 1]]]], bool)
    e = np.e
    expected = [[1 / (1 + e), e / (1 + e), 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(softmax(scores, mask)[0, 0], expected, rtol=1e-6)
    slope = jax.grad(lambda scores: (softmax(scores, mask) ** 2).sum())(scores)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0, 0, 1], 0)


def test_scores_far_below_zero_are_not_mistaken_for_hidden_ones():
    scores = jnp.array([[[[-1e30, -1e30, 0.0]]]])
    mask = np.array([[[[True, True, False]]]])
    np.testing.assert_allclose(softmax(scores, mask)[0, 0, 0], [0.5, 0.5, 0.0])


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1.0])
def test_layer_norm_has_the_epsilon_of_the_config(eps):
    x = np.array([[[0.0, 2e-3, 4e-3, 6e-3]]], np.float32)
    norm = layer_norm(dataclasses.replace(CONFIG, layer_norm_eps=eps))
    ours = norm.apply({"params": {"scale": np.ones(4), "bias": np.zeros(4)}}, x)
    wanted = (x - x.mean()) / np.sqrt(x.astype(np.float64).var() + eps)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_dropout_is_at_its_three_sites_and_nowhere_else(params, inputs):
    model = BertGenerationDecoder(CONFIG)
    key = jax.random.key(1, impl="rbg")
    _, dropouts, norms = run_recorded(model, params, inputs, key)
    layer = "bert/layer_0"
    rates = {
        "bert/embeddings/dropout": 0.25,  # after the LayerNorm of the embeddings
        f"{layer}/attention/attention_dropout": 0.5,  # of the softmax
        f"{layer}/attention/output_dropout": 0.25,  # of the output projections
        f"{layer}/crossattention/attention_dropout": 0.5,
        f"{layer}/crossattention/output_dropout": 0.25,
        f"{layer}/dropout": 0.25,
    }
    assert dropouts.keys() == rates.keys()
    for path, rate in rates.items():
        before, after = (np.asarray(x) for x in dropouts[path])
        visible = before != 0  # causality has put zeros into the softmax
        dropped = (after == 0) & visible
        spread = np.sqrt(rate * (1 - rate) / visible.sum())
        assert abs(dropped.sum() / visible.sum() - rate) < 5 * spread, path
        kept = visible & ~dropped
        # XLA may compute the two in different fusions: sums near 0 round differently.
        np.testing.assert_allclose(
            after[kept], before[kept] / (1 - rate), rtol=1e-6, atol=2e-8
        )

    weights = dropouts[f"{layer}/attention/attention_dropout"][0]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    embedded = norms["bert/embeddings/LayerNorm"][1]
    np.testing.assert_array_equal(embedded, dropouts["bert/embeddings/dropout"][0])


def test_a_key_decides_what_is_dropped(params, inputs):
    model = BertGenerationDecoder(CONFIG)

    @jax.jit
    def logits(key):
        return model.apply(
            {"params": params},
            inputs[0],
            encoder_hidden_states=inputs[1],
            deterministic=False,
            rngs={"dropout": key},
        ).logits

    one, again, other = (logits(jax.random.key(seed, impl="rbg")) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (np.abs(one - other) > 1e-3).mean() > 0.9


@computes_in_bfloat16
def test_bfloat16_keeps_norms_softmax_and_logits_in_float32(params, inputs):
    narrow = BertGenerationDecoder(CONFIG, dtype=jnp.bfloat16)
    output, dropouts, norms = run_recorded(narrow, params, inputs)
    exact, _, _ = run_recorded(BertGenerationDecoder(CONFIG), params, inputs)

    assert len(norms) == 4
    assert {result.dtype.name for _, result in norms.values()} == {"float32"}
    for path, (before, _) in dropouts.items():
        in_f32 = path.endswith(("attention_dropout", "embeddings/dropout"))
        assert before.dtype == (jnp.float32 if in_f32 else jnp.bfloat16), path
        if path.endswith("attention_dropout"):  # bf16 sums would miss by 1e-3
            np.testing.assert_allclose(before.sum(-1), 1, atol=2e-6)
    assert output.logits.dtype == jnp.float32
    # Sums of products that are kept in f32 do not end on the grid of bfloat16.
    assert (output.logits != output.logits.astype(jnp.bfloat16)).mean() > 0.9

    difference = np.asarray(output.logits - exact.logits)
    assert 0 < np.sqrt((difference**2).mean()) < 0.02 * exact.logits.std()
