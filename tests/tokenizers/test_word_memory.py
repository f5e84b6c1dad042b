"""Texts encoded word by word have the ids of whole texts."""

import gzip

import hypothesis
import pytest
from hypothesis import strategies

from bertgen_jax.files import paths
from bertgen_jax.tokenizers import word_memory
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.word_memory import WordMemory
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

LETTERS = "ab İß\u0301中\t\n\r\x1c\u00a0\u3000\u200b\x00,'s1"
TEXTS = strategies.lists(
    strategies.one_of(
        strategies.text(LETTERS, max_size=6),
        strategies.sampled_from([" ", "[MASK]", "<mask>", "added", "b" * 110]),
    ),
    max_size=6,
).map("".join)


class Recorder:
    """Encodes a text to its length, and records the texts."""

    def __init__(self):
        self.texts = []

    def __call__(self, texts):
        self.texts += texts
        return [[len(text)] if text else [] for text in texts]


@pytest.mark.parametrize(
    ("spaces_count", "words"), [(False, ["a", "bb"]), (True, ["a", " bb", " a"])]
)
def test_each_word_is_encoded_once(spaces_count, words):
    encode = Recorder()
    memory = WordMemory(encode, spaces_count=spaces_count)
    ids = [len(word) for word in words]
    expected = [ids, [*ids, ids[1]]] if spaces_count else [[1, 2, 1], [1, 2, 1, 2]]
    assert memory.encode(["a bb a", "a bb a bb"]) == expected
    assert memory.encode(["a bb a"]) == expected[:1]
    assert encode.texts == words


@pytest.mark.parametrize("text", ["a  b", " a", "a ", "a\tb", "a\nb", "a\u00a0b", " "])
def test_a_text_with_other_white_space_stays_whole(text):
    encode = Recorder()
    WordMemory(encode, spaces_count=True).encode([text])
    assert encode.texts == [text]


def test_a_text_without_words_has_no_ids():
    assert WordMemory(Recorder(), spaces_count=True).encode(["", "a"]) == [[], [1]]


def test_a_full_memory_is_emptied_and_long_words_are_not_kept(monkeypatch):
    monkeypatch.setattr(word_memory, "_MOST_WORDS", 2)
    monkeypatch.setattr(word_memory, "_LONGEST_WORD", 3)
    encode = Recorder()
    memory = WordMemory(encode, spaces_count=False)
    assert memory.encode(["a b c", "longer"]) == [[1, 1, 1], [6]]
    assert memory.encode(["d a", "longer"]) == [[1, 1], [6]]
    assert memory.encode(["a"]) == [[1]]
    assert encode.texts == ["a", "b", "c", "longer", "d", "longer", "a"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (AddedToken("<mask>", lstrip=True), True),
        (AddedToken("<mask>", rstrip=True), False),
        (AddedToken("<mask>", single_word=True), False),
        (AddedToken("two words"), False),
        (AddedToken("中"), False),
        (AddedToken("中", normalized=False), True),
    ],
)
def test_some_strings_that_are_cut_out_need_the_whole_text(token, expected):
    assert word_memory.applies([AddedToken("[SEP]"), token]) is expected


PIECES = ["[UNK]", "[SEP]", "[CLS]", "[PAD]", "[MASK]", "a", "b", "##b", "##a", "ab"]
BYTES = [
    *map(chr, range(33, 127)),
    *map(chr, range(161, 173)),
    *map(chr, range(174, 324)),
]
MERGES = [("a", "b"), ("Ġ", "a"), ("Ġ", "b"), ("Ġa", "b"), ("'", "s"), ("Ċ", "Ġ")]


def wordpiece(added):
    pieces = [*PIECES, ",", "'", "s", "1", "中", "i", "##s"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return WordPieceTokenizer(vocabulary, do_lower_case=True, added_tokens=added)


def byte_level(added, add_prefix_space):
    pieces = [*BYTES, "<|endoftext|>", *map("".join, MERGES)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return ByteLevelBPETokenizer(
        vocabulary, MERGES, add_prefix_space=add_prefix_space, added_tokens=added
    )


ADDED = [
    [],
    [AddedToken("<mask>", lstrip=True, normalized=False)],
    [AddedToken("<mask>", rstrip=True, normalized=False)],
    [AddedToken("added")],
    [AddedToken("b 中")],
]
TOKENIZERS = [
    make
    for added in ADDED
    for make in (wordpiece(added), byte_level(added, False), byte_level(added, True))
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@hypothesis.given(strategies.lists(TEXTS, max_size=4))
@hypothesis.settings(deadline=None)
def test_words_have_the_ids_that_they_have_in_the_text(tokenizer, texts):
    # A single text is encoded by the library as a whole.
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts) == expected
    assert tokenizer.encode_batch(texts[::-1]) == expected[::-1]


def test_real_texts_have_the_ids_of_whole_texts():
    data = paths.data_dir()
    if data is None:
        pytest.skip("BERTGEN_DATA_DIR is not set")
    texts = []
    for name in ("wikisplit/validation.tsv.gz", "opennmt_ende/validation.de.gz"):
        with gzip.open(data / name, "rt", encoding="utf-8", newline="\n") as file:
            texts += file.read().split("\n")[:1500]
    vocabulary = data / "vocab"
    for tokenizer in (
        WordPieceTokenizer(vocabulary / "bert_base_uncased_vocab.txt"),
        WordPieceTokenizer(vocabulary / "bert_multi_cased_vocab.txt"),
        ByteLevelBPETokenizer(
            vocabulary / "gpt2_vocab.json", vocabulary / "gpt2_merges.txt"
        ),
    ):
        expected = [tokenizer.encode(text) for text in texts]
        assert tokenizer.encode_batch(texts) == expected
