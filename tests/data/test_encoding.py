"""Tokenized corpora: special ids, lengths and what is reported."""

import dataclasses
import types

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.data import encoding
from bertgen_jax.data.columns import Example

PAD, BOS, EOS, UNK = 0, 2, 1, 3


class Corpus:
    """Examples in memory."""

    def __init__(self, pairs):
        self._pairs = list(pairs)
        self.fingerprint = str(hash(tuple(self._pairs)))

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        source, *references = self._pairs[index]
        return Example(str(index), source, tuple(references))


class Letters:
    """A tokenizer with one piece a letter, from id 4, that counts its calls."""

    def __init__(self, vocab_size=100):
        self.vocab_size = vocab_size
        self.fingerprint = f"letters {vocab_size}"
        self.source_prefix = self.source_suffix = ()
        self.special_ids = types.SimpleNamespace(pad=PAD, bos=BOS, eos=EOS, unk=UNK)
        self.calls = 0

    def encode_batch(self, texts):
        self.calls += 1
        return [
            [ord(c) - ord("a") + 4 if c.isalpha() else UNK for c in text]
            for text in texts
        ]


CORPUS = Corpus([("abcdef", "ab", "other"), ("a?", "abc"), ("b", "")])
SPEC = encoding.EncodingSpec(max_source_tokens=4, max_target_tokens=3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path))


def sequences(encoded):
    return [
        (encoded.source(i).tolist(), encoded.target(i).tolist())
        for i in range(len(encoded))
    ]


def test_sources_are_cut_and_targets_are_cut_after_their_end_symbol():
    encoded = encoding.encode(CORPUS, Letters(), SPEC)
    assert sequences(encoded) == [
        ([4, 5, 6, 7], [4, 5, EOS]),
        ([4, UNK], [4, 5, 6]),  # too long with its end symbol, which is lost
        ([5], [EOS]),
    ]
    assert encoded.source(0).dtype == encoded.target(0).dtype == np.int32
    np.testing.assert_array_equal(encoded.source_lengths, [4, 2, 1])
    np.testing.assert_array_equal(encoded.target_lengths, [3, 3, 1])
    assert encoded.source_lengths.dtype == encoded.target_lengths.dtype == np.int32


def test_special_ids_around_a_source_survive_the_cut():
    tokenizer = Letters()
    tokenizer.source_prefix, tokenizer.source_suffix = (2,), (1,)
    encoded = encoding.encode(CORPUS, tokenizer, SPEC)
    sources = [source for source, _ in sequences(encoded)]
    assert sources == [[2, 4, 5, 1], [2, 4, UNK, 1], [2, 5, 1]]
    assert encoded.report.longest_source == 8
    assert encoded.report.source_truncated == 1


def test_targets_may_have_their_own_tokenizer():
    target = Letters()
    target.fingerprint = "capitals"
    target.encode_batch = lambda texts: [[50 + len(text)] for text in texts]
    target.special_ids = types.SimpleNamespace(eos=60, unk=61)
    encoded = encoding.encode(CORPUS, Letters(), SPEC, target=target)
    plain = encoding.encode(CORPUS, Letters(), SPEC)
    assert [source for source, _ in sequences(encoded)] == [
        source for source, _ in sequences(plain)
    ]
    assert [ids for _, ids in sequences(encoded)] == [[52, 60], [53, 60], [50, 60]]
    assert encoded.fingerprint != plain.fingerprint


def test_the_report_counts_tokens_before_the_cut():
    report = encoding.encode(CORPUS, Letters(), SPEC).report
    assert report == encoding.EncodingReport(
        examples=3,
        source_tokens=6 + 2 + 1,
        target_tokens=3 + 4 + 1,
        longest_source=6,
        longest_target=4,
        max_source_tokens=4,
        max_target_tokens=3,
        source_truncated=1,
        target_truncated=1,
        unknown_share=1 / 17,
    )
    assert str(report) == (
        "3 examples: sources 3.0 tokens on average, 6 at most, 1 cut to 4; targets 2.7 "
        "tokens on average, 4 at most, 1 cut to 3; 5.88% of the tokens are unknown."
    )


def test_an_end_symbol_is_not_unknown_even_if_both_share_an_id():
    tokenizer = Letters()
    tokenizer.special_ids.unk = tokenizer.special_ids.eos = UNK  # as GPT-2 has it
    report = encoding.encode(CORPUS, tokenizer, SPEC).report
    assert report.unknown_share == 1 / 17


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.int32)]
)
def test_tokens_take_two_bytes_if_the_vocabulary_allows(vocab_size, dtype):
    tokenizer = Letters(vocab_size)
    tokenizer.special_ids.eos = vocab_size - 1
    encoded = encoding.encode(CORPUS, tokenizer, SPEC)
    assert encoded.tokens.dtype == dtype
    assert encoded.target(2).tolist() == [vocab_size - 1]


def test_a_corpus_without_examples_is_an_error():
    with pytest.raises(errors.DataError, match="no examples"):
        encoding.encode(Corpus([]), Letters(), SPEC)


def test_an_id_beyond_the_vocabulary_is_an_error():
    with pytest.raises(errors.TokenizerError, match=r"id 9 .* ends at 8"):
        encoding.encode(
            CORPUS,
            Letters(vocab_size=9),
            dataclasses.replace(SPEC, max_source_tokens=6),
        )


def test_lengths_too_small_for_a_text_are_errors():
    tokenizer = Letters()
    tokenizer.source_prefix, tokenizer.source_suffix = (2,), (1,)
    with pytest.raises(errors.ConfigError, match="max_source_tokens is 2"):
        encoding.encode(CORPUS, tokenizer, encoding.EncodingSpec(2, 8))
    with pytest.raises(errors.ConfigError, match="max_target_tokens is 0"):
        encoding.EncodingSpec(8, 0)
