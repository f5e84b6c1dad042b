"""Tests of `bertgen_jax.warm_start`, which makes a model in one call."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bertgen_jax as bg
from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import warm_start
from tests.fixtures import checkpoints, vocabularies
from tests.fixtures.checkpoints import WORDS

WORD_TABLE = "decoder/bert/embeddings/word_embeddings/embedding"


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Directories of checkpoints with vocabularies, by kind."""
    root = tmp_path_factory.mktemp("checkpoints")
    for kind in ("bert", "roberta", "gpt2"):
        directory, _ = checkpoints.write(kind, root / kind)
        if kind == "bert":
            vocabularies.write_word_pieces(directory)
        else:
            vocabularies.write_byte_level(directory, kind)
    return {kind: root / kind for kind in ("bert", "roberta", "gpt2")}


@pytest.fixture
def drawn(monkeypatch, draw_params):
    """Draws random params without compiling `model.init`."""

    def draw(model, seed):
        return draw_params(model.config, seed)

    monkeypatch.setattr(warm_start, "random_params", draw)


def changed(first, second):
    assert first.keys() == second.keys()
    return {n for n in first if not np.array_equal(first[n], second[n])}


def test_the_seed_only_affects_random_parameters(directories):
    first, same, other = (
        trees.named(
            bg.warm_start("bertshare", encoder=directories["bert"], seed=seed)[1]
        )
        for seed in (0, 0, 1)
    )
    assert not changed(first, same)
    cross = {name for name in first if "/crossattention/" in name}
    # Biases are zeros, and LayerNorms ones, whatever the seed.
    assert changed(first, other) == {n for n in cross if n.endswith("kernel")}


def test_params_are_f32_device_arrays_for_any_dtype(directories, drawn):
    model, params = bg.warm_start(
        "bertshare", encoder=directories["bert"], dtype=jnp.bfloat16
    )
    assert model.dtype == jnp.bfloat16
    for leaf in jax.tree.leaves(params):
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == jnp.float32


def test_params_do_not_depend_on_the_file(tmp_path, drawn):
    directory, _ = checkpoints.write("bert", tmp_path / "bert")
    vocabularies.write_word_pieces(directory)
    _, params = bg.warm_start("bert2bert", encoder=directory)
    before = jax.tree.map(np.array, params)
    with (directory / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * (directory / "model.safetensors").stat().st_size)
    jax.tree.map(np.testing.assert_array_equal, before, params)


