"""A pipeline is a function of texts: any number of them, in their order."""

import dataclasses

import jax
import numpy as np
import pytest

import bertgen_jax
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.generation.pipeline import TASKS, Pipeline
from bertgen_jax.models.bert_generation import BertGenerationEncoder
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.pretrained import saving
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
    saving.save_pretrained(
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


def library(pipe, text, **settings):
    """What `generate` finds for one text."""
    ids = np.array([pipe.tokenizers.source.encode(text)])
    found = pipe.generator(ids, None, pipe.config(settings))
    return jax.device_get(found), pipe.tokenizers.target


def test_more_beams_are_those_of_the_library(pipe):
    found, tokenizer = library(pipe, TEXTS[0], num_beams=4, num_return_sequences=3)
    results = pipe(TEXTS[0], num_beams=4, num_return_sequences=3)
    assert [r["generated_text"] for r in results] == tokenizer.batch_decode(
        found.sequences[0].tolist(), skip_special_tokens=True
    )
    scores = [r["score"] for r in results]
    np.testing.assert_allclose(scores, found.scores[0], rtol=1e-5)
    assert len({r["generated_text"] for r in results}) == 3


def test_several_sequences_of_a_list_are_lists(pipe):
    alone = pipe(TEXTS[0], num_beams=3, num_return_sequences=2)
    listed = pipe(TEXTS, num_beams=3, num_return_sequences=2)
    assert [len(results) for results in listed] == [2] * len(TEXTS)
    assert [r["generated_text"] for r in listed[0]] == [
        r["generated_text"] for r in alone
    ]


def test_no_text_and_an_iterator_of_texts(pipe):
    assert pipe([]) == []
    assert pipe(iter(TEXTS[:2])) == pipe(TEXTS[:2])


def test_settings_of_a_call_replace_the_directorys(pipe):
    assert pipe.config({}).max_new_tokens == 6
    assert pipe.config({"num_beams": 4}).num_beams == 4
    longer = pipe.config({"max_length": 9})
    assert longer.for_prompt(1).max_new_tokens == 8  # the directory's 6 does not rule


def test_a_stream_is_the_text_in_pieces(pipe):
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


def texts_of(results):
    return [result["generated_text"] for result in results]


def test_long_texts_are_cut_and_counted(pipe, caplog):
    long = "rain " * 100_000
    results = pipe(["a bridge", long, long])
    assert "2 of 3 texts have more than 40 tokens" in caplog.text
    # The same as of its beginning, which is all that the model reads.
    assert results[1]["generated_text"] == results[2]["generated_text"]
    assert texts_of(pipe(["rain " * 60])) == texts_of(results[1:2])


def test_results_come_as_they_are_found(pipe):
    found = dict(pipe.each(TEXTS, batch_size=2))
    assert sorted(found) == list(range(len(TEXTS)))
    assert texts_of(found[i][0] for i in range(len(TEXTS))) == texts_of(pipe(TEXTS))


def test_a_bar_shows_how_far_it_is(pipe, capsys):
    pipe(TEXTS, progress=True)
    assert "generating" in capsys.readouterr().err
    pipe(TEXTS)
    assert capsys.readouterr().err == ""


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
        ({"num_return_sequences": 2}, "num_return_sequences is 2 and num_beams is 1"),
        ({"min_new_tokens": 7}, "min_new_tokens is 7 and at most 6"),
        ({"bad_words_ids": ((50,),)}, "bad_words_ids has the id 50; .* below 50"),
        ({"forced_bos_token_id": 99}, "forced_bos_token_id has the id 99"),
    ],
)
def test_settings_that_cannot_be_meant(pipe, settings, message):
    with pytest.raises(ConfigError, match=message):
        pipe("a bridge", **settings)


def test_what_is_no_text(pipe):
    with pytest.raises(ConfigError, match="text 1 is a NoneType"):
        pipe(["a bridge", None])
    with pytest.raises(ConfigError, match="stream is of one text; found a list"):
        list(pipe.stream(["a bridge"]))
    with pytest.raises(ConfigError, match="a stream is of one sequence"):
        list(pipe.stream("a", num_beams=2, num_return_sequences=2))


def test_every_task_is_the_same_function(directory):
    for task in TASKS:
        assert isinstance(bertgen_jax.pipeline(task, model=directory), Pipeline)
    with pytest.raises(ConfigError, match="Did you mean 'summarization'"):
        bertgen_jax.pipeline("summarisation", model=directory)


def test_a_directory_without_a_pair(draw_params, tmp_path):
    saving.save_pretrained(tmp_path, BertGenerationEncoder(STACK), draw_params(STACK))
    with pytest.raises(
        CheckpointError, match="holds a BertGenerationEncoder; expected"
    ):
        bertgen_jax.pipeline("summarization", model=tmp_path)


def test_a_tokenizer_with_more_ids_than_the_model(draw_params, tmp_path):
    small = dataclasses.replace(STACK, vocab_size=10)
    config = EncoderDecoderConfig.from_stacks(small, small, decoder_start_token_id=2)
    saving.save_pretrained(
        tmp_path,
        EncoderDecoder(config),
        draw_params(config),
        train_sentencepiece(TEXTS, STACK.vocab_size),
    )
    pipe = bertgen_jax.pipeline("summarization", model=tmp_path)
    with pytest.raises(ConfigError, match=r"text 1 has the token .* ids below 10"):
        pipe(["", TEXTS[0]])


def test_the_separator_of_sentences_is_spelled_as_wikisplit_spells_it(
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
