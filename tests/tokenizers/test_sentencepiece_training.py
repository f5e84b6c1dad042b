"""Tests of the training of SentencePiece vocabularies."""

import logging
import re

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers import sentencepiece_training
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece

CORPUS = [
    f"{who} {what} the {which} {where}."
    for who in ("Ann", "Bob", "Eve")
    for what in ("sees", "likes", "paints")
    for which in ("old", "new")
    for where in ("harbour", "station", "library")
]


@pytest.mark.parametrize("model_type", sentencepiece_training.MODEL_TYPES)
def test_the_same_corpus_gives_the_same_bytes(model_type, tmp_path):
    first, second = (
        train_sentencepiece(iter(CORPUS), 60, model_type=model_type) for _ in range(2)
    )
    for name, tokenizer in (("first", first), ("second", second)):
        tokenizer.save_pretrained(tmp_path / name)
    assert (tmp_path / "first/spiece.model").read_bytes() == (
        tmp_path / "second/spiece.model"
    ).read_bytes()
    assert first.fingerprint == second.fingerprint


def test_ids_begin_as_in_the_published_vocabulary():
    tokenizer = train_sentencepiece(
        CORPUS, 60, user_defined_symbols=("<::::>", "<a,b>")
    )
    expected = ["<pad>", "</s>", "<s>", "<unk>", "<::::>", "<a,b>"]
    assert tokenizer.convert_ids_to_tokens(range(6)) == expected
    assert tokenizer.encode("Ann<a,b>").count(5) == 1


def test_words_of_the_corpus_become_pieces():
    tokenizer = train_sentencepiece(CORPUS, 200)
    assert len(tokenizer.encode("Ann sees the old harbour.")) == 6


def test_a_small_corpus_gives_fewer_pieces_and_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        tokenizer = train_sentencepiece(CORPUS, 5000)
    assert tokenizer.vocab_size < 5000
    (record,) = caplog.records
    assert record.getMessage() == (
        f"vocabulary of {tokenizer.vocab_size} ids, not 5000: "
        "the 54 texts have no more pieces"
    )


def test_a_vocabulary_that_fits_gives_no_warning(caplog):
    assert train_sentencepiece(CORPUS, 60).vocab_size == 60
    assert not caplog.records


def test_the_error_for_a_small_vocabulary_has_the_required_size():
    with pytest.raises(errors.TokenizerError, match="vocab_size is 10, ") as caught:
        train_sentencepiece(CORPUS, 10)
    needed = int(re.search(r" need (\d+) ids", str(caught.value))[1])
    assert train_sentencepiece(CORPUS, needed).vocab_size == needed
    with pytest.raises(errors.TokenizerError, match=f"need {needed} ids"):
        train_sentencepiece(CORPUS, needed - 1)


def test_rare_characters_may_become_unk():
    corpus = [*CORPUS, "ŵ"]
    whole = train_sentencepiece(corpus, 80)
    partial = train_sentencepiece(corpus, 80, character_coverage=0.99)
    assert 3 not in whole.encode("ŵ")
    assert 3 in partial.encode("ŵ")


@pytest.mark.parametrize("texts", [[], ["", " \n "]])
def test_a_corpus_without_text_is_an_error(texts):
    with pytest.raises(errors.TokenizerError, match=f"The {len(texts)} texts"):
        train_sentencepiece(texts, 60)


def test_unknown_names_are_errors():
    with pytest.raises(errors.ConfigError, match="Did you mean 'unigram'"):
        train_sentencepiece(CORPUS, 60, model_type="unigrm")
    with pytest.raises(errors.ConfigError, match=r"Did you mean 'dashes'\?"):
        train_sentencepiece(CORPUS, 60, normalization=("dash",))


def test_a_size_of_zero_is_an_error():
    with pytest.raises(errors.TokenizerError, match="cannot learn 0 pieces"):
        train_sentencepiece(CORPUS, 0)


def test_normalization_applies_to_training_and_encoding():
    corpus = [f"“{text}”\n" for text in CORPUS]
    tokenizer = train_sentencepiece(corpus, 80, normalization=("quotes", "newlines"))
    assert not any(mark in piece for mark in "“”\n" for piece in tokenizer.get_vocab())
    assert 3 not in tokenizer.encode("“Ann” sees\nBob")


def test_without_normalization_no_character_is_rewritten():
    corpus = [f"“{text}” ﬁ ½" for text in CORPUS]
    tokenizer = train_sentencepiece(corpus, 80)
    text = "“Ann sees ﬁ ½”"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_long_texts_are_not_skipped():
    long = " ".join(CORPUS * 10)  # the library skips texts over 4192 bytes by default
    assert len(long) > 10_000
    assert train_sentencepiece([long], 60).encode("harbour")


def test_texts_may_contain_halves_of_surrogate_pairs():
    assert train_sentencepiece([*CORPUS, "\ud800"], 60).vocab_size == 60


def test_a_sample_is_reproducible_and_covers_the_corpus():
    texts = [str(n) for n in range(1000)]
    first = sentencepiece_training._sample(iter(texts), 100, seed=1)
    assert first == sentencepiece_training._sample(iter(texts), 100, seed=1)
    assert first != sentencepiece_training._sample(iter(texts), 100, seed=2)
    assert len(set(first)) == 100
    assert 300 < sum(map(int, first)) / 100 < 700
    assert sentencepiece_training._sample(iter(texts), None, seed=1) == texts
    assert sentencepiece_training._sample(iter(texts), 1000, seed=1) == texts


def test_training_uses_only_the_sample():
    corpus = [*CORPUS, *(f"q{n}" for n in range(5))]
    seen = sentencepiece_training._sample(corpus, 3, seed=0)
    tokenizer = train_sentencepiece(corpus, 200, max_texts=3, seed=0)
    assert tokenizer.fingerprint == train_sentencepiece(seen, 200).fingerprint


def test_training_writes_nothing_to_the_console(capfd):
    train_sentencepiece(CORPUS, 60)
    train_sentencepiece(CORPUS, 60, model_type="unigram")
    with pytest.raises(errors.TokenizerError):
        train_sentencepiece(CORPUS, 10)
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_corpus_keeps_its_traceback():
    def texts():
        yield "one"
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        train_sentencepiece(texts(), 60)
