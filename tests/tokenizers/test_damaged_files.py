"""A file that is cut off, changed, foreign or wrong ends in an error that names it."""

import copy
import json
import random

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

LAYOUTS = ("bert", "roberta", "gpt2", "fairseq", "sentencepiece")


def load(directory, name=None, content=None):
    """Loads the tokenizer of a directory in which one file was replaced."""
    if isinstance(content, bytes):
        (directory / name).write_bytes(content)
    elif content is not None:
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
def test_a_vocab_txt_that_is_none(write, content, message):
    with pytest.raises(errors.TokenizerError, match=message):
        load(write("bert"), "vocab.txt", content)


def test_empty_lines_at_the_end_of_a_vocab_txt_are_no_pieces(write, wordpiece):
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
def test_a_vocab_json_that_is_none(write, content, message):
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
def test_merges_that_do_not_fit(write, content, message):
    with pytest.raises(errors.TokenizerError, match=r"merges\.txt.*" + message):
        load(write("roberta"), "merges.txt", content)


@pytest.mark.parametrize(
    "merges", [None, "h e", [["h"]], [["h", 1]], [["h", "q"]], [1]]
)
def test_merges_that_are_no_pairs(gpt2, merges):
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
def test_a_dictionary_of_fairseq_that_does_not_fit(write, content, message):
    with pytest.raises(errors.TokenizerError, match=message):
        load(write("fairseq"), "dict.txt", content)


def test_a_vocabulary_without_an_end(gpt2):
    pieces = [piece for piece in gpt2.get_vocab() if piece != "<|endoftext|>"]
    pieces = {piece: row for row, piece in enumerate(pieces)}
    with pytest.raises(errors.TokenizerError, match=r"special string as eos_token"):
        ByteLevelBPETokenizer(pieces, ())
    named = ByteLevelBPETokenizer(pieces, (), eos_token="[END]")
    assert named.special_ids.eos == len(pieces)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["model"], None, "has no model"),
        (["model"], [], r"model in .* is \[\]; expected dict"),
        (["model", "type"], "Unigram", "is of type Unigram, which is not supported"),
        (["model", "type"], "WordLevel", "is of type WordLevel"),
        (["model", "type"], "BPE", "is of type BPE"),
        (["model", "vocab"], ["the"], r"is \['the'\]; expected an object of pieces"),
        (["model", "vocab", "the"], 7, "has 'the' and 'bug' in row 7"),
        (["model", "continuing_subword_prefix"], "@@", "is '@@'; expected '##'"),
        (["model", "max_input_chars_per_word"], 5, "is 5; expected 100"),
        (["model", "unk_token"], 5, "unk_token in .* is 5; expected str"),
        (["normalizer"], None, "type of the normalizer in .* is None; expected 'Bert"),
        (["normalizer", "type"], "NFC", "is 'NFC'; expected 'BertNormalizer'"),
        (["normalizer", "clean_text"], False, "is False; expected True"),
        (["normalizer", "lowercase"], "yes", "lowercase in .* is 'yes'; expected bool"),
        (["pre_tokenizer", "type"], "Whitespace", "is 'Whitespace'; expected 'BertPre"),
        (["added_tokens"], {}, r"added_tokens in .* is {}; expected list"),
        (["added_tokens", 0], 5, "has 5 as a special string"),
        (["added_tokens", 0, "content"], 5, "as a special string"),
        (["added_tokens", 0, "content"], "\ud800", "is not a valid added or special"),
        (["added_tokens", 0, "id"], "0", "has the id '0'; expected one from 0 to"),
        (["added_tokens", 0, "id"], 2**31, "has the id 2147483648; expected one from"),
        (["added_tokens", 0, "id"], 9, r"'\[PAD\]' has the id 9, but '\[PAD\]' is 0"),
        (["added_tokens", 0, "lstrip"], 0, "lstrip in .* is 0; expected bool"),
        (["added_tokens", 0, "content"], "[UNK]", "added_tokens with one content"),
    ],
)
def test_a_tokenizer_json_that_means_something_else(
    wordpiece, tmp_path, path, value, message
):
    wordpiece.save_pretrained(tmp_path)
    whole = part = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(errors.TokenizerError, match=message):
        load(tmp_path, "tokenizer.json", whole)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["model", "dropout"], 0.1, "dropout of the model in .* is 0.1; expected None"),
        (["model", "byte_fallback"], True, "byte_fallback .* is True; expected False"),
        (["model", "end_of_word_suffix"], "</w>", "is '</w>'; expected None"),
        (["model", "merges"], 5, "The merges in .* is 5; expected pairs"),
        (["model", "merges", 0], "h e x", r"merge 1 is \('h', 'e', 'x'\)"),
        (["normalizer"], {"type": "NFC"}, "is 'NFC'; expected None: with another"),
        (["pre_tokenizer", "use_regex"], False, "use_regex .* is False; expected True"),
        (
            ["pre_tokenizer"],
            {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]},
            "is 'Sequence'; expected 'ByteLevel'",
        ),
        (
            ["pre_tokenizer"],
            {"type": "Metaspace"},
            "is of type BPE, which is not",
        ),
    ],
)
def test_a_byte_level_tokenizer_json_that_means_something_else(
    gpt2, tmp_path, path, value, message
):
    gpt2.save_pretrained(tmp_path)
    whole = part = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(errors.TokenizerError, match=message):
        load(tmp_path, "tokenizer.json", whole)


