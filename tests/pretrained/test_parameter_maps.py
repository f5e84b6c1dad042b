"""Name maps list exactly the parameters of a model, and are inverted without loss."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import parameter_maps
from bertgen_jax.pretrained.parameter_maps import (
    LinearLayout,
    Weight,
    by_name,
    to_foreign,
)
from tests.fixtures.models import stack_config

SIZES = {
    "vocab_size": 11,
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 5,
    "max_position_embeddings": 7,
}
STACK = stack_config(**SIZES)
WIDE = dataclasses.replace(STACK, hidden_size=9, vocab_size=13)
DECODER = dataclasses.replace(STACK, is_decoder=True)
UNTIED = dataclasses.replace(STACK, tie_word_embeddings=False)
NO_BIAS = dataclasses.replace(STACK, lm_head_bias=False)
MASKED = dataclasses.replace(STACK, lm_head_transform=True)
GPT2 = dataclasses.replace(DECODER, lm_head_bias=False, pre_layer_norm=True)
UNTIED_GPT2 = dataclasses.replace(GPT2, tie_word_embeddings=False)


def pair(encoder=STACK, decoder=STACK, **fields):
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


def decoder(stack, **fields):
    return dataclasses.replace(stack, is_decoder=True, **fields)


CONFIGS = {
    "encoder": STACK,
    "decoder": DECODER,
    "cross-attention": decoder(STACK, add_cross_attention=True),
    "no bias": decoder(NO_BIAS),
    "untied": decoder(UNTIED),
    "masked-LM head": decoder(MASKED),
    "masked-LM head, untied, no bias": decoder(
        MASKED, tie_word_embeddings=False, lm_head_bias=False
    ),
    "pair": pair(),
    "shared": pair(share_encoder_decoder=True),
    "shared with a masked-LM head": pair(decoder=MASKED, share_encoder_decoder=True),
    "one table": pair(share_embeddings=True),
    "unequal": pair(WIDE),
    "pair without bias": pair(decoder=NO_BIAS),
    "pair, untied": pair(decoder=UNTIED),
    "untied without bias": pair(
        decoder=dataclasses.replace(UNTIED, lm_head_bias=False)
    ),
    "gpt2": GPT2,
    "gpt2, untied": UNTIED_GPT2,
    "gpt2, cross-attention": decoder(GPT2, add_cross_attention=True),
    "gpt2, prefix": PrefixLanguageModelConfig(GPT2, 2),
    "bert2gpt": pair(decoder=GPT2),
    "rnd2gpt": pair(decoder=GPT2, share_embeddings=True),
    "bert2gpt, unequal": pair(WIDE, GPT2),
    "bert2gpt, untied": pair(decoder=UNTIED_GPT2),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def model_shapes(config):
    ids = np.ones((1, 2), np.int32)
    inputs = (ids,) if isinstance(config, BertGenerationConfig) else (ids, None, ids)
    model = create_model(config)
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    return {path: leaf.shape for path, leaf in trees.named(params).items()}


@configs
def test_a_map_lists_the_parameters_of_the_model(config):
    weights = parameter_maps.weights_of(config)
    mapped = {weight.path: weight.shape for weight in weights if weight.path}
    assert mapped == model_shapes(config)
    for path in mapped:
        assert any(w.written and not w.orphan for w in weights if w.path == path)
    for parts in by_name(weights).values():
        count = len(parts)
        assert [weight.part for weight in parts] == [(i, count) for i in range(count)]


@configs
def test_from_foreign_inverts_to_foreign(config, draw_params):
    params = trees.named(draw_params(config))
    weights = [weight for weight in parameter_maps.weights_of(config) if weight.path]
    for parts in by_name(weights).values():
        foreign = to_foreign(parts, [params[weight.path] for weight in parts])
        assert foreign.flags.c_contiguous
        assert foreign.shape == parts[0].foreign_shape
        for weight in parts:
            again = weight.from_foreign(foreign)
            np.testing.assert_array_equal(again, params[weight.path])


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
def test_parts_are_side_by_side_along_the_outputs(layout, shape):
    def part(index):
        path = f"{['query', 'key', 'value'][index]}/kernel"
        return Weight(path, (4, 2, 3), "fused", 1, layout, (index, 3))

    weights = [part(index) for index in range(3)]
    arrays = np.random.default_rng(0).normal(size=(3, 4, 2, 3)).astype(np.float32)
    foreign = to_foreign(weights, arrays)
    assert foreign.shape == weights[0].foreign_shape == shape
    outputs_last = foreign.T if layout is LinearLayout.OUTPUTS_FIRST else foreign
    expected = np.concatenate([array.reshape(4, 6) for array in arrays], axis=1)
    np.testing.assert_array_equal(outputs_last.reshape(4, 18), expected)
    for weight, array in zip(weights, arrays, strict=True):
        np.testing.assert_array_equal(weight.from_foreign(foreign), array)
    with pytest.raises(ValueError, match="2 of 3 parts"):
        to_foreign(weights[:2], arrays[:2])


def test_gpt2_fuses_query_key_and_value(draw_params):
    params = trees.named(draw_params(GPT2))
    parts = by_name(parameter_maps.gpt2(GPT2))["transformer.h.1.attn.c_attn.weight"]
    foreign = to_foreign(parts, [params[weight.path] for weight in parts])
    query, key, value = (
        params[f"bert/layer_1/attention/{name}/kernel"].reshape(6, 6)
        for name in ("query", "key", "value")
    )
    np.testing.assert_array_equal(foreign, np.hstack([query, key, value]))


def test_the_names_and_shapes_of_gpt2():
    layer = {
        "ln_1.weight": (6,),
        "ln_1.bias": (6,),
        "attn.c_attn.weight": (6, 18),
        "attn.c_attn.bias": (18,),
        "attn.c_proj.weight": (6, 6),
        "attn.c_proj.bias": (6,),
        "ln_cross_attn.weight": (6,),
        "ln_cross_attn.bias": (6,),
        "crossattention.q_attn.weight": (6, 6),
        "crossattention.q_attn.bias": (6,),
        "crossattention.c_attn.weight": (6, 12),
        "crossattention.c_attn.bias": (12,),
        "crossattention.c_proj.weight": (6, 6),
        "crossattention.c_proj.bias": (6,),
        "ln_2.weight": (6,),
        "ln_2.bias": (6,),
        "mlp.c_fc.weight": (6, 5),
        "mlp.c_fc.bias": (5,),
        "mlp.c_proj.weight": (5, 6),
        "mlp.c_proj.bias": (6,),
    }
    weights = parameter_maps.gpt2(CONFIGS["gpt2, cross-attention"])
    shapes = {name: parts[0].foreign_shape for name, parts in by_name(weights).items()}
    assert shapes == {
        "transformer.wte.weight": (11, 6),
        "transformer.wpe.weight": (7, 6),
        **{f"transformer.h.{i}.{n}": s for i in (0, 1) for n, s in layer.items()},
        "transformer.ln_f.weight": (6,),
        "transformer.ln_f.bias": (6,),
        "lm_head.weight": (11, 6),
    }


def test_a_model_that_hugging_face_does_not_have_has_no_map():
    encoder = dataclasses.replace(GPT2, is_decoder=False)
    for config in (
        encoder,
        pair(encoder),
        dataclasses.replace(GPT2, lm_head_bias=True),
    ):
        with pytest.raises(ConfigError, match="the only such stack of Hugging Face is"):
            parameter_maps.weights_of(config)
