"""Tests of matching: pieces of two vocabularies that stand for the same text."""

import json
import types

import numpy as np
import pytest

from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.interface import SENTENCEPIECE, SpecialIds
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer
from bertgen_jax.warm_start import vocabulary_matching

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CAPITAL = "[X]"  # a piece that makes a vocabulary a cased one


def sentencepiece(*pieces):
    """Returns a SentencePiece vocabulary: the special pieces, then these."""
    rows = {piece: row for row, piece in enumerate([*SPECIAL, *pieces])}
    tokenizer = types.SimpleNamespace(
        get_vocab=lambda: rows,
        special_ids=SpecialIds(pad=0, unk=1, bos=2, eos=3, mask=4),
        kind=SENTENCEPIECE,
    )
    return vocabulary_matching.of_tokenizer(tokenizer)


def vocabulary(kind, *pieces):
    """Returns the vocabulary of a checkpoint: the special pieces, then these."""
    special = {"bert": BERT, "roberta": ROBERTA, "gpt2": ["<|endoftext|>"]}[kind]
    space = [] if kind == "bert" else ["Ġ"]
    rows = {piece: row for row, piece in enumerate([*special, *pieces, *space])}
    if kind == "bert":
        return vocabulary_matching.of_tokenizer(WordPieceTokenizer(rows))
    return vocabulary_matching.of_tokenizer(ByteLevelBPETokenizer(rows, ()))


def rows_of(model, checkpoint, *pieces):
    """Returns the row in the checkpoint of each of these pieces of the model."""
    rows = vocabulary_matching.match(model, checkpoint, len(model.pieces)).rows
    return [rows[model.pieces[piece]] for piece in pieces]


def test_a_word_piece_matches_at_its_place_in_a_word():
    bert = vocabulary("bert", CAPITAL, "the", "##the", "##ing")
    pieces = ["▁the", "the", "ing", "▁ing"]
    assert rows_of(sentencepiece(*pieces), bert, *pieces) == [6, 7, 8, -1]


def test_punctuation_and_chinese_match_the_row_that_word_piece_uses():
    bert = vocabulary("bert", CAPITAL, "##.", ".", "中", "##中", "##a", "a", "##€")
    pieces = [".", "▁.", "中", "▁中", "a", "▁a", "€"]
    assert rows_of(sentencepiece(*pieces), bert, *pieces) == [7, 7, 8, 8, 10, 11, 12]


def test_texts_match_an_uncased_vocabulary_without_capitals_and_accents():
    pieces = ["▁The", "▁the", "▁CAFÉ", "ÉS", "▁X"]
    uncased = vocabulary("bert", "the", "cafe", "##es")
    assert rows_of(sentencepiece(*pieces), uncased, *pieces) == [5, 5, 6, 7, -1]
    counts = vocabulary_matching.match(sentencepiece(*pieces), uncased, 10).counts
    assert counts == {"text": 1, "lower-cased text": 3, "role": 5}
    cased = vocabulary("bert", CAPITAL, "the", "cafe", "##es")
    assert rows_of(sentencepiece(*pieces), cased, *pieces) == [-1, 6, -1, -1, -1]


def test_byte_level_pieces_match_by_the_text_that_they_spell():
    roberta = vocabulary("roberta", "Ġthe", "the", "Ã©", "é", "Ċ", "ĠĠ", "Ã")
    pieces = ["▁the", "the", "é", "\n", "▁▁", "Ã"]
    # In byte-level BPE, "é" alone is half a character, and so is "Ã".
    assert rows_of(sentencepiece(*pieces), roberta, *pieces) == [5, 6, 7, 9, 10, -1]


def test_a_tokenizer_with_the_whole_byte_alphabet_spells_bytes():
    # The 188 printable letters, then those from U+0100 on; "Ġ", the space, is "▁".
    letters = [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]
    letters = [chr(letter).replace("Ġ", "▁") for letter in letters]
    assert len(letters) == 256
    roberta = vocabulary("roberta", "é", "Ã©", "ĠÃ©")
    assert rows_of(sentencepiece(*letters, "Ã©", "▁Ã©"), roberta, "é", "Ã©", "▁Ã©") == [
        5,
        6,
        7,
    ]
    bert = vocabulary("bert", CAPITAL, "##é", "é")
    assert rows_of(sentencepiece(*letters, "Ã©", "▁Ã©"), bert, "é", "Ã©", "▁Ã©") == [
        -1,
        6,
        7,
    ]


