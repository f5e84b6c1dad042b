"""The maps of GPT-2 name its parameters, all of them, in both kinds of file."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.pretrained import key_maps, name_maps, saving
from bertgen_jax.pretrained.name_maps import by_name, to_foreign

GPT2 = BertGenerationConfig(
    vocab_size=11,
    hidden_size=6,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=5,
    max_position_embeddings=7,
    is_decoder=True,
    lm_head_bias=False,
    pre_layer_norm=True,
)
CROSSED = dataclasses.replace(GPT2, add_cross_attention=True)
UNTIED = dataclasses.replace(GPT2, tie_word_embeddings=False)
BERT = dataclasses.replace(GPT2, lm_head_bias=True, pre_layer_norm=False)


def pair(encoder=BERT, decoder=GPT2, **fields):
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


CONFIGS = {
    "gpt2": GPT2,
    "untied": UNTIED,
    "cross-attention": CROSSED,
    "prefix": PrefixLanguageModelConfig(GPT2, 2),
    "bert2gpt": pair(),
    "rnd2gpt": pair(share_embeddings=True),
    "unequal": pair(dataclasses.replace(BERT, hidden_size=9, vocab_size=13)),
    "pair, untied": pair(decoder=UNTIED),
}


def model_shapes(config):
    kinds = {
        BertGenerationConfig: BertGenerationDecoder,
        EncoderDecoderConfig: EncoderDecoder,
        PrefixLanguageModelConfig: PrefixLanguageModel,
    }
    ids = np.ones((1, 2), np.int32)
    inputs = (ids,) if isinstance(config, BertGenerationConfig) else (ids, None, ids)
    model = kinds[type(config)](config)
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    return {path: leaf.shape for path, leaf in trees.named(params).items()}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_map_is_the_parameters_of_the_model(config):
    weights = name_maps.weights_of(config)
    assert {weight.path: weight.shape for weight in weights} == model_shapes(config)
    written = by_name(weight for weight in weights if weight.written)
    for parts in written.values():
        assert [weight.part for weight in parts] == [
            (number, len(parts)) for number in range(len(parts))
        ]
    assert {w.path for parts in written.values() for w in parts} == {
        weight.path for weight in weights
    }


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_both_directions_undo_each_other(config, draw_params):
    params = draw_params(config)
    tensors = saving.to_tensors(config, params)
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())
    found = {
        weight.path: weight.from_foreign(tensors[weight.name])
        for weight in name_maps.weights_of(config)
        if weight.written
    }
    for path, array in trees.named(params).items():
        np.testing.assert_array_equal(found[path], array)


def foreign_shapes(weights):
    return {name: parts[0].foreign_shape for name, parts in by_name(weights).items()}


def test_hugging_faces_names_and_shapes():
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
    assert foreign_shapes(name_maps.gpt2(CROSSED)) == {
        "transformer.wte.weight": (11, 6),
        "transformer.wpe.weight": (7, 6),
        **{f"transformer.h.{i}.{n}": s for i in (0, 1) for n, s in layer.items()},
        "transformer.ln_f.weight": (6,),
        "transformer.ln_f.bias": (6,),
        "lm_head.weight": (11, 6),
    }


def test_openais_names_and_shapes():
    layer = {
        "ln_1/g": (6,),
        "ln_1/b": (6,),
        "attn/c_attn/w": (1, 6, 18),
        "attn/c_attn/b": (18,),
        "attn/c_proj/w": (1, 6, 6),
        "attn/c_proj/b": (6,),
        "ln_2/g": (6,),
        "ln_2/b": (6,),
        "mlp/c_fc/w": (1, 6, 5),
        "mlp/c_fc/b": (5,),
        "mlp/c_proj/w": (1, 5, 6),
        "mlp/c_proj/b": (6,),
    }
    variables = {
        "model/wte": (11, 6),
        "model/wpe": (7, 6),
        **{f"model/h{i}/{n}": s for i in (0, 1) for n, s in layer.items()},
        "model/ln_f/g": (6,),
        "model/ln_f/b": (6,),
    }
    key_map = key_maps.OPENAI
    shapes = foreign_shapes(key_map.apply(name_maps.gpt2(GPT2), ()))
    assert shapes.pop("lm_head.weight") == (11, 6)  # tied: no variable of its own
    assert {key_map.rename(name): s for name, s in variables.items()} == shapes


def test_openais_linear_maps_have_one_more_axis(draw_params):
    params = trees.named(draw_params(GPT2))
    ours = name_maps.gpt2(GPT2)
    one, other = (
        to_foreign(parts, [params[weight.path] for weight in parts])
        for parts in (
            by_name(weights)["transformer.h.1.attn.c_attn.weight"]
            for weights in (ours, key_maps.OPENAI.apply(ours, ()))
        )
    )
    np.testing.assert_array_equal(other[0], one)
    query, key, value = (
        params[f"bert/layer_1/attention/{name}/kernel"].reshape(6, 6)
        for name in ("query", "key", "value")
    )
    np.testing.assert_array_equal(one, np.hstack([query, key, value]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("transformer.h.0.attn.bias", "causal mask"),
        ("h.11.attn.masked_bias", "causal mask"),
        ("decoder.transformer.h.3.crossattention.bias", "causal mask"),
        ("score.weight", "head of another task"),
        ("transformer.multiple_choice_head.summary.bias", "head of another task"),
        ("transformer.h.0.attn.c_attn.bias", None),
        ("transformer.h.0.mlp.c_proj.bias", None),
        ("transformer.h.0.adapter.weight", None),
    ],
)
def test_what_may_stay_out(name, reason):
    found = key_maps.unused_reason_gpt2(name)
    assert found is None if reason is None else reason in found


def test_there_is_no_map_to_a_model_that_the_peer_does_not_have():
    encoder = dataclasses.replace(GPT2, is_decoder=False)
    for config in (
        encoder,
        pair(encoder),
        dataclasses.replace(GPT2, lm_head_bias=True),
    ):
        with pytest.raises(ConfigError, match="the only such stack of Hugging Face is"):
            name_maps.weights_of(config)
