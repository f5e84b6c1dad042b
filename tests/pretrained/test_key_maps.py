"""Key maps translate the names of each kind of file to Hugging Face's names."""

import pathlib

import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained import key_maps, parameter_maps
from bertgen_jax.pretrained.containers.tensor_file import Arrays
from bertgen_jax.pretrained.parameter_maps import by_name, to_foreign
from tests.fixtures.models import stack_config

GPT2 = stack_config(
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
TF2 = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize(
    ("key_map", "name", "expected"),
    [
        (
            key_maps.hugging_face("bert."),
            "bert.embeddings.LayerNorm.gamma",
            "embeddings.LayerNorm.weight",
        ),
        (
            key_maps.hugging_face_decoder("roberta", "decoder."),
            "decoder.lm_head.bias",
            "decoder.cls.predictions.bias",
        ),
        (
            key_maps.GOOGLE,
            "bert/encoder/layer_0/attention/self/query/kernel",
            "encoder.layer.0.attention.self.query.weight",
        ),
        (key_maps.GOOGLE, "cls/predictions/output_bias", "cls.predictions.bias"),
        (key_maps.GOOGLE, "bert/pooler/dense/kernel/adam_m", None),
        (
            key_maps.bertseq2seq(is_shared=False),
            "module/bert/decoder/layer_0/attention/encdec/key/kernel",
            "decoder.bert.encoder.layer.0.crossattention.self.key.weight",
        ),
        (
            key_maps.TENSORFLOW2,
            f"model/layer_with_weights-5/_output_dense/bias{TF2}",
            "encoder.layer.1.output.dense.bias",
        ),
        (key_maps.TENSORFLOW2, f"save_counter{TF2}", None),
        (
            key_maps.FAIRSEQ,
            "model.decoder.sentence_encoder.layers.0.fc1.bias",
            "encoder.layer.0.intermediate.dense.bias",
        ),
        (key_maps.FAIRSEQ, "optimizer_history", None),
        (key_maps.GPT2, "wte.weight", "transformer.wte.weight"),
        (key_maps.OPENAI, "model/wte", "transformer.wte.weight"),
        (key_maps.OPENAI, "model/h0/ln_1/g", "transformer.h.0.ln_1.weight"),
    ],
)
def test_names_are_translated(key_map, name, expected):
    assert key_map.rename(name) == expected


def test_a_file_has_names_and_names_that_are_no_weights():
    arrays = dict.fromkeys(["bert/pooler/dense/bias", "global_step"], np.zeros(1))
    file = Arrays(pathlib.Path("here"), arrays)
    names, non_weights = key_maps.GOOGLE.translate(file)
    assert names == {"pooler.dense.bias": "bert/pooler/dense/bias"}
    assert non_weights == ("global_step",)


def test_two_names_of_one_tensor_are_refused():
    arrays = dict.fromkeys(["wte.weight", "transformer.wte.weight"], np.zeros(1))
    with pytest.raises(CheckpointError, match=r"here: .* are two names of one tensor"):
        key_maps.GPT2.translate(Arrays(pathlib.Path("here"), arrays))


def test_the_names_and_shapes_of_openai():
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
    weights = by_name(key_map.apply(parameter_maps.gpt2(GPT2), ()))
    shapes = {name: parts[0].foreign_shape for name, parts in weights.items()}
    assert shapes.pop("lm_head.weight") == (11, 6)  # tied: not a variable of its own
    assert {key_map.rename(name): s for name, s in variables.items()} == shapes


def test_the_linear_maps_of_openai_have_one_more_axis(draw_params):
    params = trees.named(draw_params(GPT2))
    weights = parameter_maps.gpt2(GPT2)
    hugging_face, openai = (
        to_foreign(parts, [params[weight.path] for weight in parts])
        for parts in (
            by_name(fitted)["transformer.h.1.attn.c_attn.weight"]
            for fitted in (weights, key_maps.OPENAI.apply(weights, ()))
        )
    )
    np.testing.assert_array_equal(openai[0], hugging_face)


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
def test_unused_tensors_of_gpt2_have_a_reason(name, reason):
    actual = key_maps.unused_reason_gpt2(name)
    assert actual is None if reason is None else reason in actual
