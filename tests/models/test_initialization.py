"""Random parameters equal those of `model.init`, and need few small programs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.models import create, initialization
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.stack_config import BertGenerationConfig

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}
ENCODER = BertGenerationConfig(**SIZES)
DECODER = BertGenerationConfig(**SIZES, is_decoder=True, add_cross_attention=True)
GPT2 = {"pre_layer_norm": True, "tie_word_embeddings": True, "lm_head_bias": False}


def pair(encoder=None, decoder=None, **fields):
    return EncoderDecoderConfig(
        dataclasses.replace(ENCODER, **(encoder or {})),
        dataclasses.replace(DECODER, **(decoder or {})),
        **fields,
    )


CONFIGS = {
    "two stacks": pair(),
    "shared stacks": pair(share_encoder_decoder=True),
    "shared embeddings": pair(share_embeddings=True),
    "GPT-2 as decoder": pair(decoder=GPT2),
    "other depths and deviations": pair(
        {"num_hidden_layers": 1, "initializer_range": 0.1}, {"num_hidden_layers": 11}
    ),
    "other widths": pair({"hidden_size": 8, "initializer_range": 0.5}),
    "softmax with its own kernel": pair(
        decoder={"tie_word_embeddings": False, "lm_head_bias": True}
    ),
    "softmax with a transform": pair(
        decoder={"lm_head_transform": True, "lm_head_bias": True}
    ),
    "language model": PrefixLanguageModelConfig(
        BertGenerationConfig(**SIZES, is_decoder=True, **GPT2)
    ),
}


def make(config, **fields):
    return create.create_model(config, **fields)


@pytest.mark.parametrize("name", CONFIGS)
def test_each_parameter_has_the_key_that_flax_derives(name):
    model, key = make(CONFIGS[name]), jax.random.key(7)
    ids = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    expected = trees.named(model.lazy_init(key, ids, None, ids)["params"])
    params = trees.named(initialization.draw_params(model, key))
    assert list(params) == list(expected)
    for path, leaf in params.items():
        assert leaf.dtype == expected[path].dtype
        # Flax multiplies by the deviation in a program of its own: other last bits.
        np.testing.assert_allclose(leaf, expected[path], rtol=1e-6, err_msg=path)
    assert len(
        {leaf.tobytes() for path, leaf in params.items() if "kernel" in path}
    ) == (sum("kernel" in path for path in params))


@pytest.mark.parametrize("name", ["GPT-2 as decoder", "other widths"])
def test_parameters_equal_those_of_one_compiled_program_bit_for_bit(name):
    model, key = make(CONFIGS[name]), jax.random.key(0)
    ids = np.zeros((1, 2), np.int32)
    init = jax.jit(lambda key: model.init(key, ids, None, ids)["params"])
    expected = trees.named(init(key))
    params = trees.named(initialization.draw_params(model, key))
    assert not trees.differences(expected, params)
    for path, leaf in params.items():
        np.testing.assert_array_equal(leaf, expected[path], err_msg=path)


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_those_of_the_whole_model(name):
    model = make(CONFIGS[name], dtype=jnp.bfloat16)
    ids = np.zeros((1, 2), np.int32)
    expected = jax.eval_shape(
        lambda: model.init(jax.random.key(0), ids, None, ids)["params"]
    )
    shapes = initialization.param_shapes(model)
    assert jax.tree.structure(shapes) == jax.tree.structure(expected)
    assert not trees.differences(trees.named(expected), trees.named(shapes))


def test_the_number_of_programs_does_not_depend_on_the_depth(monkeypatch):
    counts = []
    for layers in (1, 6):
        programs = set()
        monkeypatch.setattr(
            initialization,
            "_draw",
            lambda key, size, *rest, seen=programs: (
                seen.add((size, *rest)) or np.zeros(size, np.float32)
            ),
        )
        depth = {"num_hidden_layers": layers}
        initialization.draw_params(make(pair(depth, depth)), jax.random.key(0))
        counts.append(len(programs))
    assert counts[0] == counts[1] == 4  # words, positions, D x D and D x F


def test_a_host_without_a_cpu_backend_draws_on_its_device(monkeypatch, caplog):
    model, key = make(CONFIGS["shared stacks"]), jax.random.key(1)
    expected = trees.named(initialization.draw_params(model, key))

    def refuse(*, backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", refuse)
    params = trees.named(initialization.draw_params(model, key))
    for path, leaf in params.items():
        np.testing.assert_array_equal(leaf, expected[path])
    assert "there is no CPU backend (Unknown backend cpu)" in caplog.text
