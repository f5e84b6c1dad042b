"""Heads map states to logits, with or without the transform of a masked-LM head."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.layers import LanguageModelHead
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from tests.fixtures.models import computes_in_bfloat16, stack_config

PLAIN = stack_config(
    hidden_act="relu",
    layer_norm_eps=1e-2,  # large enough to be seen
    is_decoder=True,
)
ROWS, WIDTH = PLAIN.vocab_size, PLAIN.hidden_size
MASKED = dataclasses.replace(PLAIN, lm_head_transform=True)
ENCODER = dataclasses.replace(PLAIN, is_decoder=False)
PAIR = EncoderDecoderConfig.from_stacks(ENCODER, MASKED, decoder_start_token_id=2)
HEAD = {
    "lm_head/transform/kernel": (WIDTH, WIDTH),
    "lm_head/transform/bias": (WIDTH,),
    "lm_head/transform/LayerNorm/scale": (WIDTH,),
    "lm_head/transform/LayerNorm/bias": (WIDTH,),
}
STATES = np.random.default_rng(0).normal(size=(3, 4, WIDTH)).astype(np.float32)
TABLE = np.random.default_rng(1).normal(size=(ROWS, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def head(draw_params):
    """The head's parameters."""
    return draw_params(MASKED)["lm_head"]


def logits_of(head, states, dtype=jnp.float32):
    model = LanguageModelHead(MASKED, dtype)
    return model.apply({"params": head}, states, TABLE[None]).logits()


def test_the_softmax_sees_the_transformed_states(head):
    leaves = trees.named(head)
    hidden = STATES @ leaves["transform/kernel"] + leaves["transform/bias"]
    hidden = np.maximum(hidden, 0)
    centred = hidden - hidden.mean(-1, keepdims=True)
    hidden = centred / np.sqrt(hidden.var(-1, keepdims=True) + 1e-2)
    hidden = hidden * leaves["transform/LayerNorm/scale"]
    hidden = hidden + leaves["transform/LayerNorm/bias"]
    logits = logits_of(head, STATES)
    expected = hidden @ TABLE.T + leaves["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@computes_in_bfloat16
def test_a_narrow_head_returns_logits_in_float32(head):
    narrow = logits_of(head, STATES.astype(jnp.bfloat16), jnp.bfloat16)
    wide = logits_of(head, STATES)
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, wide, atol=0.1)  # what 8 bits can lose
    assert np.abs(narrow - wide).max() > 1e-4


def test_without_a_transform_there_is_none_of_its_parameters():
    def shapes(config):
        model, ids = BertGenerationDecoder(config), np.ones((1, 2), np.int32)
        params = jax.eval_shape(model.init, jax.random.key(0), ids)["params"]
        return {path: leaf.shape for path, leaf in trees.named(params).items()}

    assert shapes(MASKED) == shapes(PLAIN) | HEAD


@pytest.mark.parametrize("beams", [1, 3])
def test_a_pair_searches_with_its_transform(draw_params, beams):
    """Scores are those of the teacher-forced logits of what was found."""
    params = draw_params(PAIR)
    ids = np.random.default_rng(2).integers(3, ROWS, (4, 5))
    mask = np.arange(5) < np.array([[5], [3], [1], [4]])
    settings = GenerationConfig(
        max_new_tokens=5, num_beams=beams, length_penalty=0.0, eos_token_id=1
    )
    found = generator.generate(EncoderDecoder(PAIR), params, ids, mask, settings)
    inputs = np.hstack([np.full((4, 1), 2), found.sequences[:, 0, :-1]])
    out = EncoderDecoder(PAIR).apply({"params": params}, ids, mask, inputs)
    assert_scores(found, out.logits)


def test_a_prefix_model_searches_with_its_transform(draw_params):
    config = PrefixLanguageModelConfig(MASKED, 2)
    params = draw_params(config)
    ids = np.random.default_rng(3).integers(3, ROWS, (4, 5))
    settings = GenerationConfig(
        max_new_tokens=5, num_beams=3, length_penalty=0.0, eos_token_id=1
    )
    model, mask = PrefixLanguageModel(config), np.ones_like(ids, bool)
    found = generator.generate(model, params, ids, mask, settings)
    inputs = np.hstack([np.full((4, 1), 2), found.sequences[:, 0, :-1]])
    out = model.apply({"params": params}, ids, mask, inputs)
    assert_scores(found, out.logits)


def assert_scores(found, logits):
    sequences = np.asarray(found.sequences[:, 0])
    chances = np.take_along_axis(
        np.asarray(jax.nn.log_softmax(logits)), sequences[..., None], axis=2
    )[..., 0]
    # Up to and with the first end.
    counts = np.cumsum(sequences == 1, axis=1) - (sequences == 1) == 0
    np.testing.assert_allclose(found.scores[:, 0], (chances * counts).sum(1), atol=1e-4)
