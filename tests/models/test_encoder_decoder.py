"""Pairs of stacks: what is shared, what bridges them, and what a call must have."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import BertGenerationEncoder
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from tests.fixtures.models import pair_config, stack_config

STACK = stack_config(max_position_embeddings=12)
PLAIN = pair_config(STACK)
SHARED = dataclasses.replace(PLAIN, share_encoder_decoder=True)
ONE_TABLE = dataclasses.replace(PLAIN, share_embeddings=True)
UNEQUAL = EncoderDecoderConfig.from_stacks(
    dataclasses.replace(STACK, hidden_size=20, vocab_size=50), STACK
)
GPT2 = dataclasses.replace(
    STACK, lm_head_bias=False, pre_layer_norm=True, layer_norm_eps=1e-5
)
BERT2GPT = EncoderDecoderConfig.from_stacks(
    dataclasses.replace(STACK, hidden_size=20, vocab_size=50), GPT2
)
RND2GPT = EncoderDecoderConfig.from_stacks(STACK, GPT2, share_embeddings=True)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

RNG = np.random.default_rng(0)
SOURCE = RNG.integers(0, STACK.vocab_size, (3, 5))
SOURCE_MASK = np.arange(5) < np.array([[5], [3], [1]])
TARGET = RNG.integers(0, STACK.vocab_size, (3, 4))


@functools.cache
def compiled(config, method):
    return jax.jit(functools.partial(EncoderDecoder(config).apply, method=method))


def run(config, params, *arrays, method="__call__", **named):
    return compiled(config, method)({"params": params}, *arrays, **named)


def logits(config, params):
    return run(config, params, SOURCE, SOURCE_MASK, TARGET).logits


def unshared(params):
    """The params of two stacks that hold what a shared model has once."""
    stack = params["decoder"]["bert"]
    encoder = {**stack, "layer_0": dict(stack["layer_0"])}
    del encoder["layer_0"]["crossattention"]
    return {**params, "encoder": encoder}


def test_shared_stacks_are_one_set_of_arrays(draw_params):
    params = draw_params(SHARED)
    assert params.keys() == {"decoder"}
    two = unshared(params)
    np.testing.assert_allclose(logits(SHARED, params), logits(PLAIN, two), **CLOSE)
    states = run(SHARED, params, SOURCE, SOURCE_MASK, method="encode")
    alone = BertGenerationEncoder(STACK).apply(
        {"params": two["encoder"]}, SOURCE, SOURCE_MASK
    )
    np.testing.assert_allclose(
        states.last_hidden_state, alone.last_hidden_state, **CLOSE
    )


def test_a_shared_array_learns_from_both_sides(draw_params):
    params = draw_params(SHARED)

    def gradient(config, params):
        def loss(params):
            apply = EncoderDecoder(config).apply
            out = apply({"params": params}, SOURCE, SOURCE_MASK, TARGET)
            return jax.nn.logsumexp(out.logits, axis=-1).sum()

        return jax.jit(jax.grad(loss))(params)

    shared, two = gradient(SHARED, params), gradient(PLAIN, unshared(params))
    for path in (("embeddings", "word_embeddings"), ("layer_0", "intermediate")):
        one, encoder, decoder = (
            shared["decoder"]["bert"],
            two["encoder"],
            two["decoder"],
        )
        decoder = decoder["bert"]
        for key in path:
            one, encoder, decoder = one[key], encoder[key], decoder[key]
        for name in one:
            both = encoder[name] + decoder[name]
            np.testing.assert_allclose(one[name], both, rtol=1e-4, atol=1e-4)
            assert np.abs(encoder[name]).max() > 1e-3
            assert np.abs(decoder[name]).max() > 1e-3


def test_shared_embeddings_are_the_decoders(draw_params):
    params = draw_params(ONE_TABLE)
    assert params["encoder"].keys() == {"layer_0"}
    two = {
        **params,
        "encoder": {
            **params["encoder"],
            "embeddings": params["decoder"]["bert"]["embeddings"],
        },
    }
    np.testing.assert_allclose(logits(ONE_TABLE, params), logits(PLAIN, two), **CLOSE)


def test_an_encoder_of_bert_keeps_its_layer_norm_before_a_decoder_of_gpt2(draw_params):
    params = draw_params(RND2GPT)
    assert params["encoder"]["embeddings"].keys() == {"LayerNorm"}
    tables = params["decoder"]["bert"]["embeddings"]
    assert tables.keys() == {"word_embeddings", "position_embeddings"}
    two = {
        **params,
        "encoder": {
            **params["encoder"],
            "embeddings": {**tables, **params["encoder"]["embeddings"]},
        },
    }
    apart = dataclasses.replace(RND2GPT, share_embeddings=False)
    np.testing.assert_allclose(logits(RND2GPT, params), logits(apart, two), **CLOSE)


def test_a_shared_stack_of_gpt2_is_run_both_ways(draw_params):
    config = EncoderDecoderConfig.from_stacks(GPT2, GPT2, share_encoder_decoder=True)
    params = draw_params(BERT2GPT)  # of which the decoder is the shared stack
    params = {"decoder": params["decoder"]}
    states = run(config, params, SOURCE, SOURCE_MASK, method="encode")
    alone = jax.jit(BertGenerationEncoder(GPT2).apply)(
        {"params": params["decoder"]["bert"]}, SOURCE, SOURCE_MASK
    )
    np.testing.assert_allclose(
        states.last_hidden_state, alone.last_hidden_state, **CLOSE
    )
    names = {path for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    model = EncoderDecoder(config)
    init = jax.eval_shape(model.init, jax.random.key(0), SOURCE, None, TARGET)
    leaves = jax.tree_util.tree_leaves_with_path(init["params"])
    assert {path for path, _ in leaves} == names


def test_unequal_widths_meet_in_a_projection(draw_params):
    params = draw_params(UNEQUAL)
    bridge = params["enc_to_dec_proj"]
    assert bridge["kernel"].shape == (20, 16)
    states = run(UNEQUAL, params, SOURCE, SOURCE_MASK, method="encode")
    assert states.last_hidden_state.shape == (3, 5, 20)
    narrow = states.last_hidden_state @ bridge["kernel"] + bridge["bias"][None, None]
    out = run(PLAIN, params, TARGET, narrow, SOURCE_MASK, method="decode")
    np.testing.assert_allclose(logits(UNEQUAL, params), out.logits, **CLOSE)


@pytest.mark.parametrize("config", [SHARED, BERT2GPT], ids=["shared", "bert2gpt"])
def test_a_cache_of_an_encoded_source_gives_the_same_logits(draw_params, config):
    params = draw_params(config)
    memory = run(config, params, SOURCE, SOURCE_MASK, method="encode").last_hidden_state
    cache = EncoderDecoder(config).apply(
        {"params": params}, memory, 4, method="init_cache"
    )
    wanted = logits(config, params)
    for t in range(4):
        ids = TARGET[:, t : t + 1]
        out = run(
            config,
            params,
            ids,
            None,
            SOURCE_MASK,
            past_key_values=cache,
            method="decode",
        )
        cache = out.past_key_values
        np.testing.assert_allclose(out.logits[:, 0], wanted[:, t], **CLOSE)


def test_what_is_encoded_once_serves_again(draw_params):
    params = draw_params(PLAIN)
    encoded = run(PLAIN, params, SOURCE, SOURCE_MASK, method="encode")
    again = run(PLAIN, params, None, SOURCE_MASK, TARGET, encoder_outputs=encoded)
    np.testing.assert_allclose(again.logits, logits(PLAIN, params), **CLOSE)


def test_word_vectors_serve_in_place_of_ids(draw_params):
    params = draw_params(SHARED)
    table = params["decoder"]["bert"]["embeddings"]["word_embeddings"]["embedding"]
    out = run(
        SHARED,
        params,
        attention_mask=SOURCE_MASK,
        inputs_embeds=table[SOURCE],
        decoder_inputs_embeds=table[TARGET],
    )
    np.testing.assert_allclose(out.logits, logits(SHARED, params), **CLOSE)


@pytest.mark.parametrize("config", [PLAIN, SHARED], ids=["plain", "shared"])
def test_all_outputs_by_name(config):
    model = EncoderDecoder(config)
    params = jax.eval_shape(model.init, jax.random.key(0), SOURCE, None, TARGET)
    everything = functools.partial(
        model.apply, output_attentions=True, output_hidden_states=True
    )
    out = jax.eval_shape(everything, params, SOURCE, SOURCE_MASK, TARGET)
    shapes = jax.tree.map(lambda x: x.shape, dataclasses.asdict(out))
    assert shapes == {
        "logits": (3, 4, STACK.vocab_size),
        "past_key_values": None,
        "decoder_hidden_states": ((3, 4, 16),) * 2,
        "decoder_attentions": ((3, 2, 4, 4),),
        "cross_attentions": ((3, 2, 4, 5),),
        "encoder_last_hidden_state": (3, 5, 16),
        "encoder_hidden_states": ((3, 5, 16),) * 2,
        "encoder_attentions": ((3, 2, 5, 5),),
    }


def test_shared_stacks_can_be_scanned_on_both_sides(draw_params):
    config = dataclasses.replace(
        SHARED,
        encoder=dataclasses.replace(SHARED.encoder, num_hidden_layers=2),
        decoder=dataclasses.replace(SHARED.decoder, num_hidden_layers=2),
    )
    params = draw_params(config)
    scanned = EncoderDecoder(config, scan_layers=True)
    out = jax.jit(scanned.apply)({"params": params}, SOURCE, SOURCE_MASK, TARGET)
    np.testing.assert_allclose(out.logits, logits(config, params), **CLOSE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": SOURCE}, "neither of decoder_input_ids and decoder_inputs_emb"),
        ({"decoder_input_ids": TARGET}, "neither of input_ids and inputs_embeds"),
        (
            {
                "input_ids": SOURCE,
                "decoder_input_ids": TARGET,
                "decoder_inputs_embeds": np.ones((3, 4, 16)),
            },
            "both of decoder_input_ids",
        ),
        (
            {"input_ids": np.ones((3, 13), int), "decoder_input_ids": TARGET},
            "13 positions; the decoder has 12",
        ),
    ],
)
def test_invalid_calls_are_refused(draw_params, arguments, message):
    with pytest.raises(ConfigError, match=message):
        run(SHARED, draw_params(SHARED), **arguments)


def test_a_target_is_not_decoded_from_no_source(draw_params):
    params = draw_params(SHARED)
    message = "neither encoder_hidden_states nor a cache with their keys"
    with pytest.raises(ConfigError, match=message):
        run(SHARED, params, TARGET, None, method="decode")
    model = EncoderDecoder(SHARED)
    empty = model.bind({"params": params}).decoder.init_cache(3, 4)
    with pytest.raises(ConfigError, match=message):
        run(SHARED, params, TARGET, None, past_key_values=empty, method="decode")
