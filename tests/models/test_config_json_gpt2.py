"""GPT-2's configs are read, refused where they mean another model, and written."""

import json

import pytest

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
    read_config,
)
from bertgen_jax.models.stack_config import BertGenerationConfig

# As published with openai-community/gpt2, before there were names for much of it.
PUBLISHED = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_type": "cls_index",
    "task_specific_params": {"text-generation": {"do_sample": True}},
    "vocab_size": 50257,
}
SMALL = BertGenerationConfig(
    vocab_size=50257,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act="gelu_new",
    max_position_embeddings=1024,
    layer_norm_eps=1e-5,
    pad_token_id=None,
    bos_token_id=50256,
    eos_token_id=50256,
    is_decoder=True,
    lm_head_bias=False,
    pre_layer_norm=True,
)
HPARAMS = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}


def small(**fields):
    return BertGenerationConfig.from_dict({"model_type": "gpt2", **fields})


@pytest.mark.parametrize(
    "values",
    [PUBLISHED, HPARAMS, {"model_type": "gpt2", **HPARAMS}, {"model_type": "gpt2"}],
    ids=["published", "hparams.json", "both", "nothing but its kind"],
)
def test_gpt2_small_in_every_file_that_describes_it(values):
    assert BertGenerationConfig.from_dict(values) == SMALL


def test_every_field_is_read_from_its_own_key():
    config = small(
        vocab_size=40,
        n_positions=20,
        n_ctx=10,  # less than there are positions, in the oldest files
        n_embd=12,
        n_layer=3,
        n_head=4,
        n_inner=17,
        activation_function="relu",
        resid_pdrop=0.2,
        embd_pdrop=0.2,
        attn_pdrop=0.3,
        layer_norm_epsilon=1e-6,
        initializer_range=0.5,
        bos_token_id=5,
        eos_token_id=[6, 7],
        pad_token_id=8,
        add_cross_attention=True,
        tie_word_embeddings=False,
    )
    assert config == BertGenerationConfig(
        vocab_size=40,
        max_position_embeddings=20,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=17,
        hidden_act="relu",
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
        layer_norm_eps=1e-6,
        initializer_range=0.5,
        bos_token_id=5,
        eos_token_id=(6, 7),
        pad_token_id=8,
        is_decoder=True,
        add_cross_attention=True,
        tie_word_embeddings=False,
        lm_head_bias=False,
        pre_layer_norm=True,
    )
    assert BertGenerationConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale_attn_weights": False}, "scale_attn_weights is False; expected True"),
        ({"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx is True; exp"),
        ({"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn is True; expect"),
        ({"embd_pdrop": 0.0}, r"embd_pdrop is 0\.0 and resid_pdrop is 0\.1; expected"),
        ({"n_embd": 10}, "n_embd is 10, which 12 attention heads do not divide"),
        ({"n_embd": "768"}, "n_embd is '768'; expected an integer"),
        ({"n_vocab": None}, "n_vocab is None; expected an integer"),
        ({"n_layer": 0}, "n_layer is 0; expected a positive integer"),
        ({"n_inner": 1.5}, r"n_inner is 1\.5; expected a positive integer"),
        (
            {"activation_function": "gelu_nwe"},
            "activation_function is 'gelu_nwe'; expected one of .*mean 'gelu_new'",
        ),
        ({"activation_function": ["gelu"]}, r"activation_function is \['gelu'\]; exp"),
        ({"layer_norm_epsilon": 0}, "layer_norm_epsilon is 0; expected a positive"),
    ],
)
def test_values_that_are_not_computed_are_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        small(**values)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, "is_decoder=False, lm_head_bias=True and lm_head_transform=False"),
        ({"lm_head_bias": False}, "is_decoder=False, lm_head_bias=False and .*=False"),
        ({"is_decoder": True}, "is_decoder=True, lm_head_bias=True and .*=False"),
        (
            {"is_decoder": True, "lm_head_bias": False, "lm_head_transform": True},
            "is_decoder=True, lm_head_bias=False and lm_head_transform=True",
        ),
    ],
)
def test_a_stack_that_is_not_a_gpt2_is_not_written_as_one(fields, found):
    config = BertGenerationConfig(pre_layer_norm=True, **fields)
    with pytest.raises(ConfigError, match=f"set with {found}; the only such stack"):
        config.to_dict()


PAIR = EncoderDecoderConfig.from_stacks(
    BertGenerationConfig(vocab_size=30, num_hidden_layers=2),
    small(vocab_size=40, n_positions=20, bos_token_id=39, eos_token_id=39),
    decoder_start_token_id=39,
    pad_token_id=39,
)
PREFIX = PrefixLanguageModelConfig(small(vocab_size=40, eos_token_id=39), 39)


@pytest.mark.parametrize(
    "config", [SMALL, PAIR, PREFIX], ids=lambda x: type(x).__name__
)
def test_round_trip_through_a_directory(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert read_config(tmp_path) == config
    assert type(config).from_pretrained(tmp_path) == config
    assert hash(read_config(tmp_path)) == hash(config)


def test_only_the_decoder_of_a_pair_may_be_gpt2():
    values = json.loads(json.dumps(PAIR.to_dict()))
    assert values["decoder"]["model_type"] == "gpt2"
    assert values["decoder"]["add_cross_attention"]
    values["encoder"] = values["decoder"]
    with pytest.raises(ConfigError, match="the encoder is a 'gpt2' model; expected 'b"):
        EncoderDecoderConfig.from_dict(values)


def test_a_prefix_language_model_is_read_as_a_decoder_where_one_is_asked_for(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PREFIX.to_dict()))
    assert BertGenerationConfig.from_pretrained(tmp_path) == PREFIX.decoder
    with pytest.raises(CheckpointError, match="'gpt2'; expected 'encoder-decoder'"):
        EncoderDecoderConfig.from_pretrained(tmp_path)
