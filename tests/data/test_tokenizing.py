"""Token ids of ranges of examples equal those of a plain loop."""

import gzip
import itertools

import numpy as np
import pytest

from bertgen_jax.data import tokenizing
from bertgen_jax.data.columns import Example
from bertgen_jax.data.tokenizing import EncodingSpec, ExampleEncoder, TokenizedRange
from bertgen_jax.files import paths
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer


class Corpus(list):
    fingerprint = "in memory"


def plain(encoder, begin, end):
    """Tokenizes one text at a time."""
    source, target, spec = encoder.source, encoder.target, encoder.spec
    rows, full_lengths, unknown = [], [], 0
    for example in encoder.examples[begin:end]:
        ids = source.encode(example.source)
        ended = [*target.encode(example.references[0]), target.special_ids.eos]
        unknown += ids.count(source.special_ids.unk)
        unknown += ended[:-1].count(target.special_ids.unk)
        cut = ids[: spec.source_capacity(source)]
        rows.append([*source.source_prefix, *cut, *source.source_suffix])
        rows.append(ended[: spec.max_target_tokens])
        specials = len(source.source_prefix) + len(source.source_suffix)
        full_lengths += [len(ids) + specials, len(ended)]
    tokens = list(itertools.chain.from_iterable(rows))
    return tokens, list(map(len, rows)), full_lengths, unknown


@pytest.fixture(scope="module")
def vocabularies():
    data = paths.data_dir()
    if data is None:
        pytest.skip("BERTGEN_DATA_DIR is not set")
    return data / "vocab"


@pytest.fixture(scope="module")
def corpus(vocabularies):
    name = vocabularies.parent / "wikisplit/validation.tsv.gz"
    with gzip.open(name, "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.split("\t") for line in file.read().split("\n")[:700]]
    pairs = [(source, target) for source, target in rows]
    pairs += [("", "a"), ("a", ""), ("  odd\tspaces ", "🙂 <s> [SEP]")]
    return Corpus(Example(str(n), s, (t, "other")) for n, (s, t) in enumerate(pairs))


def tokenizers(folder):
    sentencepiece = folder / "bertgen_50358.model"
    gpt2 = folder / "gpt2_vocab.json", folder / "gpt2_merges.txt"
    uncased = folder / "bert_base_uncased_vocab.txt"
    cased = folder / "bert_multi_cased_vocab.txt"
    yield BertGenerationTokenizer(sentencepiece), None
    yield BertGenerationTokenizer(sentencepiece, source_specials=True), None
    yield WordPieceTokenizer(uncased, source_specials=True), None
    yield WordPieceTokenizer(cased), None  # more ids than two bytes can count
    yield ByteLevelBPETokenizer(*gpt2), None
    yield WordPieceTokenizer(uncased), ByteLevelBPETokenizer(*gpt2)


@pytest.mark.parametrize("lengths", [(512, 128), (20, 12), (3, 1)])
def test_ids_and_lengths_equal_those_of_single_texts(lengths, vocabularies, corpus):
    for source, target in tokenizers(vocabularies):
        spec = EncodingSpec(*lengths)
        encoder = ExampleEncoder(corpus, source, target or source, spec)
        for begin, end in ((0, len(corpus)), (5, 6), (600, 703)):
            encoded = encoder.encode(begin, end)
            tokens, cut_lengths, full_lengths, unknown = plain(encoder, begin, end)
            assert encoded.tokens.dtype == encoder.dtype
            assert encoded.tokens.tolist() == tokens
            assert encoded.lengths.tolist() == cut_lengths
            assert encoded.full_lengths.tolist() == full_lengths
            assert encoded.unknown == unknown


def test_a_range_is_saved_and_loaded(tmp_path):
    saved = TokenizedRange(
        np.array([5, 6, 7], "<u2"), np.array([2, 1], "i4"), np.array([9, 1], "i4"), 3
    )
    saved.save(tmp_path / "part.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["part.npz"]
    loaded = TokenizedRange.load(tmp_path / "part.npz")
    for field in ("tokens", "lengths", "full_lengths"):
        array, expected = getattr(loaded, field), getattr(saved, field)
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
    assert loaded.unknown == 3


def test_chunks_are_joined_in_order(monkeypatch, vocabularies, corpus):
    tokenizer = WordPieceTokenizer(vocabularies / "bert_base_uncased_vocab.txt")
    encoder = ExampleEncoder(corpus, tokenizer, tokenizer, EncodingSpec(30, 20))
    whole = encoder.encode(0, 100)
    monkeypatch.setattr(tokenizing, "_CHUNK", 7)
    chunked = encoder.encode(0, 100)
    np.testing.assert_array_equal(chunked.tokens, whole.tokens)
    np.testing.assert_array_equal(chunked.lengths, whole.lengths)
    assert chunked.unknown == whole.unknown
