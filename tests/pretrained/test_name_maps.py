"""Name maps name exactly the parameters that a model has, whatever its config."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.pretrained import name_maps
from bertgen_jax.pretrained.name_maps import LinearLayout, Weight, by_name, to_foreign

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
MASKED = dataclasses.replace(STACK, lm_head_transform=True)


def pair(encoder=STACK, decoder=STACK, **fields):
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


CONFIGS = {
    "encoder": STACK,
    "decoder": DECODER,
    "cross-attention": dataclasses.replace(DECODER, add_cross_attention=True),
    "no bias": dataclasses.replace(DECODER, lm_head_bias=False),
    "untied": dataclasses.replace(DECODER, tie_word_embeddings=False),
    "masked-LM head": dataclasses.replace(MASKED, is_decoder=True),
    "masked-LM head, untied, no bias": dataclasses.replace(
        MASKED, is_decoder=True, tie_word_embeddings=False, lm_head_bias=False
    ),
    "pair": pair(),
    "shared": pair(share_encoder_decoder=True),
    "shared with a masked-LM head": pair(decoder=MASKED, share_encoder_decoder=True),
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
    weights = name_maps.weights_of(config)
    names = [weight.name for weight in weights]
    assert len(names) == len(set(names))
    mapped = {weight.path: weight.shape for weight in weights if weight.path}
    assert mapped == model_shapes(config)
    for path in mapped:
        assert any(w.written and not w.orphan for w in weights if w.path == path)


def test_linear_maps_are_transposed_and_heads_are_merged():
    parameter = np.arange(24, dtype=np.float32).reshape(4, 2, 3)  # D, H, K
    into_heads = Weight("query/kernel", (4, 2, 3), "query.weight", inputs=1)
    foreign = to_foreign([into_heads], [parameter])
    assert foreign.shape == into_heads.foreign_shape == (6, 4)
    assert foreign[1 * 3 + 2, 3] == parameter[3, 1, 2]

    parameter = parameter.reshape(2, 3, 4)  # H, K, D
    out_of_heads = Weight("output/kernel", (2, 3, 4), "output.weight", inputs=2)
    foreign = to_foreign([out_of_heads], [parameter])
    assert foreign.shape == out_of_heads.foreign_shape == (4, 6)
    assert foreign[3, 1 * 3 + 2] == parameter[1, 2, 3]


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (LinearLayout.OUTPUTS_FIRST, (18, 4)),
        (LinearLayout.INPUTS_FIRST, (4, 18)),
        (LinearLayout.CONVOLUTION, (1, 4, 18)),
    ],
)
def test_parts_stand_side_by_side_along_the_outputs(layout, shape):
    def part(number):
        path = f"{['query', 'key', 'value'][number]}/kernel"
        return Weight(path, (4, 2, 3), "fused", 1, layout, (number, 3))

    weights = [part(number) for number in range(3)]
    drawn = np.random.default_rng(0).normal(size=(3, 4, 2, 3)).astype(np.float32)
    foreign = to_foreign(weights, drawn)
    assert foreign.shape == weights[0].foreign_shape == shape
    outputs_last = foreign.T if layout is LinearLayout.OUTPUTS_FIRST else foreign
    expected = np.concatenate([array.reshape(4, 6) for array in drawn], axis=1)
    np.testing.assert_array_equal(outputs_last.reshape(4, 18), expected)
    for weight, array in zip(weights, drawn, strict=True):
        np.testing.assert_array_equal(weight.from_foreign(foreign), array)
    with pytest.raises(ValueError, match="2 of 3 parts"):
        to_foreign(weights[:2], drawn[:2])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_both_directions_undo_each_other(config, draw_params):
    params = trees.named(draw_params(config))
    weights = [weight for weight in name_maps.weights_of(config) if weight.path]
    for parts in by_name(weights).values():
        foreign = to_foreign(parts, [params[weight.path] for weight in parts])
        assert foreign.flags.c_contiguous
        assert foreign.shape == parts[0].foreign_shape
        for weight in parts:
            again = weight.from_foreign(foreign)
            np.testing.assert_array_equal(again, params[weight.path])
