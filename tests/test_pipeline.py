"""A pipeline is a function of texts: any number of them, in their order."""

import dataclasses

import numpy as np
import pytest

import bertgen_jax
from bertgen_jax import generation, pretrained
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import SearchResult
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.models.bert_generation import BertGenerationEncoder
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.pipeline import TASKS, Pipeline
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece

TEXTS = [
    "the river rose after the rain and the old bridge was closed",
    "a bridge",
    "",
    "the minister opened the bridge",
    "rain",
]
STACK = BertGenerationConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=40,
)
CONFIG = EncoderDecoderConfig.from_stacks(
    STACK, STACK, share_encoder_decoder=True, decoder_start_token_id=2
)


@pytest.fixture(scope="module")
def directory(draw_params, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    pretrained.save_pretrained(
        path,
        EncoderDecoder(CONFIG),
        draw_params(CONFIG, stddev=0.8),
        train_sentencepiece(TEXTS, STACK.vocab_size),
        GenerationConfig(max_new_tokens=6),
    )
    return path


@pytest.fixture(scope="module")
def pipe(directory):
    return bertgen_jax.pipeline("summarization", model=directory)


@pytest.fixture
def batches(monkeypatch):
    """The shapes and settings of all batches, which are not searched."""
    seen = []

    def recorded(model, params, ids, mask, config):
        seen.append((ids.shape, config))
        rows = np.zeros((len(ids), 1), np.int32)
        return SearchResult(sequences=rows[..., None], scores=rows, lengths=rows)

    monkeypatch.setattr(generation, "generate", recorded)
    return seen


def test_a_list_in_a_list_out_in_its_order(pipe):
    together = pipe(TEXTS)
    assert len({result["generated_text"] for result in together}) > 2
    for text, result in zip(TEXTS, together, strict=True):
        (alone,) = pipe(text)
        assert alone["generated_text"] == result["generated_text"]
        np.testing.assert_allclose(alone["score"], result["score"], rtol=1e-4)
        assert np.isfinite(result["score"])


def test_batches_change_nothing(pipe):
    wanted = [result["generated_text"] for result in pipe(TEXTS)]
    for size in (1, 2):
        found = [result["generated_text"] for result in pipe(TEXTS, batch_size=size)]
        assert found == wanted


def test_more_beams_are_those_of_the_library(pipe):
    ids = np.array([pipe.tokenizers.source.encode(TEXTS[0])])
    config = dataclasses.replace(pipe.generation_config, num_beams=4)
    found = generation.generate(pipe.model, pipe.params, ids, np.ones_like(ids), config)
    wanted = pipe.tokenizers.target.decode(
        found.sequences[0, 0], skip_special_tokens=True
    )
    (result,) = pipe(TEXTS[0], num_beams=4)
    assert result["generated_text"] == wanted
    np.testing.assert_allclose(result["score"], found.scores[0, 0], rtol=1e-5)
    assert result != pipe(TEXTS[0])[0]


def test_no_text_and_an_iterator_of_texts(pipe):
    assert pipe([]) == []
    assert pipe(iter(TEXTS[:2])) == pipe(TEXTS[:2])


def test_few_shapes_are_compiled(pipe, batches):
    pipe(TEXTS[0])
    pipe(TEXTS[:3])
    pipe(TEXTS * 8)
    pipe("rain " * 100)  # longer than the model has positions: cut
    shapes = [shape for shape, _ in batches]
    assert shapes == [(1, 32), (4, 32), *[(16, 32)] * 3, (1, 40)]


def test_settings_of_a_call_replace_the_directorys(pipe, batches):
    for settings in ({}, {"num_beams": 4}, {"max_length": 3}):
        pipe(TEXTS[0], **settings)
    configs = [config for _, config in batches]
    assert [config.num_beams for config in configs] == [1, 4, 1]
    assert [config.num_new_tokens for config in configs] == [6, 6, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_beam": 4},
            "num_beam is no generation setting.*Did you mean 'num_beams'",
        ),
        ({"num_beams": 0}, "num_beams is 0"),
        ({"max_new_tokens": 41}, "41 new tokens are asked for; the decoder has 40"),
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
    ],
)
def test_settings_that_cannot_be_meant(pipe, settings, message):
    with pytest.raises(ConfigError, match=message):
        pipe("a bridge", **settings)


def test_what_is_no_text(pipe):
    with pytest.raises(TokenizerError, match="None"):
        pipe(["a bridge", None])


def test_every_task_is_the_same_function(directory):
    for task in TASKS:
        assert isinstance(bertgen_jax.pipeline(task, model=directory), Pipeline)
    with pytest.raises(ConfigError, match="Did you mean 'summarization'"):
        bertgen_jax.pipeline("summarisation", model=directory)


def test_a_directory_without_a_pair(draw_params, tmp_path):
    pretrained.save_pretrained(
        tmp_path, BertGenerationEncoder(STACK), draw_params(STACK)
    )
    with pytest.raises(
        CheckpointError, match="holds a BertGenerationEncoder; expected"
    ):
        bertgen_jax.pipeline("summarization", model=tmp_path)


def test_a_tokenizer_with_more_ids_than_the_model(draw_params, tmp_path):
    small = dataclasses.replace(STACK, vocab_size=10)
    config = EncoderDecoderConfig.from_stacks(small, small, decoder_start_token_id=2)
    pretrained.save_pretrained(
        tmp_path,
        EncoderDecoder(config),
        draw_params(config),
        train_sentencepiece(TEXTS, STACK.vocab_size),
    )
    pipe = bertgen_jax.pipeline("summarization", model=tmp_path)
    with pytest.raises(ConfigError, match=r"text 1 has the token .* ids below 10"):
        pipe(["", TEXTS[0]])