@pytest.mark.parametrize(
    ("kind", "expected"), [("bert", [0, 1, 2, 3, 4]), ("roberta", [1, 3, 0, 2, 4])]
)
def test_rows_with_a_role_match_by_role(kind, expected):
    assert rows_of(sentencepiece("▁a"), vocabulary(kind, "a"), *SPECIAL) == expected


def test_a_piece_that_looks_like_another_special_piece_does_not_match():
    roberta = vocabulary("roberta", "<extra>")
    tokenizer = sentencepiece("<mask>", "<extra>")  # here the mask is [MASK]
    assert rows_of(tokenizer, roberta, "<mask>", "<extra>") == [-1, 5]


def test_the_same_vocabulary_matches_row_by_row():
    roberta = vocabulary("roberta", "Ġa", "b", "madeupword")
    match = vocabulary_matching.match(roberta, roberta, 10)
    np.testing.assert_array_equal(match.rows, [*range(9), -1])
    assert match.counts == {"identity": 9}


def test_gpt2s_one_special_row_ends_texts_and_stands_for_its_name():
    gpt2 = vocabulary("gpt2", "Ġa")
    tokenizer = sentencepiece("▁a", "<|endoftext|>")
    assert rows_of(tokenizer, gpt2, *SPECIAL) == [-1, -1, -1, 0, -1]
    assert rows_of(tokenizer, gpt2, "▁a", "<|endoftext|>") == [1, 0]
    match = vocabulary_matching.match(
        gpt2, vocabulary("roberta", "Ġa", "<|endoftext|>"), 3
    )
    np.testing.assert_array_equal(match.rows, [2, 5, 7])  # its end from </s>


def load(data_dir, name):
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "vocab" / name)
    return vocabulary_matching.of_tokenizer(tokenizer)


def test_the_papers_vocabulary_has_every_piece_of_gpt2_in_roberta(data_dir):
    papers = load(data_dir, "bertgen_50358.model")
    roberta = load(data_dir, "roberta_vocab.json")
    match = vocabulary_matching.match(papers, roberta, 50_358)
    assert match.counts == {"text": 50_257, "role": 5}
    # id = GPT-2's id + 101 (reference/checkpoints.md, section 6.3).
    gpt2 = json.loads((data_dir / "vocab/gpt2_vocab.json").read_text(encoding="utf-8"))
    expected = np.full(50_358, -1)
    for piece, row in gpt2.items():
        expected[101 + row] = roberta.pieces[piece]
    for row, piece in ((0, "<pad>"), (1, "</s>"), (2, "<s>"), (100, "<unk>")):
        expected[row] = roberta.pieces[piece]
    expected[67] = roberta.pieces["<mask>"]
    np.testing.assert_array_equal(match.rows, expected)


def test_the_papers_vocabulary_is_gpt2s_moved_by_101(data_dir):
    papers = load(data_dir, "bertgen_50358.model")
    match = vocabulary_matching.match(papers, load(data_dir, "gpt2_vocab.json"), 50_358)
    assert match.counts == {"text": 50_257, "role": 1}
    expected = np.full(50_358, -1)
    expected[101:] = np.arange(50_257)
    expected[1] = 50_256  # </s> from <|endoftext|> (reference/paper.md, section 5)
    np.testing.assert_array_equal(match.rows, expected)


@pytest.mark.parametrize(
    ("name", "piece", "expected"),
    [
        ("bert_base_cased_vocab.txt", "▁The", "The"),
        ("bert_base_uncased_vocab.txt", "▁The", "the"),
        ("bert_base_cased_vocab.txt", "ing", "##ing"),
        ("bert_base_cased_vocab.txt", ".", "."),
        ("bert_base_uncased_vocab.txt", "Ã©", "##e"),
    ],
)
def test_the_papers_vocabulary_matches_bert(data_dir, name, piece, expected):
    bert = load(data_dir, name)
    papers = load(data_dir, "bertgen_50358.model")
    assert rows_of(papers, bert, piece) == [bert.pieces[expected]]


def test_bert_and_roberta_match_in_both_directions(data_dir):
    bert = load(data_dir, "bert_base_cased_vocab.txt")
    roberta = load(data_dir, "roberta_vocab.json")
    assert rows_of(bert, roberta, "The", "##ing", "[CLS]", "[SEP]", "[MASK]") == [
        roberta.pieces[piece] for piece in ("ĠThe", "ing", "<s>", "</s>", "<mask>")
    ]
    assert rows_of(roberta, bert, "ĠThe", "ing", ".", "Ġ.", "Ã©") == [
        bert.pieces[piece] for piece in ("The", "##ing", ".", ".", "##é")
    ]
