"""Models are exported to CTranslate2 or refused; its library is not needed here."""

import dataclasses
import json
import pathlib
import sys
import types

import numpy as np
import pytest

from bertgen_jax import checkpoints, trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.pretrained import parameter_maps
from bertgen_jax.pretrained.ctranslate2 import export, parameter_map
from tests.fixtures.models import stack_config

STACK = stack_config(vocab_size=11, num_hidden_layers=2)
GPT2 = dataclasses.replace(
    STACK, layer_norm_eps=1e-5, lm_head_bias=False, pre_layer_norm=True
)
DECODER = dataclasses.replace(STACK, is_decoder=True)
VOCABULARY = {f"piece{i}": i for i in range(9)}


def pair(encoder=STACK, decoder=STACK, **fields):
    fields = {"decoder_start_token_id": 2} | fields
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


CONFIGS = {
    "decoder": DECODER,
    "GPT-2": dataclasses.replace(GPT2, is_decoder=True),
    "pair": pair(),
    "shared": pair(share_encoder_decoder=True),
    "one table": pair(share_embeddings=True),
    "untied": pair(decoder=dataclasses.replace(STACK, tie_word_embeddings=False)),
    "without bias": pair(decoder=dataclasses.replace(STACK, lm_head_bias=False)),
    "unequal": pair(dataclasses.replace(STACK, hidden_size=12)),
    "BERT and GPT-2": pair(decoder=GPT2),
    "BERT and GPT-2, one table": pair(decoder=GPT2, share_embeddings=True),
}


class Spec:
    """A specification that writes what it was given."""

    def __init__(self, config, params, source, target):
        self.vocabularies = (source, target)
        self.config = types.SimpleNamespace()

    def optimize(self, quantization):
        self.quantization = quantization

    def save(self, directory):
        values = vars(self.config) | {"vocabularies": self.vocabularies}
        pathlib.Path(directory, "config.json").write_text(json.dumps(values))


@pytest.fixture
def library(monkeypatch):
    """In place of CTranslate2's."""
    fake = types.SimpleNamespace(build=Spec, QUANTIZATIONS=("int8",))
    name = "bertgen_jax.pretrained.ctranslate2.spec"
    monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr(checkpoints, "ctranslate2_spec", fake, raising=False)
    return fake


def save(directory, config, params, vocabulary=VOCABULARY, **options):
    options = {"unk_token_id": 3} | options
    export.save(directory, config, params, vocabulary, **options)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_map_has_every_parameter(config):
    shapes = parameter_map.parameter_shapes(config)
    assert shapes == {
        w.path: w.shape for w in parameter_maps.weights_of(config) if w.path
    }


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_each_variable_has_all_its_parts(config, draw_params):
    params = draw_params(config)
    if isinstance(config, EncoderDecoderConfig):
        weights = parameter_map.encoder_decoder(config)
        params = parameter_map.without_bridge(config, params)
    else:
        weights = parameter_map.decoder(config)
    params = trees.named(params)
    assert {weight.path for weight in weights} == params.keys()
    for name, parts in parameter_maps.by_name(weights).items():
        assert [part.part for part in parts] == [
            (i, len(parts)) for i in range(len(parts))
        ]
        tensor = parameter_maps.to_foreign(parts, [params[part.path] for part in parts])
        assert tensor.shape == parts[0].foreign_shape, name


def test_the_projection_is_folded_into_keys_and_values(draw_params):
    config = CONFIGS["unequal"]
    params = draw_params(config)
    flat = trees.named(params)
    before = {path: leaf.copy() for path, leaf in flat.items()}
    actual = trees.named(parameter_map.without_bridge(config, params))
    for path, leaf in before.items():  # what was given stays
        np.testing.assert_array_equal(flat[path], leaf)
    states = np.random.default_rng(0).normal(size=(4, config.encoder.hidden_size))
    bridged = states @ flat["enc_to_dec_proj/kernel"] + flat["enc_to_dec_proj/bias"]
    for layer in range(2):
        for kind in ("key", "value"):
            path = f"decoder/bert/layer_{layer}/crossattention/{kind}"
            wanted, got = (
                np.tensordot(x, where[f"{path}/kernel"], 1) + where[f"{path}/bias"]
                for x, where in ((bridged, flat), (states, actual))
            )
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_equal_widths_need_no_projection(draw_params):
    params = draw_params(CONFIGS["pair"])
    assert parameter_map.without_bridge(CONFIGS["pair"], params) is params


