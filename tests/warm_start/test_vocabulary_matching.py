"""Pieces of two vocabularies meet where they stand for the same text."""

import json
import types

import numpy as np
import pytest

from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.interface import SENTENCEPIECE, SpecialIds
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer
from bertgen_jax.warm_start import vocabulary_matching

OURS = ["<pad>", "<unk>", "<s>", "</s>", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CAPITAL = "[X]"  # a piece that makes a vocabulary a cased one


def ours(*pieces):
    """The vocabulary of a SentencePiece model: the special pieces, then these."""
    rows = {piece: row for row, piece in enumerate([*OURS, *pieces])}
    tokenizer = types.SimpleNamespace(
        get_vocab=lambda: rows,
        special_ids=SpecialIds(pad=0, unk=1, bos=2, eos=3, mask=4),
        kind=SENTENCEPIECE,
    )
    return vocabulary_matching.of_tokenizer(tokenizer)


def theirs(kind, *pieces):
    """The vocabulary of a checkpoint: the special pieces, then these."""
    special = {"bert": BERT, "roberta": ROBERTA, "gpt2": ["<|endoftext|>"]}[kind]
    space = [] if kind == "bert" else ["Ġ"]
    rows = {piece: row for row, piece in enumerate([*special, *pieces, *space])}
    if kind == "bert":
        return vocabulary_matching.of_tokenizer(WordPieceTokenizer(rows))
    return vocabulary_matching.of_tokenizer(ByteLevelBPETokenizer(rows, ()))


def rows_of(ours, theirs, *pieces):
    """Their row for each of these pieces of ours."""
    rows = vocabulary_matching.match(ours, theirs, len(ours.pieces)).rows
    return [rows[ours.pieces[piece]] for piece in pieces]


def test_a_word_piece_matches_where_it_stands_in_a_word():
    bert = theirs("bert", CAPITAL, "the", "##the", "##ing")
    pieces = ["▁the", "the", "ing", "▁ing"]
    assert rows_of(ours(*pieces), bert, *pieces) == [6, 7, 8, -1]


def test_punctuation_and_chinese_match_the_row_that_word_piece_uses():
    bert = theirs("bert", CAPITAL, "##.", ".", "中", "##中", "##a", "a", "##€")
    pieces = [".", "▁.", "中", "▁中", "a", "▁a", "€"]
    assert rows_of(ours(*pieces), bert, *pieces) == [7, 7, 8, 8, 10, 11, 12]


def test_an_uncased_vocabulary_is_asked_without_capitals_and_accents():
    pieces = ["▁The", "▁the", "▁CAFÉ", "ÉS", "▁X"]
    uncased = theirs("bert", "the", "cafe", "##es")
    assert rows_of(ours(*pieces), uncased, *pieces) == [5, 5, 6, 7, -1]
    counts = vocabulary_matching.match(ours(*pieces), uncased, 10).counts
    assert counts == {"text": 1, "lower-cased text": 3, "role": 5}
    cased = theirs("bert", CAPITAL, "the", "cafe", "##es")
    assert rows_of(ours(*pieces), cased, *pieces) == [-1, 6, -1, -1, -1]


def test_byte_level_pieces_match_by_the_text_that_they_spell():
    roberta = theirs("roberta", "Ġthe", "the", "Ã©", "é", "Ċ", "ĠĠ", "Ã")
    pieces = ["▁the", "the", "é", "\n", "▁▁", "Ã"]
    # "é" alone is their spelling of half a character, and so is "Ã".
    assert rows_of(ours(*pieces), roberta, *pieces) == [5, 6, 7, 9, 10, -1]


def test_a_tokenizer_with_the_whole_byte_alphabet_spells_bytes():
    # The 188 printable letters, then those from U+0100 on; "Ġ", the space, is "▁".
    letters = [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]
    letters = [chr(letter).replace("Ġ", "▁") for letter in letters]
    assert len(letters) == 256
    roberta = theirs("roberta", "é", "Ã©", "ĠÃ©")
    assert rows_of(ours(*letters, "Ã©", "▁Ã©"), roberta, "é", "Ã©", "▁Ã©") == [5, 6, 7]
    bert = theirs("bert", CAPITAL, "##é", "é")
    assert rows_of(ours(*letters, "Ã©", "▁Ã©"), bert, "é", "Ã©", "▁Ã©") == [-1, 6, 7]


@pytest.mark.parametrize(
    ("kind", "expected"), [("bert", [0, 1, 2, 3, 4]), ("roberta", [1, 3, 0, 2, 4])]
)
def test_rows_with_a_role_match_by_role(kind, expected):
    assert rows_of(ours("▁a"), theirs(kind, "a"), *OURS) == expected


def test_a_piece_that_looks_like_a_special_one_of_theirs_stays_apart():
    roberta = theirs("roberta", "<extra>")
    tokenizer = ours("<mask>", "<extra>")  # here the mask is [MASK]
    assert rows_of(tokenizer, roberta, "<mask>", "<extra>") == [-1, 5]


def test_the_same_vocabulary_matches_row_by_row():
    roberta = theirs("roberta", "Ġa", "b", "madeupword")
    match = vocabulary_matching.match(roberta, roberta, 10)
    np.testing.assert_array_equal(match.rows, [*range(9), -1])
    assert match.counts == {"identity": 9}


def test_gpt2s_one_special_row_ends_texts_and_stands_for_its_name():
    gpt2 = theirs("gpt2", "Ġa")
    tokenizer = ours("▁a", "<|endoftext|>")
    assert rows_of(tokenizer, gpt2, *OURS) == [-1, -1, -1, 0, -1]
    assert rows_of(tokenizer, gpt2, "▁a", "<|endoftext|>") == [1, 0]
    match = vocabulary_matching.match(gpt2, theirs("roberta", "Ġa", "<|endoftext|>"), 3)
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
    for ours, theirs in ((0, "<pad>"), (1, "</s>"), (2, "<s>"), (100, "<unk>")):
        expected[ours] = roberta.pieces[theirs]
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
def test_the_papers_vocabulary_meets_bert(data_dir, name, piece, expected):
    bert = load(data_dir, name)
    papers = load(data_dir, "bertgen_50358.model")
    assert rows_of(papers, bert, piece) == [bert.pieces[expected]]


def test_bert_meets_roberta_and_the_other_way_round(data_dir):
    bert = load(data_dir, "bert_base_cased_vocab.txt")
    roberta = load(data_dir, "roberta_vocab.json")
    assert rows_of(bert, roberta, "The", "##ing", "[CLS]", "[SEP]", "[MASK]") == [
        roberta.pieces[piece] for piece in ("ĠThe", "ing", "<s>", "</s>", "<mask>")
    ]
    assert rows_of(roberta, bert, "ĠThe", "ing", ".", "Ġ.", "Ã©") == [
        bert.pieces[piece] for piece in ("The", "##ing", ".", ".", "##é")
    ]