@pytest.mark.parametrize(
    ("recipe", "encoder", "decoder"),
    [
        ("gpt", None, "gpt2"),
        ("rnd2gpt", None, "gpt2"),
        ("roberta2gpt", "roberta", "gpt2"),
    ],
)
def test_models_of_every_architecture_compute(
    directories, drawn, recipe, encoder, decoder
):
    model, params = bg.warm_start(
        recipe, encoder=directories.get(encoder), decoder=directories.get(decoder)
    )
    kind = bg.PrefixLanguageModel if recipe == "gpt" else bg.EncoderDecoder
    assert isinstance(model, kind)
    ids = jnp.array([[5, 6, 7], [8, 9, 9]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    logits = model.apply({"params": params}, ids, mask, ids[:, :2]).logits
    assert logits.shape == (2, 2, WORDS)
    assert np.isfinite(logits).all()


def test_settings_override_the_checkpoints(directories, drawn):
    model, params = bg.warm_start(
        "bert2bert",
        encoder=directories["bert"],
        hidden_dropout_prob=0.3,
        max_position_embeddings=6,
        vocab_size=64,
        layer_norm_eps=1e-6,
    )
    for stack in (model.config.encoder, model.config.decoder):
        assert stack.hidden_dropout_prob == 0.3
        assert stack.max_position_embeddings == 6
        assert stack.layer_norm_eps == 1e-6
    assert trees.named(params)[WORD_TABLE].shape[0] == 64
    assert model.config.encoder.hidden_act == "gelu"  # the checkpoint's


def test_special_ids_come_from_the_tokenizer(directories, drawn):
    model, _ = bg.warm_start("bertshare", encoder=directories["bert"])
    config = model.config
    assert (config.start_token_id, config.eos_token_id, config.pad_token_id) == (
        2,
        3,
        0,
    )


def test_the_output_bias_adds_its_parameter(directories, drawn):
    model, params = bg.warm_start(
        "bertshare", encoder=directories["bert"], mlm_bias=True
    )
    assert model.config.decoder.lm_head_bias
    bias = checkpoints.bert()["cls.predictions.bias"]
    np.testing.assert_array_equal(params["decoder"]["lm_head"]["bias"], bias)


def test_the_report_is_written_to_a_file_and_summarised_in_the_log(
    directories, drawn, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    _, params = bg.warm_start(
        "bert2bert",
        encoder=directories["bert"],
        parts="layers",
        layers=[2, 1],
        report_file=tmp_path / "report.json",
    )
    values = json.loads((tmp_path / "report.json").read_text())
    file = directories["bert"] / "model.safetensors"
    assert values["sources"]["encoder"] == f"{file}: Hugging Face bert model"
    own = {row["parameter"] for row in values["parameters"] if row["action"] == "warm"}
    assert own == {
        name
        for name in trees.named(params)
        if "/layer_" in name and "/crossattention/" not in name
    }
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert values["trainable_parameters"] == total
    assert f"of {total:,} trainable parameters" in caplog.text
    assert "left out on purpose (init.parts=layers) (5)" in caplog.text


def test_a_random_start_has_a_report_too(directories, drawn, tmp_path):
    tokenizer = bg.AutoTokenizer.from_pretrained(directories["bert"])
    file = tmp_path / "report.json"
    model, _ = bg.warm_start(
        "rnd2rnd",
        tokenizer=TokenizerPair.of(tokenizer),
        size="tiny",
        report_file=file,
    )
    values = json.loads(file.read_text())
    assert values["warm_parameters"] == 0
    assert {row["action"] for row in values["parameters"]} == {
        "random",
        "shared",
        "tied",
    }
    assert model.config.encoder.vocab_size == WORDS
    assert model.config.encoder.max_position_embeddings == 512
    with pytest.raises(CheckpointError, match="report cannot be written"):
        bg.warm_start(
            "rnd2rnd",
            tokenizer=tokenizer,
            size="tiny",
            report_file=file / "report.json",
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "bert2brt"}, "init.recipe is 'bert2brt'; .* mean 'bert2bert'"),
        ({"size": "huge"}, "size is 'huge'; expected one of .*base, large"),
        (
            {"parts": "layer"},
            r"init\.parts is 'layer'; expected one of .* mean 'layers'",
        ),
        ({"layers": "1,2"}, "layers is '1,2'; expected numbers"),
        ({"layers": 2}, "layers is 2; expected numbers of layers"),
        ({"layers": [True]}, r"init\.layers is \(True,\); expected numbers"),
        ({"layers": [3]}, r"asks for layer 3; .* has 2\."),
        ({"hiden_act": "relu"}, "hiden_act is not a setting .* mean 'hidden_act'"),
        ({"is_decoder": True}, "is_decoder is not a setting of a warm start"),
        (
            {"tie_word_embeddings": False},
            "tie_word_embeddings is not a setting of",
        ),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; expected one of gelu, "),
        (
            {"vocab_size": 10},
            "vocab_size is 10; expected at least 30, the number of pieces",
        ),
        ({"hidden_size": 16}, r"\] in the model, and .* expected a model of the check"),
        (
            {"num_hidden_layers": 1},
            "the params lack .*layer_1/.* or init.layers to sel",
        ),
        ({"encoder": None}, "^encoder is empty, but the encoder of the recipe"),
        (
            {"encoder": "", "recipe": "rnd2rnd"},
            "a recipe without checkpoints has no voc",
        ),
        (
            {"decoder": "here", "recipe": "bert2rnd"},
            "^decoder is 'here', but the de",
        ),
    ],
)
def test_invalid_arguments_are_errors(directories, drawn, options, message):
    options = {"recipe": "bertshare", "encoder": directories["bert"]} | options
    with pytest.raises((ConfigError, CheckpointError), match=message):
        bg.warm_start(options.pop("recipe"), **options)
