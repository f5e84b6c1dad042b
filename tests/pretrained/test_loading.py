"""Saved models are loaded as they were, here and by Hugging Face."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError
from bertgen_jax.generation import generator
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.pretrained import loading, saving
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures.models import pair_config, stack_config

SENTENCES = (
    "The minister opened the new bridge on Monday.",
    "A bridge across the river was opened by the minister, who spoke briefly.",
    "The river rose after the rain; the old bridge was closed.",
)
STACK = stack_config(vocab_size=60, num_hidden_layers=2, max_position_embeddings=40)
PAIR = pair_config(STACK)


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece(SENTENCES, STACK.vocab_size)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (STACK, BertGenerationEncoder),
        (dataclasses.replace(STACK, is_decoder=True), BertGenerationDecoder),
        (PAIR, EncoderDecoder),
    ],
)
def test_a_saved_module_is_loaded_as_such(config, kind, draw_params, tmp_path):
    params = draw_params(config)
    saving.save_pretrained(tmp_path, kind(config), params)
    model, loaded = loading.from_pretrained(tmp_path, dtype=jnp.bfloat16)
    assert model == kind(config, dtype=jnp.bfloat16)
    for path, leaf in trees.named(loaded).items():
        assert isinstance(leaf, jax.Array)
        np.testing.assert_array_equal(leaf, trees.named(params)[path])


@pytest.mark.parametrize("pre_layer_norm", [True, False])
def test_a_saved_prefix_language_model_is_loaded(pre_layer_norm, draw_params, tmp_path):
    """It is a decoder with a start token, of GPT-2's kind or of BERT's."""
    stack = dataclasses.replace(
        STACK, is_decoder=True, pre_layer_norm=pre_layer_norm, lm_head_bias=False
    )
    config = PrefixLanguageModelConfig(stack, decoder_start_token_id=2)
    params = draw_params(config)
    saving.save_pretrained(tmp_path, PrefixLanguageModel(config), params)
    model, loaded = loading.from_pretrained(tmp_path)
    assert model == PrefixLanguageModel(config)
    for path, leaf in trees.named(loaded).items():
        np.testing.assert_array_equal(leaf, trees.named(params)[path])
    alone, trunk = loading.from_pretrained(tmp_path, architecture="encoder")
    assert isinstance(alone, BertGenerationEncoder)
    np.testing.assert_array_equal(
        trunk["layer_1"]["output"]["kernel"],
        params["decoder"]["bert"]["layer_1"]["output"]["kernel"],
    )


def test_params_outlive_the_file(draw_params, tmp_path):
    params = draw_params(STACK)
    saving.save_pretrained(tmp_path, BertGenerationEncoder(STACK), params)
    _, loaded = loading.from_pretrained(tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * (tmp_path / "model.safetensors").stat().st_size)
    for path, leaf in trees.named(loaded).items():
        np.testing.assert_array_equal(leaf, trees.named(params)[path])


def test_a_saved_directory_is_complete(tokenizer, draw_params, tmp_path):
    settings = GenerationConfig(num_beams=3, max_new_tokens=7, early_stopping="never")
    saving.save_pretrained(
        tmp_path, EncoderDecoder(PAIR), draw_params(PAIR), tokenizer, settings
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "generation_config.json",
        "spiece.model",
        "tokenizer_config.json",
    }
    assert loading.generation_config(tmp_path) == settings
    again = BertGenerationTokenizer.from_pretrained(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint


def test_search_settings_of_older_directories_are_in_config_json(tmp_path):
    values = {
        "model_type": "encoder-decoder",
        "bos_token_id": 2,
        "decoder_start_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "max_length": 64,
        "num_beams": 4,
        "length_penalty": None,
        "encoder": {"max_length": 20, "num_beams": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    wanted = GenerationConfig(
        max_length=64,
        num_beams=4,
        decoder_start_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    assert loading.generation_config(tmp_path) == wanted
    (tmp_path / "generation_config.json").write_text('{"num_beams": 2}')
    assert loading.generation_config(tmp_path) == GenerationConfig(num_beams=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"num_beams": 0}', r"generation_config\.json: num_beams is 0"),
        ("{", r"generation_config\.json: not JSON"),
        (None, r"config\.json: No such file"),
    ],
)
def test_errors_in_search_settings_name_the_file(tmp_path, text, message):
    if text is not None:
        (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        loading.generation_config(tmp_path)


# --- Hugging Face ----------------------------------------------------------------

PAIRS = {
    "untied": dataclasses.replace(
        PAIR, decoder=dataclasses.replace(PAIR.decoder, tie_word_embeddings=False)
    ),
    "shared": dataclasses.replace(PAIR, share_encoder_decoder=True),
    "one table, no bias": dataclasses.replace(
        PAIR,
        decoder=dataclasses.replace(PAIR.decoder, lm_head_bias=False),
        share_embeddings=True,
    ),
}
GREEDY = {"num_beams": 1}
EARLY = {"num_beams": 4, "length_penalty": 0.6, "early_stopping": True}
LONG = {"num_beams": 3, "length_penalty": 2.0, "num_return_sequences": 2}
EXACT = {"num_beams": 4, "length_penalty": 0.0, "early_stopping": "never"}


def through_eos(ids):
    """Cuts ids after EOS, where Hugging Face depends on whether the pad id is 0."""
    ids = ids.tolist()
    return ids[: ids.index(1) + 1] if 1 in ids else ids


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("untied", GREEDY),
        ("untied", LONG),
        ("untied", EXACT),
        ("shared", GREEDY),
        ("shared", EARLY),
        ("one table, no bias", LONG),
    ],
)
def test_hugging_face_loads_the_directory_and_generates_the_same_text(
    name, search, tokenizer, draw_params, tmp_path
):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = PAIRS[name]
    model = EncoderDecoder(config)
    settings = GenerationConfig(
        max_new_tokens=12,
        decoder_start_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
        **search,
    )
    texts = [*SENTENCES, "The bridge", "rain rain rain", "a"]
    written = set()
    for seed in range(3):
        params = draw_params(config, seed, stddev=0.8)
        if config.decoder.lm_head_bias:
            params["decoder"]["lm_head"]["bias"][1] += 4 * seed  # more sentences end
        saving.save_pretrained(tmp_path, model, params, tokenizer, settings)

        reference, report = transformers.EncoderDecoderModel.from_pretrained(
            tmp_path, output_loading_info=True
        )
        assert not any(report.values()), report
        reference_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
        batch = reference_tokenizer(texts, padding=True, return_tensors="pt")
        for key, rows in tokenizer(texts, padding=True).items():
            np.testing.assert_array_equal(rows, batch[key])
        # How to search is for generation_config.json to say.
        theirs = reference.eval().generate(
            **batch, return_dict_in_generate=True, output_scores=True
        )
        wanted = [through_eos(ids) for ids in theirs.sequences[:, 1:]]

        ids, mask = batch["input_ids"].numpy(), batch["attention_mask"].numpy()
        ours = jax.device_get(generator.generate(model, params, ids, mask, settings))
        rows = zip(
            ours.sequences.reshape(-1, 12), ours.lengths.reshape(-1), strict=True
        )
        actual = [ids[:length].tolist() for ids, length in rows]
        assert actual == wanted
        if settings.num_beams > 1:
            np.testing.assert_allclose(
                ours.scores.reshape(-1), theirs.sequences_scores, rtol=1e-4, atol=1e-4
            )
        ours, theirs = (
            one.batch_decode(actual, skip_special_tokens=True)
            for one in (tokenizer, reference_tokenizer)
        )
        assert ours == theirs
        written.update(map(tuple, actual))
    assert len(written) > 6  # or the test says little
