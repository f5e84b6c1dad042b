"""Tests of vocabulary files: an invalid file is an error that names it."""

import json

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer


def load(directory, name, content):
    """Loads the tokenizer of a directory in which one file was replaced."""
    if isinstance(content, bytes):
        (directory / name).write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name).write_text(text, encoding="utf-8")
    return AutoTokenizer.from_pretrained(directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"vocab\.txt, line 1, is empty"),
        ("[UNK]\n[SEP]\n\nthe\n", r"vocab\.txt, line 3, is empty"),
        ("[UNK]\n[SEP]\nthe\n[SEP]\n", r"vocab\.txt, line 4, is '\[SEP\]' once more"),
        ("the quick brown\nfox\n", r"2 pieces, and '\[UNK\]' is none of them"),
        ("[UNK]\nthe\n", r"and '\[SEP\]' is none of them; .* as sep_token"),
        (b"[UNK]\n[SEP]\n\xff\xfe\n", r"not text in UTF-8 \(invalid .* at byte 12\)"),
        (bytes(200), r"1 pieces, and '\[UNK\]' is none"),
    ],
)
def test_an_invalid_vocab_txt_is_an_error(write, content, message):
    with pytest.raises(errors.TokenizerError, match=message):
        load(write("bert"), "vocab.txt", content)


def test_line_ends_of_a_vocab_txt_may_differ(write, wordpiece):
    directory = write("bert")
    content = (directory / "vocab.txt").read_bytes()
    for ending in (b"\n\n", b""):
        content = content.rstrip(b"\n") + ending
        loaded = load(directory, "vocab.txt", content)
        assert loaded.fingerprint == wordpiece.fingerprint
    windows = content.replace(b"\n", b"\r\n")
    loaded = load(directory, "vocab.txt", windows)
    assert loaded.fingerprint == wordpiece.fingerprint


def test_lines_of_a_vocab_txt_end_at_newlines_only(write):
    lines = "[UNK]\n[SEP]\n\x85\n\u2028\nb\n"
    vocabulary = load(write("bert"), "vocab.txt", lines).get_vocab()
    assert vocabulary == {"[UNK]": 0, "[SEP]": 1, "\x85": 2, "\u2028": 3, "b": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "found a JSON list, expected a JSON object"),
        ("{}", "expected an object of pieces"),
        ('{"a": 0, "a": 1}', "the key 'a' stands twice in one object"),
        ({"a": "0"}, "has 'a': '0'; expected a piece and its row"),
        ({"a": 0.0}, "has 'a': 0.0; expected a piece"),
        ({"a": True}, "has 'a': True; expected a piece"),
        ({"a": -1}, "has 'a': -1; expected a piece"),
        ({"a": 2**40}, "has 'a': 1099511627776; expected a piece"),
        ({"": 0}, "has '': 0; expected a piece"),
        ('{"\\ud800": 0}', "half of a character"),
        ({"a": 0, "b": 0}, "has 'a' and 'b' in row 0"),
        ({"a": 0, "b": 2}, "the last in row 2, and none in row 1"),
        ({"a": 0, "b": 1}, "has no piece 'Ġ'"),
        ('{"a": ' * 10**5, r"not JSON \(maximum recursion depth"),
        ('{"a": ' + "9" * 5000 + "}", r"not JSON \(Exceeds the limit"),
    ],
)
def test_an_invalid_vocab_json_is_an_error(write, content, message):
    with pytest.raises(errors.TokenizerError, match=r"vocab\.json.*" + message):
        load(write("roberta"), "vocab.json", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"merge 1 is \('',\)"),
        ("#version: 0.2\nh e\nx\n", r"merge 2 is \('x',\); expected two pieces"),
        ("h e l\n", r"merge 1 is \('h', 'e', 'l'\)"),
        ("q q\n", r"merge 1 is \('q', 'q'\); .*are they of two tokenizers\?"),
        ("h e\n", r"has no merge that makes 'Ã©', nor 5 pieces of .*in all"),
    ],
)
def test_merges_of_another_vocabulary_are_errors(write, content, message):
    with pytest.raises(errors.TokenizerError, match=r"merges\.txt.*" + message):
        load(write("roberta"), "merges.txt", content)


@pytest.mark.parametrize(
    "merges", [None, "h e", [["h"]], [["h", 1]], [["h", "q"]], [1]]
)
def test_merges_that_are_not_pairs_are_errors(gpt2, merges):
    with pytest.raises(errors.TokenizerError):
        ByteLevelBPETokenizer(gpt2.get_vocab(), merges)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1, is ''; expected a number"),
        ("0 5\n1\n", "line 2, is '1'; expected a number"),
        ("0 5\n9999 5\n", "line 2, is '9999 5'; expected a number"),
        ("0 5\n0 5\n", "has 1 of its pieces twice"),
        ("0 5\n", "has no piece 'Ġ'"),
        ("220 5\n", r"merge 1 is \('h', 'e'\)"),
    ],
)
def test_an_invalid_dictionary_of_fairseq_is_an_error(write, content, message):
    with pytest.raises(errors.TokenizerError, match=message):
        load(write("fairseq"), "dict.txt", content)


def test_a_vocabulary_without_an_end_string_is_an_error(gpt2):
    pieces = [piece for piece in gpt2.get_vocab() if piece != "<|endoftext|>"]
    pieces = {piece: row for row, piece in enumerate(pieces)}
    with pytest.raises(errors.TokenizerError, match=r"special string as eos_token"):
        ByteLevelBPETokenizer(pieces, ())
    named = ByteLevelBPETokenizer(pieces, (), eos_token="[END]")
    assert named.special_ids.eos == len(pieces)


def test_a_too_large_file_is_not_read(write):
    directory = write("bert")
    with (directory / "vocab.txt").open("r+b") as file:
        file.truncate(2**31)  # sparse: it takes no space
    with pytest.raises(errors.TokenizerError, match=r"has 2,147,483,648 bytes"):
        AutoTokenizer.from_pretrained(directory)


def test_messages_quote_at_most_a_line(write):
    pieces = {"a": ["x" * 10**6] * 5}
    with pytest.raises(errors.TokenizerError) as caught:
        load(write("roberta"), "vocab.json", pieces)
    assert len(str(caught.value)) < 1000


def test_invalid_constructor_arguments_are_errors(word_pieces):
    with pytest.raises(errors.TokenizerError, match="expected a piece and its row"):
        WordPieceTokenizer({"[UNK]": "0"})
    with pytest.raises(errors.TokenizerError, match="Cannot read nowhere"):
        WordPieceTokenizer("nowhere")
    with pytest.raises(errors.TokenizerError, match="Cannot read nowhere"):
        ByteLevelBPETokenizer(word_pieces | {"Ġ": 25}, "nowhere")
