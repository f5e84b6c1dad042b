"""Tests of tokenizer_config.json: old and new files, and errors that name them."""

import json

import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer


@pytest.fixture
def directory(tmp_path, bpe_model):
    """A directory that holds only a model."""
    (tmp_path / "spiece.model").write_bytes(bpe_model)
    return tmp_path


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def test_saving_and_loading_gives_the_same_tokenizer(tmp_path, bpe, bpe_model):
    saved = BertGenerationTokenizer(
        bpe_model,
        bos_token="[GO]",
        sep_token=None,
        sp_model_kwargs={"enable_sampling": True, "alpha": 0.2},
        normalization=("quotes", "nfc"),
        extra_special_tokens=("[X]",),
        added_tokens=[AddedToken("zebra", 300)],
        source_specials=True,
        model_max_length=64,
        clean_up_tokenization_spaces=True,
    )
    saved.save_pretrained(tmp_path / "new" / "folder")
    loaded = BertGenerationTokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert loaded.fingerprint == saved.fingerprint
    assert loaded.special_ids == saved.special_ids
    assert loaded.special_ids.sep is None
    assert loaded.source_prefix == saved.source_prefix == (loaded.special_ids.bos,)
    assert loaded.normalization == ("quotes", "nfc")
    assert loaded.model_max_length == 64
    assert loaded.decode(bpe.encode("red !")) == "red!"
    assert loaded.decode([300, loaded.get_vocab()["[X]"]], True) == "zebra"
    loaded.save_pretrained(tmp_path / "again")
    for name in ("spiece.model", "tokenizer_config.json"):
        first, second = (tmp_path / "new" / "folder" / name, tmp_path / "again" / name)
        assert first.read_bytes() == second.read_bytes()


def test_save_vocabulary_writes_the_model_under_a_prefix(tmp_path, bpe):
    (path,) = bpe.save_vocabulary(tmp_path, filename_prefix="mine")
    assert path == str(tmp_path / "mine-spiece.model")
    assert BertGenerationTokenizer(path).fingerprint == bpe.fingerprint


@pytest.mark.parametrize("name", ["", "spiece.model"])
def test_a_model_alone_is_enough(directory, bpe, name):
    loaded = BertGenerationTokenizer.from_pretrained(directory / name)
    assert loaded.fingerprint == bpe.fingerprint


def test_arguments_override_the_files(directory):
    write(
        directory / "tokenizer_config.json", {"bertgen_jax": {"normalization": ["nfc"]}}
    )
    load = BertGenerationTokenizer.from_pretrained
    assert load(directory).normalization == ("nfc",)
    assert load(directory, normalization=("dashes",)).normalization == ("dashes",)


def test_unknown_keys_are_accepted(directory, bpe):
    write(
        directory / "tokenizer_config.json",
        {
            "keep_accents": True,
            "tokenizer_class": "BertGenerationTokenizer",
            "model_max_length": int(1e30),
            "name_or_path": "somewhere",
            "bos_token": {"content": "<s>", "lstrip": False, "__type": "AddedToken"},
        },
    )
    loaded = BertGenerationTokenizer.from_pretrained(directory)
    assert loaded.fingerprint == bpe.fingerprint
    assert loaded.model_max_length is None


def test_directories_of_version_4_are_read(directory, bpe):
    write(directory / "tokenizer_config.json", {"sep_token": None, "eos_token": "</s>"})
    write(
        directory / "special_tokens_map.json",
        {
            "bos_token": "[GO]",
            "additional_special_tokens": ["[X]"],
            "cls_token": "[CLS]",
        },
    )
    write(directory / "added_tokens.json", {"[GO]": 121, "[X]": 120, "zebra": 122})
    loaded = BertGenerationTokenizer.from_pretrained(directory)
    assert loaded.special_ids.sep is None
    assert loaded.special_ids.bos == 121
    red = bpe.encode("red")
    ids = loaded.encode("[GO]zebra[X][CLS] red")
    assert ids == [121, 122, 120, 123, *red]  # [CLS] is new: after all others
    assert loaded.decode(ids, skip_special_tokens=True) == "zebra red"


