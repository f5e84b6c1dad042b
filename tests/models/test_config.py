"""Configurations read Hugging Face's files, and refuse invalid values."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import (
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
    read_config,
)
from bertgen_jax.models.create import create_model
from bertgen_jax.models.stack_config import WORD_TABLE, BertGenerationConfig
from tests.fixtures.models import pair_config, prefix_config, stack_config

IDS = np.ones((1, 3), np.int32)

# As published with google/roberta2roberta_L-24_bbc and its like.
PUBLISHED = {
    "architectures": ["EncoderDecoderModel"],
    "bos_token_id": 2,
    "decoder_start_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "is_encoder_decoder": True,
    "max_length": 64,
    "model_type": "encoder-decoder",
    "num_beams": 4,
    "encoder": {"model_type": "bert-generation", "directionality": "bidi"},
    "decoder": {
        "model_type": "bert-generation",
        "add_cross_attention": True,
        "is_decoder": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "vocab_size": 31950,
        "pruned_heads": {},
    },
}


def stack(**fields):
    return BertGenerationConfig(**fields)


def pair(encoder=None, decoder=None, **fields):
    return EncoderDecoderConfig.from_stacks(
        encoder or stack(), decoder or stack(), **fields
    )


def test_a_published_config():
    config = EncoderDecoderConfig.from_dict(PUBLISHED)
    assert config.encoder == stack()
    assert config.decoder == stack(
        vocab_size=31950,
        is_decoder=True,
        add_cross_attention=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    assert config.start_token_id == 2
    assert config.eos_token_id == 1
    assert not config.share_encoder_decoder
    assert config.tie_word_embeddings


def test_the_flag_of_version_4_shares():
    values = json.loads(json.dumps(pair().to_dict()))
    del values["share_encoder_decoder"]
    values["tie_encoder_decoder"] = True
    assert EncoderDecoderConfig.from_dict(values).share_encoder_decoder


@pytest.mark.parametrize(
    "config",
    [
        stack(),
        stack(eos_token_id=[1, 5], pad_token_id=None, lm_head_bias=False),
        stack(is_decoder=True, add_cross_attention=True, tie_word_embeddings=False),
        pair(),
        pair(share_encoder_decoder=True, decoder_start_token_id=2),
        pair(share_embeddings=True, eos_token_id=[1, 7]),
        pair(stack(lm_head_transform=True), stack(lm_head_transform=True)),
        stack(is_decoder=True, lm_head_transform=True, lm_head_bias=False),
        PrefixLanguageModelConfig(stack(is_decoder=True, lm_head_transform=True), 2),
        PrefixLanguageModelConfig(stack(is_decoder=True), 2),
    ],
)
def test_round_trip_through_json(config, tmp_path):
    values = config.to_dict()
    (tmp_path / "config.json").write_text(json.dumps(values))
    read = type(config).from_pretrained(tmp_path)
    assert read == config
    assert hash(read) == hash(config)


def test_special_ids_of_a_pair_are_the_decoders_by_default():
    config = pair(decoder=stack(pad_token_id=4, bos_token_id=5, eos_token_id=(6, 7)))
    assert config.pad_token_id == 4
    assert config.bos_token_id == 5
    assert config.eos_token_id == (6, 7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder_start_token_id": 0}, "decoder_start_token_id and pad_token_id are"),
        ({"decoder_start_token_id": 50358}, "expected one of the 50358 ids of the dec"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        (
            {"encoder": stack(vocab_size=20, pad_token_id=20)},
            "expected one of the 20 ids of the encoder",
        ),
        (
            {"encoder": stack(layer_norm_eps=1e-5), "share_encoder_decoder": True},
            "encoder and decoder differ: layer_norm_eps 1e-05 and 1e-12",
        ),
        (
            {"encoder": stack(vocab_size=20), "share_embeddings": True},
            "share_embeddings is set, but .* vocab_size 20 and 50358",
        ),
        (
            {"encoder": stack(pre_layer_norm=True), "share_encoder_decoder": True},
            "encoder and decoder differ: pre_layer_norm True and False",
        ),
    ],
)
def test_an_invalid_pair_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        pair(**fields)


def test_one_special_id_may_serve_for_everything():
    """GPT-2 has only <|endoftext|>."""
    gpt2 = stack(pad_token_id=None, bos_token_id=9, eos_token_id=9)
    assert (
        pair(decoder=gpt2, decoder_start_token_id=9, pad_token_id=9).pad_token_id == 9
    )
    several = stack(pad_token_id=9, eos_token_id=(1, 9))
    assert pair(decoder=several, decoder_start_token_id=9).start_token_id == 9


def test_the_target_may_be_padded_with_an_id_that_the_source_does_not_have():
    small = stack(vocab_size=20)
    assert pair(small, pad_token_id=20).pad_token_id == 20


@pytest.mark.parametrize(
    ("encoder", "decoder", "shared"),
    [
        (False, False, {"words", "norm"}),
        (False, True, {"words"}),  # the encoder's LayerNorm is its own
        (True, True, {"words"}),  # neither has one
        (True, False, {"words"}),  # the decoder's LayerNorm is its own
    ],
)
def test_what_is_shared_of_two_embedding_blocks(encoder, decoder, shared):
    config = pair(
        stack(pre_layer_norm=encoder),
        stack(pre_layer_norm=decoder),
        share_embeddings=True,
    )
    paths = {
        "words": WORD_TABLE,
        "norm": "embeddings/LayerNorm/scale",
        "layer": "layer_0/LayerNorm/scale",
    }
    assert {name for name, path in paths.items() if config.shares(path)} == shared


LAYER = "layer_0/LayerNorm/scale"


@pytest.mark.parametrize(
    ("config", "architecture", "sides", "encoder_path", "decoder_path"),
    [
        (stack_config(), "encoder", ["encoder"], LAYER, LAYER),
        (
            stack_config(is_decoder=True),
            "decoder",
            ["decoder"],
            f"bert/{LAYER}",
            f"bert/{LAYER}",
        ),
        (
            pair_config(),
            "encoder-decoder",
            ["encoder", "decoder"],
            f"encoder/{LAYER}",
            f"decoder/bert/{LAYER}",
        ),
        (
            pair_config(share_encoder_decoder=True),
            "encoder-decoder",
            ["encoder", "decoder"],
            f"decoder/bert/{LAYER}",
            f"decoder/bert/{LAYER}",
        ),
        (
            prefix_config(),
            "decoder",
            ["decoder"],
            f"decoder/bert/{LAYER}",
            f"decoder/bert/{LAYER}",
        ),
    ],
)
def test_every_config_names_its_stacks_and_their_parameters(
    config, architecture, sides, encoder_path, decoder_path
):
    assert config.architecture == architecture
    assert list(config.stacks) == sides
    assert config.source_config is config.stacks[sides[0]]
    assert config.target_config is config.stacks[sides[-1]]
    paths = [encoder_path, decoder_path]
    assert [config.param_path(side, LAYER) for side in ("encoder", "decoder")] == paths
    inputs = [IDS, None, IDS] if "decoder/bert" in decoder_path else [IDS]
    init = create_model(config).init
    shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
    assert set(paths) <= set(trees.named(shapes["params"]))


def test_shared_embeddings_are_kept_in_the_decoder():
    config = pair_config(share_embeddings=True)
    assert config.param_path("encoder", WORD_TABLE) == f"decoder/bert/{WORD_TABLE}"
    assert config.param_path("encoder", LAYER) == f"encoder/{LAYER}"


def test_lengths_are_checked_against_the_stacks_that_read_them():
    pair_config().check_lengths(32, 32)
    prefix_config().check_lengths(20, 12)
    with pytest.raises(ConfigError, match=r"source needs 33 .* encoder has 32"):
        pair_config().check_lengths(33, 32)
    with pytest.raises(ConfigError, match=r"target needs 33 .* has 32 .* my advice"):
        pair_config().check_lengths(32, 33, target_advice="Do follow my advice.")
    for config in (prefix_config(), stack_config(is_decoder=True)):
        with pytest.raises(
            ConfigError, match=r"source of 20 .* target of 13 .*needs 33"
        ):
            config.check_lengths(20, 13)


def test_embeddings_may_be_shared_by_stacks_of_other_depth():
    deep, shallow = stack(num_hidden_layers=24), stack(num_hidden_layers=6)
    assert pair(deep, shallow, share_embeddings=True).share_embeddings


def test_a_pair_of_which_no_stack_is_a_decoder():
    with pytest.raises(ConfigError, match="from_stacks sets them"):
        EncoderDecoderConfig(stack(), stack())
    decoder = stack(is_decoder=True, add_cross_attention=True)
    with pytest.raises(ConfigError, match=r"encoder\.is_decoder is True"):
        EncoderDecoderConfig(decoder, decoder)


def test_a_missing_start_id_is_an_error_when_it_is_needed():
    with pytest.raises(ConfigError, match=r"usually the tokenizer's bos id .*is 2"):
        _ = pair().start_token_id


def test_a_prefix_language_model_is_a_decoder_with_a_start_token():
    decoder = stack(is_decoder=True, pad_token_id=4, bos_token_id=5, eos_token_id=6)
    config = PrefixLanguageModelConfig(decoder, 5)
    assert config.start_token_id == 5
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (4, 5, 6)
    with pytest.raises(ConfigError, match=r"bos_token_id is 5"):
        _ = PrefixLanguageModelConfig(decoder).start_token_id
    with pytest.raises(
        ConfigError, match="decoder_start_token_id and pad_token_id are"
    ):
        PrefixLanguageModelConfig(decoder, 4)
    with pytest.raises(
        ConfigError, match=r"is_decoder is False .* without cross-atten"
    ):
        PrefixLanguageModelConfig(stack(), 5)
    with pytest.raises(ConfigError, match="add_cross_attention is True; expected"):
        PrefixLanguageModelConfig(pair().decoder, 5)


def test_a_start_token_alone_makes_no_prefix_language_model(tmp_path):
    for config in (stack(), pair().decoder):
        values = {**config.to_dict(), "decoder_start_token_id": 2}
        (tmp_path / "config.json").write_text(json.dumps(values))
        assert read_config(tmp_path) == config


def test_a_missing_stack_and_one_of_another_architecture_are_refused():
    with pytest.raises(ConfigError, match="no 'decoder' in an encoder-decoder config"):
        EncoderDecoderConfig.from_dict({"encoder": {}})
    with pytest.raises(ConfigError, match=r"no 'encoder' .*; found enc"):
        EncoderDecoderConfig.from_dict({"encoder": "bert", "decoder": {}})
    values = {"encoder": {"model_type": "t5"}, "decoder": {}}
    with pytest.raises(ConfigError, match="the encoder is a 't5' model"):
        EncoderDecoderConfig.from_dict(values)


def test_configs_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        stack().hidden_size = 1
