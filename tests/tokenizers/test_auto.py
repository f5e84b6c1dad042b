"""Tests of `AutoTokenizer`: the files tell the kind, or it is an error."""

import json
import pickle
import shutil

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.auto import CLASSES, AutoTokenizer
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

LAYOUTS = {
    "sentencepiece": BertGenerationTokenizer,
    "bert": WordPieceTokenizer,
    "roberta": ByteLevelBPETokenizer,
    "gpt2": ByteLevelBPETokenizer,
    "fairseq": ByteLevelBPETokenizer,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_tell_the_kind(write, layout):
    directory = write(layout)
    tokenizer = AutoTokenizer.from_pretrained(source=directory)
    assert type(tokenizer) is LAYOUTS[layout]
    own = LAYOUTS[layout].from_pretrained(source=directory)
    assert own.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_of_its_files_names_the_tokenizer(write, layout):
    directory = write(layout)
    expected = AutoTokenizer.from_pretrained(directory).fingerprint
    for file in directory.iterdir():
        assert AutoTokenizer.from_pretrained(file).fingerprint == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_names_may_have_a_prefix(write, layout, tmp_path):
    directory = write(layout)
    expected = AutoTokenizer.from_pretrained(directory).fingerprint
    for file in list(directory.iterdir()):
        file.rename(tmp_path / f"base_{file.name}")
    for file in tmp_path.glob("base_*"):
        assert AutoTokenizer.from_pretrained(file).fingerprint == expected


def test_saved_directories_of_every_kind_are_read(any_tokenizer, tmp_path):
    any_tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    assert type(loaded) is type(any_tokenizer)
    assert loaded.fingerprint == any_tokenizer.fingerprint
    assert loaded.get_vocab() == any_tokenizer.get_vocab()
    file = next(p for p in tmp_path.iterdir() if "config" not in p.name)
    assert type(AutoTokenizer.from_pretrained(file)) is type(any_tokenizer)


def test_all_kinds_have_the_same_methods(any_tokenizer):
    tokenizer = pickle.loads(pickle.dumps(any_tokenizer))
    assert CLASSES[tokenizer.kind] is type(tokenizer)
    text = "the bug"
    ids = tokenizer.encode(text)
    assert tokenizer.encode_batch([text, ""]) == [ids, []]
    assert tokenizer.encode_batch([]) == []
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.get_vocab())
    assert tokenizer.convert_tokens_to_ids("no such piece") == tokenizer.special_ids.unk
    encoded = tokenizer([text, ""], padding=True, pad_to_multiple_of=4)
    assert encoded["input_ids"].dtype == np.int32
    assert encoded["attention_mask"].sum(axis=1).tolist() == [len(ids), 0]
    assert (encoded["input_ids"][1] == tokenizer.special_ids.pad).all()
    assert tokenizer(text, truncation=True, max_length=1)["input_ids"] == ids[:1]
    for wrong in (-100, -1, tokenizer.vocab_size):
        with pytest.raises(errors.TokenizerError, match=f"Id {wrong} is not one of 0"):
            tokenizer.decode([wrong])
    with pytest.raises(errors.TokenizerError, match="expected a string"):
        tokenizer.encode(None)
    with pytest.raises(errors.TokenizerError, match="encode_batch got one text"):
        tokenizer.encode_batch(text)


def test_arguments_override_the_files(write):
    directory = write("bert")
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 5}')
    load = AutoTokenizer.from_pretrained
    assert load(directory).model_max_length == 5
    assert load(directory, model_max_length=7).model_max_length == 7
    assert load(directory, do_lower_case=False).tokenize("The") == ["[UNK]"]
    with pytest.raises(errors.ConfigError, match="no option 'add_prefix_space'"):
        load(directory, add_prefix_space=True)


@pytest.mark.parametrize("layout", ["sentencepiece", "bert"])
def test_a_tf_hub_module_has_its_vocabulary_in_assets(write, tmp_path, layout):
    module = tmp_path / "module"
    expected = AutoTokenizer.from_pretrained(write(layout, "module/assets")).fingerprint
    (module / "saved_model.pb").touch()
    assert AutoTokenizer.from_pretrained(module).fingerprint == expected