def test_the_error_for_a_missing_model_lists_the_files(tmp_path):
    (tmp_path / "spiece.modl").touch()
    (tmp_path / "config.json").touch()
    with pytest.raises(
        errors.TokenizerError,
        match=r"Found no tokenizer in .*holds config\.json, spiece\.modl\. Expected "
        r"one of: spiece\.model; .* Did you mean 'spiece\.modl'\?",
    ):
        BertGenerationTokenizer.from_pretrained(tmp_path)


def test_the_error_describes_empty_and_crowded_directories(tmp_path):
    with pytest.raises(errors.TokenizerError, match="holds nothing"):
        BertGenerationTokenizer.from_pretrained(tmp_path)
    for number in range(12):
        (tmp_path / f"{number:02}").touch()
    with pytest.raises(errors.TokenizerError, match=r"00, .*, 09, \.\.\.\."):
        BertGenerationTokenizer.from_pretrained(tmp_path)


def test_a_name_of_the_hub_is_not_a_directory(tmp_path):
    with pytest.raises(errors.TokenizerError, match="nothing is downloaded"):
        BertGenerationTokenizer.from_pretrained(tmp_path / "google" / "bert_bbc")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", r"tokenizer_config\.json: not JSON \(Expecting property name"),
        ("[]", r"tokenizer_config\.json: found a JSON list, expected a JSON object"),
        ({"eos_token": 5}, "has 5 as a special string"),
        ({"eos_token": {"text": "</s>"}}, "has {'text': '</s>'} as a special string"),
        (
            {"added_tokens_decoder": []},
            r"added_tokens_decoder in .* is \[\]; expected dict",
        ),
        ({"added_tokens_decoder": {"-1": "x"}}, "has '-1' as the id"),
        ({"extra_special_tokens": [5]}, "has 5 as a special string"),
        ({"eos_token": ""}, "has '' as a special string"),
        (
            {"eos_token": {"content": "</s>", "lstrip": 1}},
            "lstrip in .* is 1; expected",
        ),
        ({"added_tokens_decoder": {"9" * 12: "x"}}, "has '9999.*' as the id"),
        ({"model_max_length": "many"}, r"is 'many'; expected int \| float"),
        ({"model_max_length": True}, r"is True; expected int \| float"),
        ({"model_max_length": 0}, "is 0; expected at least 1"),
        ({"bertgen_jax": {"source_specials": "no"}}, "is 'no'; expected bool"),
        ('{"eos_token": 1, "eos_token": 2}', "'eos_token' stands twice in one object"),
        ("[" * 10**5, r"not JSON \(maximum recursion depth"),
        ({"sp_model_kwargs": "x"}, "sp_model_kwargs in .* is 'x'; expected dict"),
        ({"clean_up_tokenization_spaces": "no"}, "is 'no'; expected bool"),
        ({"bertgen_jax": {"normalization": "nfc"}}, "is 'nfc'; expected list"),
    ],
)
def test_errors_in_settings_name_file_and_field(directory, config, message):
    write(directory / "tokenizer_config.json", config)
    with pytest.raises(errors.TokenizerError, match=message):
        BertGenerationTokenizer.from_pretrained(directory)


def test_errors_in_old_ids_name_the_file(directory):
    write(directory / "added_tokens.json", {"[X]": -3})
    with pytest.raises(errors.TokenizerError, match=r"added_tokens\.json has -3 as"):
        BertGenerationTokenizer.from_pretrained(directory)


def test_an_unknown_step_in_a_file_is_an_error(directory):
    write(
        directory / "tokenizer_config.json", {"bertgen_jax": {"normalization": ["nfk"]}}
    )
    with pytest.raises(errors.ConfigError, match=r"Did you mean 'nfc'\?"):
        BertGenerationTokenizer.from_pretrained(directory)
