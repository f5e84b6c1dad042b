"""A pipeline maps any number of texts to generated texts, in their order."""

import dataclasses

import jax
import numpy as np
import pytest

import bertgen_jax
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.generation.pipeline import TASKS, Pipeline
from bertgen_jax.models.bert_generation import BertGenerationEncoder
from bertgen_jax.models.create import create_model
from bertgen_jax.pretrained import saving
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures.models import pair_config, stack_config

TEXTS = [
    "the river rose after the rain and the old bridge was closed",
    "a bridge",
    "",
    "the minister opened the bridge",
    "rain",
]
STACK = stack_config(vocab_size=50, intermediate_size=16, max_position_embeddings=40)
CONFIG = pair_config(STACK, share_encoder_decoder=True)


@pytest.fixture(scope="module")
def directory(draw_params, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    saving.save_pretrained(
        path,
        create_model(CONFIG),
        draw_params(CONFIG, stddev=0.8),
        train_sentencepiece(TEXTS, STACK.vocab_size),
        GenerationConfig(max_new_tokens=6),
    )
    return path


@pytest.fixture(scope="module")
def pipe(directory):
    return bertgen_jax.pipeline("summarization", model=directory)


def texts_of(results):
    return [result["generated_text"] for result in results]


def test_a_list_of_texts_gives_a_list_of_results_in_its_order(pipe):
    together = pipe(TEXTS)
    assert len({result["generated_text"] for result in together}) > 2
    for text, result in zip(TEXTS, together, strict=True):
        (alone,) = pipe(text)
        assert alone["generated_text"] == result["generated_text"]
        np.testing.assert_allclose(alone["score"], result["score"], rtol=1e-4)
        assert np.isfinite(result["score"])


def test_the_batch_size_changes_nothing(pipe):
    expected = texts_of(pipe(TEXTS))
    for size in (1, 2):
        assert texts_of(pipe(TEXTS, batch_size=size)) == expected


def test_several_sequences_are_those_of_the_generator(pipe):
    settings = {"num_beams": 4, "num_return_sequences": 3}
    ids = np.array([pipe.tokenizers.source.encode(TEXTS[0])])
    expected = jax.device_get(pipe.generator(ids, None, pipe.config(settings)))
    results = pipe(TEXTS[0], **settings)
    assert texts_of(results) == pipe.tokenizers.target.batch_decode(
        expected.sequences[0].tolist(), skip_special_tokens=True
    )
    scores = [result["score"] for result in results]
    np.testing.assert_allclose(scores, expected.scores[0], rtol=1e-5)
    assert len(set(texts_of(results))) == 3


def test_several_sequences_of_each_text_are_lists(pipe):
    alone = pipe(TEXTS[0], num_beams=3, num_return_sequences=2)
    listed = pipe(TEXTS, num_beams=3, num_return_sequences=2)
    assert [len(results) for results in listed] == [2] * len(TEXTS)
    assert texts_of(listed[0]) == texts_of(alone)


def test_an_empty_list_and_an_iterator_of_texts(pipe):
    assert pipe([]) == []
    assert pipe(iter(TEXTS[:2])) == pipe(TEXTS[:2])


def test_settings_of_a_call_replace_the_directorys(pipe):
    assert pipe.config({}).max_new_tokens == 6
    assert pipe.config({"num_beams": 4}).num_beams == 4
    longer = pipe.config({"max_length": 9})
    assert longer.for_prompt(1).max_new_tokens == 8  # not the directory's 6


def test_the_pieces_of_a_stream_are_the_whole_text(pipe):
    for settings in ({}, {"num_beams": 3}, {"num_beams": 4, "num_beam_groups": 2}):
        for text in TEXTS:
            whole = pipe(text, max_new_tokens=30, **settings)[0]["generated_text"]
            pieces = list(pipe.stream(text, max_new_tokens=30, **settings))
            assert "".join(pieces) == whole
    assert max(len(list(pipe.stream(t, max_new_tokens=30))) for t in TEXTS) > 3


def test_a_seed_draws_the_same_in_any_batch(pipe):
    drawn = pipe(TEXTS, do_sample=True, seed=3)
    for size in (1, 2):
        again = pipe(TEXTS, do_sample=True, seed=3, batch_size=size)
        assert texts_of(again) == texts_of(drawn)
    assert texts_of(pipe(TEXTS, do_sample=True, seed=4)) != texts_of(drawn)


def test_long_texts_are_truncated_and_counted(pipe, caplog):
    long = "rain " * 100_000
    results = pipe(["a bridge", long, long])
    assert "2 of 3 texts have more than 40 tokens" in caplog.text
    # The model reads only the first 40 tokens.
    assert results[1]["generated_text"] == results[2]["generated_text"]
    assert texts_of(pipe(["rain " * 60])) == texts_of(results[1:2])


def test_each_yields_results_by_the_index_of_their_text(pipe):
    results = dict(pipe.each(TEXTS, batch_size=2))
    assert sorted(results) == list(range(len(TEXTS)))
    best = [results[index][0] for index in range(len(TEXTS))]
    assert texts_of(best) == texts_of(pipe(TEXTS))


def test_a_progress_bar_is_shown_on_request(pipe, capsys):
    pipe(TEXTS, progress=True)
    assert "generating" in capsys.readouterr().err
    pipe(TEXTS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_beam": 4},
            "num_beam is not a generation setting.*Did you mean 'num_beams'",
        ),
        ({"num_beams": 0}, "num_beams is 0"),
        (
            {"max_new_tokens": 41},
            "the decoder has 40 .* 41 new tokens are asked for; lower max_new_tokens",
        ),
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
        ({"num_return_sequences": 2}, "num_return_sequences is 2 and num_beams is 1"),
        ({"min_new_tokens": 7}, "min_new_tokens is 7 and at most 6"),
        ({"bad_words_ids": ((50,),)}, "bad_words_ids has the id 50; .* below 50"),
        ({"forced_bos_token_id": 99}, "forced_bos_token_id has the id 99"),
    ],
)
def test_invalid_settings(pipe, settings, message):
    with pytest.raises(ConfigError, match=message):
        pipe("a bridge", **settings)