def test_pieces_are_in_the_order_of_their_ids(library, draw_params, tmp_path):
    config = pair(decoder=dataclasses.replace(STACK, vocab_size=13))
    target = {"▁b": 4, "<s>": 2, "</s>": 1, "<pad>": 0, "<unk>": 3, "▁a": 12}
    save(
        tmp_path / "model",
        config,
        draw_params(config),
        dict(reversed(VOCABULARY.items())),
        target_vocabulary=target,
    )
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    source = [*VOCABULARY, "<row 9>", "<row 10>"]
    names = [
        "<pad>",
        "</s>",
        "<s>",
        "<unk>",
        "▁b",
        *(f"<row {i}>" for i in range(5, 12)),
    ]
    assert values == {
        "vocabularies": [source, [*names, "▁a"]],
        "unk_token": "piece3",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "decoder_start_token": "<s>",
    }


def test_a_prefix_language_model_becomes_a_decoder(library, draw_params, tmp_path):
    config = PrefixLanguageModelConfig(DECODER, 2)
    save(tmp_path / "model", config, draw_params(config), unk_token_id=0)
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert values["unk_token"] == "piece0"
    assert "decoder_start_token" not in values


def test_a_missing_library_is_reported(draw_params, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    name = "bertgen_jax.pretrained.ctranslate2.spec"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(checkpoints, "ctranslate2_spec", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'bertgen_jax\[ctranslate2\]'"):
        save(tmp_path / "model", CONFIGS["pair"], draw_params(CONFIGS["pair"]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (STACK, {}, "the model is an encoder; expected an encoder-decoder, or"),
        (
            dataclasses.replace(DECODER, add_cross_attention=True),
            {},
            "the model is a decoder with cross-attention; expected",
        ),
        (
            pair(dataclasses.replace(STACK, layer_norm_eps=1e-5)),
            {},
            "layer_norm_eps is 1e-05 in the encoder and 1e-12 in the decoder",
        ),
        (
            CONFIGS["BERT and GPT-2"],
            {"quantization": "int8_float16"},
            r"too small for float16.* such as 'int8' or 'bfloat16'",
        ),
        (pair(decoder_start_token_id=None), {}, "decoder_start_token_id is not set"),
        (pair(eos_token_id=(1, 4)), {}, r"eos_token_id is \(1, 4\); expected one id"),
        (pair(eos_token_id=11), {}, "eos_token_id is 11; expected one id, below 11"),
        (
            dataclasses.replace(DECODER, bos_token_id=None),
            {},
            "bos_token_id is None; expected one id",
        ),
        (pair(), {"unk_token_id": -1}, "unk_token_id is -1; expected one id"),
        (
            pair(),
            {"vocabulary": {"a": 0, "b": 11}},
            "has 'b' as id 11, but the word table has 11 rows",
        ),
        (
            pair(),
            {"vocabulary": {"a": 0, "b": 0}},
            "has both 'a' and 'b' as id 0; expected one piece",
        ),
        (
            pair(),
            {"target_vocabulary": {"t": 100}},
            "has 't' as id 100, but the word table has 11 rows",
        ),
        (DECODER, {"target_vocabulary": {}}, "set for a decoder alone"),
        (pair(), {"quantization": "int4"}, r"is 'int4'; .* Did you mean 'int8'\?"),
    ],
)
def test_models_that_ctranslate2_cannot_express_are_refused(
    config, options, message, library, draw_params, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        save(tmp_path / "model", config, draw_params(config), **options)
    assert not list(tmp_path.iterdir())


def test_without_a_bos_piece_the_start_is_used(library, draw_params, tmp_path):
    config = dataclasses.replace(pair(decoder_start_token_id=5), bos_token_id=None)
    assert config.bos_token_id == STACK.bos_token_id  # the decoder's, if it has one
    stack = dataclasses.replace(STACK, bos_token_id=None)
    save(tmp_path / "model", pair(stack, stack), draw_params(config))
    values = json.loads((tmp_path / "model" / "config.json").read_text())
    assert values["bos_token"] == "piece2"


def test_params_of_another_model_are_refused(library, draw_params, tmp_path):
    params = draw_params(CONFIGS["unequal"])
    with pytest.raises(ConfigError, match=r"\+ enc_to_dec_proj/bias float32\[16\]"):
        save(tmp_path / "model", CONFIGS["pair"], params)


def test_a_full_disk_is_an_error(library, draw_params, tmp_path, monkeypatch):
    def save_half(self, directory):
        pathlib.Path(directory, "model.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spec, "save", save_half)
    with pytest.raises(CheckpointError, match=r"written there \(No space left"):
        save(tmp_path / "model", CONFIGS["pair"], draw_params(CONFIGS["pair"]))