def test_a_file_too_large_for_a_tokenizers_is_not_read(write):
    directory = write("bert")
    with (directory / "vocab.txt").open("r+b") as file:
        file.truncate(2**31)  # sparse: it takes no space
    with pytest.raises(errors.TokenizerError, match=r"has 2,147,483,648 bytes"):
        AutoTokenizer.from_pretrained(directory)


def test_a_message_quotes_no_more_than_a_line(write):
    pieces = {"a": ["x" * 10**6] * 5}
    with pytest.raises(errors.TokenizerError) as caught:
        load(write("roberta"), "vocab.json", pieces)
    assert len(str(caught.value)) < 1000


WRONG = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**80, 0.5, float("nan"), float("inf")),
    *("", "x", "\ud800", "a b", "the", "[UNK]", "[X]", "\x01", "İ", "ByteLevel"),
    *([], {}, [1], ["x"], [["x", 1]], {"content": "q"}, {"a": 0}, {"type": "BPE"}),
)


def mutated(value, draw):
    """A JSON value in which something, at whatever depth, is something else."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.15:
        return draw.choice(WRONG)
    value = copy.copy(value)
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    fate = draw.random()
    if fate < 0.1:
        del value[key]
    elif fate < 0.2 and isinstance(value, dict):
        value[str(draw.choice(WRONG))] = value[key]
    elif fate < 0.2:
        value.append(value[key])
    else:
        value[key] = mutated(value[key], draw)
    return value


def damage(file, draw):
    """Changes a file: its values, where it is JSON, or its bytes."""
    content = file.read_bytes()
    if file.suffix == ".json" and draw.random() < 0.7:
        file.write_text(json.dumps(mutated(json.loads(content), draw)))
        return
    fate, place = draw.random(), draw.randrange(len(content))
    if fate < 0.4:
        content = content[:place]
    elif fate < 0.8:
        changed = draw.randbytes(draw.randrange(1, 4))
        content = content[:place] + changed + content[place + len(changed) :]
    elif fate < 0.9:
        content += content
    else:
        content = draw.randbytes(50)
    file.write_bytes(content)


def check_damage(write, numbers):
    """What loads in spite of its damage works; all else is an error of ours."""
    outcomes = {True: 0, False: 0}
    for number in numbers:
        draw = random.Random(number)
        directory = write(draw.choice(LAYOUTS), str(number))
        if draw.random() < 0.5:
            AutoTokenizer.from_pretrained(
                directory, normalization=("nfc",), extra_special_tokens=("[X]",)
            ).save_pretrained(directory)
        if (directory / "tokenizer.json").exists() and draw.random() < 0.3:
            (directory / "tokenizer_config.json").unlink()
            (directory / "special_tokens_map.json").write_text(
                '{"mask_token": {"content": "<mask>", "lstrip": true}}'
            )
            (directory / "added_tokens.json").write_text('{"[X]": 1}')
        damage(draw.choice(sorted(directory.iterdir())), draw)
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory)
        except errors.BertgenError:
            outcomes[False] += 1
            continue
        outcomes[True] += 1
        rows = tokenizer.encode_batch(["The bug [X] <mask>.\x01", "é中 the", ""])
        assert all(0 <= i < tokenizer.vocab_size for row in rows for i in row)
        tokenizer.batch_decode(rows, skip_special_tokens=True)
        tokenizer.save_pretrained(directory / "saved")
        again = AutoTokenizer.from_pretrained(directory / "saved")
        assert again.fingerprint == tokenizer.fingerprint, number
        assert again.encode_batch(["the bug [X]"]) == tokenizer.encode_batch(
            ["the bug [X]"]
        )
    assert min(outcomes.values()) > len(numbers) // 20, outcomes


def test_damage_ends_in_an_error_of_ours_or_does_no_harm(write):
    check_damage(write, range(150))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 9000, 1000))
def test_damage_of_thousands_of_files(write, start):
    check_damage(write, range(start, start + 1000))


def test_a_class_given_something_else_says_so(word_pieces):
    with pytest.raises(errors.TokenizerError, match="expected a piece and its row"):
        WordPieceTokenizer({"[UNK]": "0"})
    with pytest.raises(errors.TokenizerError, match="Cannot read nowhere"):
        WordPieceTokenizer("nowhere")
    with pytest.raises(errors.TokenizerError, match="Cannot read nowhere"):
        ByteLevelBPETokenizer(word_pieces | {"Ġ": 25}, "nowhere")
