"""Name maps name exactly the parameters that a model has, whatever its config."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax.checkpoints import huggingface, trees
from bertgen_jax.checkpoints.name_maps import Weight
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder

STACK = BertGenerationConfig(
    vocab_size=11,
    hidden_size=6,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=5,
    max_position_embeddings=7,
)
DECODER = dataclasses.replace(STACK, is_decoder=True)
UNTIED = dataclasses.replace(STACK, tie_word_embeddings=False)


def pair(encoder=STACK, decoder=STACK, **fields):
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


CONFIGS = {
    "encoder": STACK,
    "decoder": DECODER,
    "cross-attention": dataclasses.replace(DECODER, add_cross_attention=True),
    "no bias": dataclasses.replace(DECODER, lm_head_bias=False),
    "untied": dataclasses.replace(DECODER, tie_word_embeddings=False),
    "pair": pair(),
    "shared": pair(share_encoder_decoder=True),
    "one table": pair(share_embeddings=True),
    "unequal": pair(dataclasses.replace(STACK, hidden_size=9, vocab_size=13)),
    "pair without bias": pair(decoder=dataclasses.replace(STACK, lm_head_bias=False)),
    "pair, untied": pair(decoder=UNTIED),
    "untied without bias": pair(
        decoder=dataclasses.replace(UNTIED, lm_head_bias=False)
    ),
}


def model_shapes(config):
    ids = np.ones((1, 2), np.int32)
    if isinstance(config, EncoderDecoderConfig):
        model, inputs = EncoderDecoder(config), (ids, None, ids)
    else:
        kind = BertGenerationDecoder if config.is_decoder else BertGenerationEncoder
        model, inputs = kind(config), (ids,)
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    return {path: leaf.shape for path, leaf in trees.named(params).items()}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_map_is_the_parameters_of_the_model(config):
    weights = huggingface.weights_of(config)
    names = [weight.name for weight in weights]
    assert len(names) == len(set(names))
    mapped = {weight.path: weight.shape for weight in weights if weight.path}
    assert mapped == model_shapes(config)
    for path in mapped:
        assert any(w.written and not w.orphan for w in weights if w.path == path)


def test_linear_maps_are_transposed_and_heads_are_merged():
    parameter = np.arange(24, dtype=np.float32).reshape(4, 2, 3)  # D, H, K
    into_heads = Weight("query/kernel", (4, 2, 3), "query.weight", inputs=1)
    foreign = into_heads.to_foreign(parameter)
    assert foreign.shape == into_heads.foreign_shape == (6, 4)
    assert foreign[1 * 3 + 2, 3] == parameter[3, 1, 2]

    parameter = parameter.reshape(2, 3, 4)  # H, K, D
    out_of_heads = Weight("output/kernel", (2, 3, 4), "output.weight", inputs=2)
    foreign = out_of_heads.to_foreign(parameter)
    assert foreign.shape == out_of_heads.foreign_shape == (4, 6)
    assert foreign[3, 1 * 3 + 2] == parameter[1, 2, 3]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_both_directions_undo_each_other(config, draw_params):
    params = trees.named(draw_params(config))
    for weight in huggingface.weights_of(config):
        if weight.path:
            foreign = weight.to_foreign(params[weight.path])
            assert foreign.flags.c_contiguous
            again = weight.from_foreign(foreign)
            np.testing.assert_array_equal(again, params[weight.path])