def test_texts_that_are_not_strings(pipe):
    with pytest.raises(ConfigError, match="text 1 is a NoneType"):
        pipe(["a bridge", None])
    with pytest.raises(ConfigError, match="stream takes one text; found a list"):
        list(pipe.stream(["a bridge"]))
    with pytest.raises(ConfigError, match="a stream yields one sequence"):
        list(pipe.stream("a", num_beams=2, num_return_sequences=2))


def test_every_task_makes_a_pipeline(directory):
    for task in TASKS:
        assert isinstance(bertgen_jax.pipeline(task, model=directory), Pipeline)
    with pytest.raises(ConfigError, match="Did you mean 'summarization'"):
        bertgen_jax.pipeline("summarisation", model=directory)


def test_a_directory_of_an_encoder_alone(draw_params, tmp_path):
    saving.save_pretrained(tmp_path, BertGenerationEncoder(STACK), draw_params(STACK))
    with pytest.raises(
        CheckpointError, match="holds a BertGenerationEncoder; expected"
    ):
        bertgen_jax.pipeline("summarization", model=tmp_path)


def test_a_tokenizer_with_more_ids_than_the_model(draw_params, tmp_path):
    config = pair_config(dataclasses.replace(STACK, vocab_size=10))
    saving.save_pretrained(
        tmp_path,
        create_model(config),
        draw_params(config),
        train_sentencepiece(TEXTS, STACK.vocab_size),
    )
    pipe = bertgen_jax.pipeline("summarization", model=tmp_path)
    with pytest.raises(ConfigError, match=r"text 1 has the token .* ids below 10"):
        pipe(["", TEXTS[0]])


def test_sentence_splitting_writes_the_separator_as_wikisplit_does(
    directory, monkeypatch
):
    decoded = "it sank .< : : : : > who cared ?"  # by BERT's tokenizer
    split = bertgen_jax.pipeline("sentence-splitting", model=directory)
    plain = bertgen_jax.pipeline("text2text-generation", model=directory)
    for pipe, expected in (
        (split, "it sank . <::::> who cared ?"),
        (plain, decoded),
    ):
        monkeypatch.setattr(
            type(pipe.tokenizers), "generated_text", lambda self, ids: decoded
        )
        (result,) = pipe("rain")
        assert result["generated_text"] == expected
        assert "".join(pipe.stream("rain")) == expected
