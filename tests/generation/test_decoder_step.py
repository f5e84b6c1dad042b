"""Decoder steps compute the logits of the whole decoder, for every kind of decoder."""

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
from tests.fixtures.models import computes_in_bfloat16, stack_config

# Sizes that all differ, so that no axis can be taken for another.
STACK = stack_config(
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
    """Returns a decoder and its params; GPT-2's LayerNorm is after the last layer."""
    post_layer_norm = dataclasses.replace(config, pre_layer_norm=False)
    params = draw_params(post_layer_norm, seed=2)
    if config.pre_layer_norm:
        trunk = params["bert"]
        trunk["LayerNorm"] = trunk["embeddings"].pop("LayerNorm")
    return BertGenerationDecoder(config, dtype=dtype), params


def inputs(config, has_prefix):
    """Returns prefixes with padding, targets, and states of sources with padding."""
    rng = np.random.default_rng(0)
    prefix = rng.integers(0, 31, (BATCH, PREFIX if has_prefix else 0))
    prefix_mask = np.arange(prefix.shape[1])[None] >= [[0], [1], [2]]
    targets = rng.integers(0, 31, (BATCH, ROWS, STEPS))
    states = source_mask = None
    if config.add_cross_attention:
        states = jnp.asarray(rng.normal(size=(BATCH, SOURCE, 24)), jnp.float32)
        source_mask = np.arange(SOURCE)[None] < [[5], [2], [3]]
    return prefix, prefix_mask, targets, states, source_mask


def logits_at_once(
    decoder, params, row, prefix, prefix_mask, targets, states, source_mask
):
    """Returns logits [B, T, V] of one row from one pass over prefix and target."""
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


def logits_by_steps(decoder, params, prefix, prefix_mask, targets, states, source_mask):
    """Returns logits [B, R, T, V] of all rows, one step at a time.

    The sources are at different positions: each waits for some steps, in which it reads
    its last token once more.
    """
    bound = decoder.bind({"params": params})
    prefill_cache = prefill_decoder(bound, prefix, prefix_mask, states, source_mask)
    weights = decoder_step.convert_weights(params, decoder.config, decoder.dtype)
    cache = KVCache.zeros(decoder.config, BATCH, ROWS * STEPS, decoder.dtype)
    step = jax.jit(functools.partial(decoder_step.step, weights, prefill_cache))
    logits = np.zeros((BATCH, ROWS, STEPS, 31), np.float32)
    batch, rows = np.arange(BATCH), np.arange(ROWS)
    for turn in range(2 * STEPS):
        positions = np.array([turn, turn // 2, turn - 2]).clip(0, STEPS - 1)
        ids = targets[batch, :, positions]
        slot = np.arange(ROWS * STEPS)
        ancestors = (slot[None] // ROWS <= positions[:, None])[:, None]
        ancestors = ancestors & (slot[None] % ROWS == rows[:, None])[None]
        new, cache = step(cache, ids, positions.astype(np.int32), ancestors)
        logits[batch, :, positions] = np.moveaxis(new, 0, 2)
    return logits


@pytest.mark.parametrize("has_prefix", [False, True], ids=["start", "prefix"])
def test_steps_compute_what_one_pass_computes(config, draw_params, has_prefix):
    decoder, params = drawn(config, draw_params)
    arrays = inputs(config, has_prefix)
    logits = logits_by_steps(decoder, params, *arrays)
    for row in range(ROWS):
        expected = logits_at_once(decoder, params, row, *arrays)
        np.testing.assert_allclose(logits[:, row], expected, rtol=1e-4, atol=1e-4)


@computes_in_bfloat16
def test_bfloat16_steps_round_as_one_bfloat16_pass_does(draw_params):
    decoder, params = drawn(CROSS, draw_params, jnp.bfloat16)
    arrays = inputs(CROSS, has_prefix=False)
    exact = logits_at_once(*drawn(CROSS, draw_params), 0, *arrays)
    at_once = logits_at_once(decoder, params, 0, *arrays)
    by_steps = logits_by_steps(decoder, params, *arrays)[:, 0]
    error = np.abs(by_steps - exact).mean()
    assert 0 < error < 2 * np.abs(at_once - exact).mean()
