"""Config files of BERT and RoBERTa are read, alone and within pairs."""

import dataclasses
import json

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig, read_config
from bertgen_jax.models.config_json import first_position
from bertgen_jax.models.stack_config import BertGenerationConfig

BERT = BertGenerationConfig(  # bert-base-uncased
    vocab_size=30522,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    bos_token_id=None,
    eos_token_id=None,
)
ROBERTA = dataclasses.replace(  # roberta-base
    BERT,
    vocab_size=50265,
    layer_norm_eps=1e-5,
    pad_token_id=1,
    bos_token_id=0,
    eos_token_id=2,
)
OF_ROBERTA = {"layer_norm_eps": 1e-5, "max_position_embeddings": 514}

# As version 3 wrote patrickvonplaten/bert2bert_cnn_daily_mail, shortened.
PUBLISHED = {
    "architectures": ["EncoderDecoderModel"],
    "decoder": {
        "add_cross_attention": True,
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "bos_token_id": None,
        "decoder_start_token_id": None,
        "eos_token_id": None,
        "gradient_checkpointing": False,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 768,
        "initializer_range": 0.02,
        "intermediate_size": 3072,
        "is_decoder": True,
        "layer_norm_eps": 1e-12,
        "max_length": 20,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 0,
        "tie_encoder_decoder": False,
        "type_vocab_size": 2,
        "vocab_size": 30522,
    },
    "decoder_start_token_id": 101,
    "early_stopping": True,
    "encoder": {"model_type": "bert", "vocab_size": 30522, "num_hidden_layers": 12},
    "eos_token_id": 102,
    "is_encoder_decoder": True,
    "length_penalty": 2.0,
    "max_length": 142,
    "model_type": "encoder-decoder",
    "pad_token_id": 0,
    "tie_encoder_decoder": True,
}


def decoder(config, **fields):
    return dataclasses.replace(
        config,
        is_decoder=True,
        add_cross_attention=True,
        lm_head_transform=True,
        **fields,
    )


def test_a_published_pair(tmp_path):
    config = EncoderDecoderConfig.from_dict(PUBLISHED)
    assert config == EncoderDecoderConfig(
        encoder=BERT,
        decoder=decoder(BERT),
        share_encoder_decoder=True,
        decoder_start_token_id=101,
        eos_token_id=102,
    )
    values = config.to_dict()
    assert values["encoder"]["model_type"] == "bert-generation"
    assert values["decoder"]["model_type"] == "bert"
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("values", "encoder"),
    [
        ({"model_type": "bert"}, BERT),
        ({"model_type": "roberta", **OF_ROBERTA}, ROBERTA),
        ({"model_type": "bert-generation"}, BertGenerationConfig()),
    ],
    ids=["bert", "roberta", "bert-generation"],
)
def test_missing_keys_of_a_pair_have_the_defaults_of_each_model_type(values, encoder):
    """Version 4 of transformers wrote only what differs, not always `is_decoder`."""
    config = EncoderDecoderConfig.from_dict({"encoder": values, "decoder": values})
    assert config.encoder == encoder
    has_transform = values["model_type"] != "bert-generation"
    assert config.decoder == dataclasses.replace(
        decoder(encoder), lm_head_transform=has_transform
    )
    assert config.pad_token_id == encoder.pad_token_id


def test_any_two_model_types_make_a_pair():
    config = EncoderDecoderConfig.from_dict(
        {
            "encoder": {"model_type": "roberta", **OF_ROBERTA},
            "decoder": {"model_type": "bert"},
        }
    )
    assert (config.encoder, config.decoder) == (ROBERTA, decoder(BERT))


def test_an_encoder_alone_has_no_head():
    read = BertGenerationConfig.from_dict
    assert read({"model_type": "bert"}) == BERT
    assert read({"model_type": "roberta", **OF_ROBERTA}) == ROBERTA


def test_a_decoder_of_roberta_is_written_as_one_of_bert():
    """Its positions begin with row 0 here, as BERT's do."""
    config = decoder(ROBERTA)
    assert config.model_type == "bert"
    values = config.to_dict()
    assert values["max_position_embeddings"] == 512
    assert values["layer_norm_eps"] == 1e-5
    assert BertGenerationConfig.from_dict(values) == config


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ({}, 0),
        ({"model_type": "bert", "pad_token_id": 5}, 0),
        ({"model_type": "roberta"}, 2),
        ({"model_type": "roberta", "pad_token_id": 0}, 1),
    ],
)
def test_roberta_keeps_rows_of_the_position_table_for_padding(values, row):
    assert first_position(values) == row
    if values:
        config = BertGenerationConfig.from_dict(values)
        assert config.max_position_embeddings == 512 - row


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 10}, "hidden_size is 10, which 12 attention heads do not div"),
        ({"max_position_embeddings": "9"}, "max_position_embeddings is '9'; expected"),
        ({"max_position_embeddings": 2}, "max_position_embeddings is 0; expected"),
        ({"pad_token_id": None}, "pad_token_id is None; expected an id"),
        (
            {"position_embedding_type": "relative_key"},
            "is 'relative_key'; expected 'ab",
        ),
        (
            {"is_decoder": True, "hidden_act": "relu"},
            "hidden_act is 'relu' in a RoBERTa decoder; expected 'gelu'",
        ),
    ],
)
def test_invalid_values_of_roberta_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        BertGenerationConfig.from_dict({"model_type": "roberta", **fields})
