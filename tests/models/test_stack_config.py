"""The config of one stack refuses invalid values and files of other models."""

import json

import pytest

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.stack_config import BertGenerationConfig
from tests.fixtures.models import pair_config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; expected a positive integer"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers is 2.0"),
        ({"vocab_size": "9"}, "vocab_size is '9'"),
        ({"hidden_size": 10}, "which 16 attention heads do not divide"),
        ({"hidden_dropout_prob": 1.0}, r"probability in \[0, 1\)"),
        ({"attention_probs_dropout_prob": "0.1"}, "attention_probs_dropout_prob is"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps is 0.0; expected a positive number"),
        ({"initializer_range": -1}, "initializer_range is -1"),
        ({"hidden_act": "gelu_nwe"}, "Did you mean 'gelu_new'"),
        ({"add_cross_attention": True}, "expected is_decoder=True as well"),
    ],
)
def test_an_invalid_stack_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        BertGenerationConfig(**fields)


def test_relative_positions_of_version_4_are_refused():
    with pytest.raises(ConfigError, match="position_embedding_type is 'relative_key'"):
        BertGenerationConfig.from_dict({"position_embedding_type": "relative_key"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"config\.json: No such file"),
        ("{", r"config\.json: not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "model_type is None; expected 'bert-generation' or 'bert' or 'roberta'"),
        ('{"model_type": "t5"}', "model_type is 't5'"),
        (
            '{"model_type": "bert-generation", "hidden_size": 7}',
            r"config\.json: hidden_size is 7",
        ),
        ('{"model_type": ["gpt2"]}', r"model_type is \['gpt2'\]; expected"),
        (
            json.dumps(pair_config().to_dict()),
            "model_type is 'encoder-decoder'; expected",
        ),
    ],
)
def test_a_file_that_is_not_a_stack(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        BertGenerationConfig.from_pretrained(tmp_path)
