"""Tests of reading tokenizer.json: other pipelines than ours are errors."""

import json

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.auto import AutoTokenizer


def load_changed(directory, path, value):
    """Loads the tokenizer of a directory after a change to its tokenizer.json.

    Args:
      directory: where the tokenizer was saved.
      path: the keys of the changed value.
      value: the new value.
    """
    file = directory / "tokenizer.json"
    whole = part = json.loads(file.read_text("utf-8"))
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(whole), encoding="utf-8")
    return AutoTokenizer.from_pretrained(directory)


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
def test_other_settings_of_a_word_piece_file_are_errors(
    wordpiece, tmp_path, path, value, message
):
    wordpiece.save_pretrained(tmp_path)
    with pytest.raises(errors.TokenizerError, match=message):
        load_changed(tmp_path, path, value)


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
def test_other_settings_of_a_byte_level_file_are_errors(
    gpt2, tmp_path, path, value, message
):
    gpt2.save_pretrained(tmp_path)
    with pytest.raises(errors.TokenizerError, match=message):
        load_changed(tmp_path, path, value)
