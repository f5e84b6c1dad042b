"""A layer has the right order, softmax, LayerNorm, dropout sites and precision."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bertgen_jax.models import layers
from bertgen_jax.models.attention import attend
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.dropout import dropout
from bertgen_jax.models.layers import TransformerLayer, layer_norm
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
    """Runs a model; returns what each dropout and each LayerNorm did, in their order.

    Returns:
      The output; (input, key, rate) of each dropout and (rate,) of the attention
      weights; (input, result) of each LayerNorm by path.
    """
    dropouts, norms = [], {}

    def record_dropout(values, key, rate):
        dropouts.append((values, key, rate))
        return dropout(values, key, rate)

    def record_attention(query, *others):
        dropouts.append((query, *others[-2:]))
        return attend(query, *others)

    def record(call, args, kwargs, context):
        result, path = call(*args, **kwargs), "/".join(context.module.path)
        if isinstance(context.module, nn.LayerNorm):
            norms[path] = (args[0], result)
        return result

    with pytest.MonkeyPatch.context() as patch, nn.intercept_methods(record):
        patch.setattr(layers, "dropout", record_dropout)
        patch.setattr(layers, "attend", record_attention)
        output = model.apply(
            {"params": params},
            inputs[0],
            encoder_hidden_states=inputs[1],
            deterministic=key is None,
            rngs={} if key is None else {"dropout": key},
        )
    return output, dropouts, norms


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


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1.0])
def test_layer_norm_has_the_epsilon_of_the_config(eps):
    x = np.array([[[0.0, 2e-3, 4e-3, 6e-3]]], np.float32)
    norm = layer_norm(dataclasses.replace(CONFIG, layer_norm_eps=eps))
    ours = norm.apply({"params": {"scale": np.ones(4), "bias": np.zeros(4)}}, x)
    wanted = (x - x.mean()) / np.sqrt(x.astype(np.float64).var() + eps)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5)


def test_dropout_is_at_its_three_sites_and_nowhere_else(params, inputs):
    model = BertGenerationDecoder(CONFIG)
    _, dropouts, norms = run_recorded(model, params, inputs, jax.random.key(1))
    # After the embeddings; the weights and the result of self- and of cross-attention;
    # the result of the feed-forward layer.
    assert [rate for *_, rate in dropouts] == [0.25, 0.5, 0.25, 0.5, 0.25, 0.25]
    keys = {bytes(jax.random.key_data(key)) for _, key, _ in dropouts}
    assert len(keys) == len(dropouts)
    embedded = norms["bert/embeddings/LayerNorm"][1]
    np.testing.assert_array_equal(embedded, dropouts[0][0])


def test_without_a_key_nothing_is_dropped(params, inputs):
    _, dropouts, _ = run_recorded(BertGenerationDecoder(CONFIG), params, inputs)
    assert [key for _, key, _ in dropouts] == [None] * 6


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
    widths = [values.dtype.name for values, *_ in dropouts]
    assert widths == ["float32"] + ["bfloat16"] * 5  # the embeddings are in f32
    assert output.logits.dtype == jnp.float32
    # Sums of products that are kept in f32 do not end on the grid of bfloat16.
    assert (output.logits != output.logits.astype(jnp.bfloat16)).mean() > 0.9

    difference = np.asarray(output.logits - exact.logits)
    assert 0 < np.sqrt((difference**2).mean()) < 0.02 * exact.logits.std()
