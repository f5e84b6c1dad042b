"""A step computes what the whole decoder computes, for every kind of decoder."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.generation import decoder_step
from bertgen_jax.generation.decoder_step import KVCache
from bertgen_jax.generation.prefill import prefill_decoder
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import BertGenerationConfig

STACK = BertGenerationConfig(
    vocab_size=31,
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=16,
    is_decoder=True,
)
CROSS = dataclasses.replace(STACK, add_cross_attention=True)
KINDS = {
    "BertGeneration": CROSS,
    "without a source": STACK,
    "untied, no bias": dataclasses.replace(
        CROSS, tie_word_embeddings=False, lm_head_bias=False
    ),
    "BERT's head": dataclasses.replace(
        CROSS, lm_head_transform=True, hidden_act="gelu_new"
    ),
    "GPT-2": dataclasses.replace(STACK, pre_layer_norm=True, layer_norm_eps=1e-5),
    "GPT-2 with a source": dataclasses.replace(CROSS, pre_layer_norm=True),
}
BATCH, ROWS, STEPS, PREFIX, SOURCE = 3, 2, 4, 3, 5


@pytest.fixture(params=KINDS)
def config(request):
    return KINDS[request.param]


def drawn(config, draw_params, dtype=jnp.float32):
    """(decoder, params) of a kind; no GPT-2 has a LayerNorm after its embeddings."""
    plain = dataclasses.replace(config, pre_layer_norm=False)
    params = draw_params(plain, seed=2)
    if config.pre_layer_norm:
        trunk = params["bert"]
        trunk["LayerNorm"] = trunk["embeddings"].pop("LayerNorm")
    return BertGenerationDecoder(config, dtype=dtype), params


def inputs(config, has_prefix):
    """Prefixes with padding, targets, and states of sources with padding."""
    rng = np.random.default_rng(0)
    prefix = rng.integers(0, 31, (BATCH, PREFIX if has_prefix else 0))
    prefix_mask = np.arange(prefix.shape[1])[None] >= [[0], [1], [2]]
    targets = rng.integers(0, 31, (BATCH, ROWS, STEPS))
    states = source_mask = None
    if config.add_cross_attention:
        states = jnp.asarray(rng.normal(size=(BATCH, SOURCE, 24)), jnp.float32)
        source_mask = np.arange(SOURCE)[None] < [[5], [2], [3]]
    return prefix, prefix_mask, targets, states, source_mask


def whole(decoder, params, row, prefix, prefix_mask, targets, states, source_mask):
    """Logits [B, T, V] of one row's targets from one pass over prefix and target."""
    mask = np.concatenate([prefix_mask, np.ones((BATCH, STEPS), bool)], axis=1)
    out = decoder.apply(
        {"params": params},
        np.concatenate([prefix, targets[:, row]], axis=1),
        mask,
        np.maximum(mask.cumsum(axis=1) - 1, 0),
        encoder_hidden_states=states,
        encoder_attention_mask=source_mask,
    )
    return out.logits[:, prefix.shape[1] :]


def stepped(decoder, params, prefix, prefix_mask, targets, states, source_mask):
    """The same of all rows, a step at a time, logits [B, R, T, V].

    Sources stand at different positions: each waits for some steps, in which it reads
    its last token once more.
    """
    prefill_cache = decoder.apply(
        {"params": params},
        prefix,
        prefix_mask,
        states,
        source_mask,
        method=prefill_decoder,
    )
    weights = decoder_step.convert_weights(params, decoder.config, decoder.dtype)
    cache = KVCache.zeros(decoder.config, BATCH, ROWS * STEPS, decoder.dtype)
    step = jax.jit(functools.partial(decoder_step.step, weights, prefill_cache))
    logits = np.zeros((BATCH, ROWS, STEPS, 31), np.float32)
    everyone, rows = np.arange(BATCH), np.arange(ROWS)
    for turn in range(2 * STEPS):
        positions = np.array([turn, turn // 2, turn - 2]).clip(0, STEPS - 1)
        ids = targets[everyone, :, positions]
        slot = np.arange(ROWS * STEPS)
        ancestors = (slot[None] // ROWS <= positions[:, None])[:, None]
        ancestors = ancestors & (slot[None] % ROWS == rows[:, None])[None]
        found, cache = step(cache, ids, positions.astype(np.int32), ancestors)
        logits[everyone, :, positions] = np.moveaxis(found, 0, 2)
    return logits


@pytest.mark.parametrize("has_prefix", [False, True], ids=["start", "prefix"])
def test_steps_are_the_whole(config, draw_params, has_prefix):
    decoder, params = drawn(config, draw_params)
    given = inputs(config, has_prefix)
    found = stepped(decoder, params, *given)
    for row in range(ROWS):
        wanted = whole(decoder, params, row, *given)
        np.testing.assert_allclose(found[:, row], wanted, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_rounded_as_the_whole_is(draw_params):
    decoder, params = drawn(CROSS, draw_params, jnp.bfloat16)
    given = inputs(CROSS, has_prefix=False)
    exact = whole(*drawn(CROSS, draw_params), 0, *given)
    rounded = whole(decoder, params, 0, *given)
    found = stepped(decoder, params, *given)[:, 0]
    error = np.abs(found - exact).mean()
    assert 0 < error < 2 * np.abs(rounded - exact).mean()
