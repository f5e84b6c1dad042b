"""Pieces of two vocabularies meet where they stand for the same text."""

import json
import types

import numpy as np
import pytest

from bertgen_jax.errors import TokenizerError
from bertgen_jax.tokenizers import vocabularies
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer

OURS = ["<pad>", "<unk>", "<s>", "</s>", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CAPITAL = "[X]"  # a piece that makes a vocabulary a cased one


def ours(*pieces):
    """The vocabulary of a SentencePiece model: the special pieces, then these."""
    rows = {piece: row for row, piece in enumerate([*OURS, *pieces])}
    ids = SpecialIds(pad=0, unk=1, bos=2, eos=3)
    tokenizer = types.SimpleNamespace(get_vocab=lambda: rows, special_ids=ids)
    return vocabularies.of_tokenizer(tokenizer)


@pytest.fixture
def theirs(tmp_path):
    """Writes the vocabulary of a checkpoint and reads it."""

    def write_and_read(kind, *pieces):
        path = tmp_path / vocabularies.FORMATS[kind].file
        if kind == "bert":
            text = "\n".join([*BERT, *pieces]) + "\n"
        else:
            rows = {piece: row for row, piece in enumerate([*ROBERTA, *pieces])}
            text = json.dumps(rows)
        path.write_text(text, encoding="utf-8")
        return vocabularies.read(path, kind)

    return write_and_read


def rows_of(ours, theirs, *pieces):
    """Their row for each of these pieces of ours."""
    rows = vocabularies.match(ours, theirs, len(ours.pieces)).rows
    return [rows[ours.pieces[piece]] for piece in pieces]


def test_a_word_piece_matches_where_it_stands_in_a_word(theirs):
    bert = theirs("bert", CAPITAL, "the", "##the", "##ing")
    pieces = ["▁the", "the", "ing", "▁ing"]
    assert rows_of(ours(*pieces), bert, *pieces) == [6, 7, 8, -1]


def test_punctuation_and_chinese_match_the_row_that_word_piece_uses(theirs):
    bert = theirs("bert", CAPITAL, "##.", ".", "中", "##中", "##a", "a", "##€")
    pieces = [".", "▁.", "中", "▁中", "a", "▁a", "€"]
    assert rows_of(ours(*pieces), bert, *pieces) == [7, 7, 8, 8, 10, 11, 12]


def test_an_uncased_vocabulary_is_asked_without_capitals_and_accents(theirs):
    pieces = ["▁The", "▁the", "▁CAFÉ", "ÉS", "▁X"]
    uncased = theirs("bert", "the", "cafe", "##es")
    assert rows_of(ours(*pieces), uncased, *pieces) == [5, 5, 6, 7, -1]
    counts = vocabularies.match(ours(*pieces), uncased, 10).counts
    assert counts == {"text": 1, "lower-cased text": 3, "role": 5}
    cased = theirs("bert", CAPITAL, "the", "cafe", "##es")
    assert rows_of(ours(*pieces), cased, *pieces) == [-1, 6, -1, -1, -1]


def test_byte_level_pieces_match_by_the_text_that_they_spell(theirs):
    roberta = theirs("roberta", "Ġthe", "the", "Ã©", "é", "Ċ", "ĠĠ", "Ã")
    pieces = ["▁the", "the", "é", "\n", "▁▁", "Ã"]
    # "é" alone is their spelling of half a character, and so is "Ã".
    assert rows_of(ours(*pieces), roberta, *pieces) == [5, 6, 7, 9, 10, -1]


def test_a_tokenizer_with_the_whole_byte_alphabet_spells_bytes(theirs):
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
def test_rows_with_a_role_match_by_role(theirs, kind, expected):
    assert rows_of(ours("▁a"), theirs(kind, "a"), *OURS) == expected


def test_a_piece_that_looks_like_a_special_one_of_theirs_stays_apart(theirs):
    roberta = theirs("roberta", "<extra>")
    tokenizer = ours("<mask>", "<extra>")  # here the mask is [MASK]
    assert rows_of(tokenizer, roberta, "<mask>", "<extra>") == [-1, 5]


def test_the_same_vocabulary_matches_row_by_row(theirs):
    roberta = theirs("roberta", "Ġa", "b", "madeupword")
    match = vocabularies.match(roberta, roberta, 10)
    np.testing.assert_array_equal(match.rows, [*range(8), -1, -1])
    assert match.counts == {"identity": 8}


def test_tokenizer_json_is_read_where_it_is_all_there_is(tmp_path):
    assert vocabularies.find(tmp_path, "bert") is None
    path = tmp_path / "tokenizer.json"
    model = {"type": "WordPiece", "vocab": {"[UNK]": 0, "the": 1}}
    added = [{"id": 2, "content": "[PAD]"}]
    path.write_text(json.dumps({"model": model, "added_tokens": added}))
    assert vocabularies.find(tmp_path, "bert") == path
    vocabulary = vocabularies.read(path, "bert")
    assert vocabulary.roles == {"unk": 0, "pad": 2}
    assert vocabulary.texts == {1: b" the"}
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    assert vocabularies.find(tmp_path, "bert") == tmp_path / "vocab.txt"


def test_lines_of_a_vocabulary_end_at_newlines_only(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\n\x85\n\u2028\nb\n", encoding="utf-8")
    pieces = vocabularies.read(tmp_path / "vocab.txt", "bert").pieces
    assert pieces == {"a": 0, "\x85": 1, "\u2028": 2, "b": 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", b"{", "no vocabulary"),
        ("vocab.json", b"[1]", "expected a JSON object"),
        ("vocab.json", b'{"a": "1"}', "expected a JSON object"),
        ("vocab.json", b'{"a": -1}', "expected a JSON object"),
        ("tokenizer.json", b"[]", "type None; expected 'BPE'"),
        ("tokenizer.json", b'{"model": {"type": "Unigram"}}', "'Unigram'; expected"),
        (
            "tokenizer.json",
            b'{"model": {"type": "BPE", "vocab": {}}, "added_tokens": [{}]}',
            "expected a JSON object",
        ),
        ("vocab.txt", b"\xff", "no vocabulary"),
        ("elsewhere.json", None, "No such file"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        vocabularies.read(tmp_path / name, "roberta")


def test_the_papers_vocabulary_has_every_piece_of_gpt2_in_roberta(data_dir):
    folder = data_dir / "vocab"
    tokenizer = BertGenerationTokenizer.from_pretrained(folder / "bertgen_50358.model")
    roberta = vocabularies.read(folder / "roberta_vocab.json", "roberta")
    match = vocabularies.match(vocabularies.of_tokenizer(tokenizer), roberta, 50_358)
    assert match.counts == {"text": 50_257, "role": 5}
    # id = GPT-2's id + 101 (reference/checkpoints.md, section 6.3).
    gpt2 = json.loads((folder / "gpt2_vocab.json").read_text(encoding="utf-8"))
    expected = np.full(50_358, -1)
    for piece, row in gpt2.items():
        expected[101 + row] = roberta.pieces[piece]
    for ours, theirs in ((0, "<pad>"), (1, "</s>"), (2, "<s>"), (100, "<unk>")):
        expected[ours] = roberta.pieces[theirs]
    expected[67] = roberta.pieces["<mask>"]
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
    folder = data_dir / "vocab"
    tokenizer = BertGenerationTokenizer.from_pretrained(folder / "bertgen_50358.model")
    bert = vocabularies.read(folder / name, "bert")
    assert rows_of(vocabularies.of_tokenizer(tokenizer), bert, piece) == [
        bert.pieces[expected]
    ]