def test_a_single_sentencepiece_model_may_have_any_name(write):
    directory = write("sentencepiece")
    expected = AutoTokenizer.from_pretrained(directory).fingerprint
    (directory / "spiece.model").rename(directory / "mine.model")
    assert AutoTokenizer.from_pretrained(directory).fingerprint == expected
    shutil.copy(directory / "mine.model", directory / "yours.model")
    with pytest.raises(errors.TokenizerError, match=r"several \*\.model: name one"):
        AutoTokenizer.from_pretrained(directory)


def test_tokenizer_json_has_precedence_over_vocabulary_files(write, wordpiece):
    directory = write("bert")
    wordpiece.save_pretrained(directory)
    (directory / "vocab.txt").write_text("no vocabulary\n")
    loaded = AutoTokenizer.from_pretrained(directory)
    assert loaded.fingerprint == wordpiece.fingerprint


def test_the_tokenizer_class_decides_between_several_kinds(write, wordpiece, bpe):
    for layout in ("sentencepiece", "bert", "roberta"):
        directory = write(layout)
    with pytest.raises(
        errors.TokenizerError,
        match=r"several tokenizers: spiece\.model \(SentencePiece\); vocab\.txt "
        r"\(WordPiece\); vocab\.json and merges\.txt \(byte-level BPE\)",
    ):
        AutoTokenizer.from_pretrained(directory)
    config = directory / "tokenizer_config.json"
    for name, cls in (
        ("BertTokenizerFast", WordPieceTokenizer),
        ("RobertaTokenizer", ByteLevelBPETokenizer),
        ("BertGenerationTokenizer", BertGenerationTokenizer),
    ):
        config.write_text(json.dumps({"tokenizer_class": name}))
        assert type(AutoTokenizer.from_pretrained(directory)) is cls
    wordpiece.save_pretrained(directory)
    assert type(AutoTokenizer.from_pretrained(directory)) is WordPieceTokenizer
    bpe.save_pretrained(directory)
    assert type(AutoTokenizer.from_pretrained(directory)) is BertGenerationTokenizer


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("bert", "BertJapaneseTokenizer"),
        ("roberta", "CLIPTokenizer"),
        ("sentencepiece", "XLMRobertaTokenizerFast"),
    ],
)
def test_an_unsupported_tokenizer_class_is_an_error(write, layout, name, file):
    directory = write(layout)
    (directory / file).write_text(json.dumps({"tokenizer_class": name}))
    with pytest.raises(errors.TokenizerError, match=name.removesuffix("Fast")):
        AutoTokenizer.from_pretrained(directory)
    for vocabulary in directory.glob("*[!g].*"):
        AutoTokenizer.from_pretrained(vocabulary)  # a named file is read


@pytest.mark.parametrize(
    ("layout", "missing", "message"),
    [
        ("roberta", "merges.txt", r"vocab\.json lacks merges\.txt"),
        ("roberta", "vocab.json", r"merges\.txt lacks vocab\.json"),
        ("gpt2", "vocab.bpe", r"encoder\.json lacks vocab\.bpe"),
        ("fairseq", "encoder.json", r"vocab\.bpe and dict\.txt lacks encoder\.json"),
        ("fairseq", "encoder.json vocab.bpe", r"gpt2_bpe\."),
        (
            "bert",
            "vocab.txt",
            r"holds nothing\. Expected one of: spiece\.model; .*json",
        ),
    ],
)
def test_missing_files_are_named(write, layout, missing, message):
    directory = write(layout)
    for name in missing.split():
        (directory / name).unlink()
    with pytest.raises(errors.TokenizerError, match=message):
        AutoTokenizer.from_pretrained(directory)


def test_a_name_of_the_hub_is_not_downloaded(tmp_path):
    with pytest.raises(errors.TokenizerError, match="nothing is downloaded"):
        AutoTokenizer.from_pretrained(tmp_path / "google" / "bert")


def test_a_class_reads_only_its_own_kind(write):
    directory = write("roberta")
    with pytest.raises(
        errors.TokenizerError,
        match=r"holds merges\.txt, vocab\.json\. Expected one of: tokenizer\.json; "
        r"vocab\.txt\.",
    ):
        WordPieceTokenizer.from_pretrained(directory)
