"""Tests of BERT's tokenizer: pieces, capitals, special strings, files."""

import json
import pickle
from concurrent import futures

import hypothesis
import pytest
from hypothesis import strategies

from bertgen_jax import errors
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer, pieces_with_capitals

CASED = {"The": 25, "##S": 26}
TEXTS = strategies.lists(
    strategies.one_of(
        strategies.text(max_size=8), strategies.sampled_from(["[SEP]", "[MASK]", "the"])
    ),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def cased(word_pieces):
    return WordPieceTokenizer(word_pieces | CASED)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("The BUGS", ["the", "bug", "##s"]),
        ("unbreakable", ["un", "##break", "##able"]),
        ("Café cafe\u0301", ["cafe", "cafe"]),
        ("bug's,bug!", ["bug", "'", "[UNK]", ",", "bug", "!"]),
        ("the\tbug\n\u3000the\u00a0bug", ["the", "bug", "the", "bug"]),
        ("b\x00u\u200bg\ufffd", ["bug"]),  # control characters vanish
        ("a中文b", ["a", "中", "文", "b"]),
        ("bugx", ["[UNK]"]),  # one piece that is missing loses the word
        ("a" * 101, ["[UNK]"]),
    ],
)
def test_pieces_of_a_text(wordpiece, text, pieces):
    assert wordpiece.tokenize(text) == pieces
    assert wordpiece.convert_ids_to_tokens(wordpiece.encode(text)) == pieces


def test_a_word_of_a_hundred_letters_is_still_split(word_pieces):
    tokenizer = WordPieceTokenizer(word_pieces | {"##a": 25})
    assert tokenizer.tokenize("a" * 100) == ["a", *["##a"] * 99]
    assert tokenizer.tokenize("a" * 101) == ["[UNK]"]


def test_special_ids_are_those_of_bert(wordpiece):
    ids = wordpiece.special_ids
    assert (ids.pad, ids.unk, ids.bos, ids.eos, ids.sep, ids.mask) == (0, 2, 3, 4, 4, 5)
    assert wordpiece.vocab_size == 25


def test_special_strings_in_a_text_are_one_id_each(wordpiece):
    assert wordpiece.encode("[CLS]the[MASK] bug[SEP]") == [3, 6, 5, 7, 4]
    assert wordpiece.encode("[mask]") == [2, 2, 2]
    assert wordpiece.encode("[unused1]") == [2, 2, 2]  # nobody said it is special


def test_decoding_joins_words_and_drops_special_strings(wordpiece):
    ids = [3, *wordpiece.encode("The bugs, the unbreakable 'bug'."), 4]
    assert wordpiece.decode(ids) == "[CLS] the bugs, the unbreakable ' bug '. [SEP]"
    assert wordpiece.decode(ids, True) == "the bugs, the unbreakable ' bug '."
    assert wordpiece.decode(ids, True, True) == "the bugs, the unbreakable'bug '."
    assert wordpiece.decode(wordpiece.encode("bug x"), True) == "bug"


def test_an_uncased_vocabulary_removes_capitals_and_accents(wordpiece, cased):
    assert wordpiece.do_lower_case
    assert not cased.do_lower_case
    assert cased.tokenize("The THE Café") == ["The", "[UNK]", "[UNK]"]


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"do_lower_case": True}, ["the", "cafe", "[UNK]"]),
        ({"do_lower_case": False}, ["The", "[UNK]", "[UNK]"]),
        ({"do_lower_case": True, "strip_accents": False}, ["the", "[UNK]", "[UNK]"]),
        ({"do_lower_case": False, "strip_accents": True}, ["The", "cafe", "[UNK]"]),
        ({"tokenize_chinese_chars": False}, ["The", "[UNK]", "[UNK]"]),
    ],
)
def test_arguments_decide_the_casing(word_pieces, options, pieces):
    tokenizer = WordPieceTokenizer(word_pieces | CASED, **options)
    assert tokenizer.tokenize("The café Bx") == pieces


def test_chinese_characters_are_words_by_default(word_pieces):
    joined = WordPieceTokenizer(word_pieces, tokenize_chinese_chars=False)
    assert joined.tokenize("中中") == ["中", "##中"]
    assert WordPieceTokenizer(word_pieces).tokenize("中中") == ["中", "中"]


def test_special_strings_do_not_count_as_capitals():
    assert pieces_with_capitals(["[UNK]", "[unused1]", "<S>", "ℝ", "é", "the"]) == []
    assert pieces_with_capitals(["A", "##B", "é", "É"]) == ["A", "##B", "É"]


@pytest.mark.parametrize(
    ("config", "arguments", "lowers"),
    [
        ({}, {}, False),
        ({"do_lower_case": False}, {}, False),
        ({"do_lower_case": True}, {"do_lower_case": False}, False),
        ({"do_lower_case": True}, {"do_lower_case": True}, True),
        ({}, {"do_lower_case": True}, True),
    ],
)
def test_a_cased_vocabulary_is_lower_cased_only_on_purpose(
    write, tmp_path, config, arguments, lowers
):
    directory = write("bert")
    with (directory / "vocab.txt").open("a") as file:
        file.write("The\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = WordPieceTokenizer.from_pretrained(directory, **arguments)
    assert tokenizer.do_lower_case == lowers
    tokenizer.save_pretrained(tmp_path / "saved")  # and it is asked for once only
    saved = WordPieceTokenizer.from_pretrained(tmp_path / "saved")
    assert saved.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("file", ["tokenizer_config.json", "tokenizer.json"])
def test_a_file_that_lower_cases_a_cased_vocabulary_is_an_error(write, cased, file):
    directory = write("bert")
    cased.save_pretrained(directory)
    value = json.loads((directory / file).read_text())
    if file == "tokenizer.json":
        value["normalizer"]["lowercase"] = True
    else:
        value["do_lower_case"] = True
    (directory / file).write_text(json.dumps(value))
    with pytest.raises(
        errors.TokenizerError,
        match=r"says do_lower_case, but has 2 pieces with capitals, such as 'The', .*"
        r"expected do_lower_case=False as an argument",
    ):
        WordPieceTokenizer.from_pretrained(directory)


def test_tokenizer_config_overrides_tokenizer_json(wordpiece, tmp_path):
    wordpiece.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps(value | {"do_lower_case": False, "strip_accents": True}))
    loaded = WordPieceTokenizer.from_pretrained(tmp_path)
    assert loaded.tokenize("The café") == ["[UNK]", "cafe"]


def test_special_ids_around_sources_are_optional(word_pieces, wordpiece):
    assert wordpiece.source_prefix == wordpiece.source_suffix == ()
    around = WordPieceTokenizer(word_pieces, source_specials=True)
    assert (around.source_prefix, around.source_suffix) == ((3,), (4,))
    assert around.encode("the bug") == wordpiece.encode("the bug")
    own = {"bos_token": "[GO]", "eos_token": "[END]"}
    around = WordPieceTokenizer(word_pieces, source_specials=True, **own)
    assert (around.special_ids.bos, around.special_ids.eos) == (25, 26)
    assert (around.source_prefix, around.source_suffix) == ((3,), (4,))


def test_truncation_and_padding_of_tokenizer_json_are_ignored(wordpiece, tmp_path):
    wordpiece.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    value = json.loads(file.read_text())
    value["truncation"] = {
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    value["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    file.write_text(json.dumps(value))
    loaded = WordPieceTokenizer.from_pretrained(tmp_path)
    assert loaded.encode_batch(["the " * 9, "bug"]) == [[6] * 9, [7]]


def test_missing_special_strings_have_substitutes_or_are_errors(word_pieces):
    bare = {piece: row for row, piece in enumerate(["[UNK]", "[SEP]", "the"])}
    ids = WordPieceTokenizer(bare).special_ids
    assert (ids.bos, ids.mask, ids.pad) == (None, None, 1)  # no [PAD]: that of [SEP]
    named = WordPieceTokenizer(bare, pad_token="[PAD]", cls_token="[CLS]")
    assert (named.special_ids.bos, named.special_ids.pad) == (3, 4)
    with pytest.raises(errors.ConfigError, match=r"has only '\[SEP\]"):
        WordPieceTokenizer(bare, source_specials=True)
    for role, piece in (("unk_token", "[UNK]"), ("sep_token", "[SEP]")):
        pieces = {piece: "<x>"}
        pieces = [pieces.get(p, p) for p in word_pieces]
        pieces = {p: row for row, p in enumerate(pieces)}
        with pytest.raises(errors.TokenizerError, match=f"special string as {role}"):
            WordPieceTokenizer(pieces)
        own = WordPieceTokenizer(pieces, **{role: "<x>"})
        assert own.encode("<x>") == [word_pieces[piece]]


def test_added_strings_have_the_flags_of_their_files(word_pieces, wordpiece, tmp_path):
    tokens = [
        AddedToken("Zoo", 25),  # found in lower-cased text
        AddedToken("[X]", 26, special=True, normalized=False, lstrip=True, rstrip=True),
        AddedToken("bu", 27, single_word=True),
    ]
    tokenizer = WordPieceTokenizer(word_pieces, added_tokens=tokens)
    text = "a zoo b ZOO [X] bug bu"
    assert tokenizer.encode(text) == [23, 25, 24, 25, 26, 7, 27]
    # Some versions of the library give it back lower-cased.
    assert tokenizer.decode([25, 26], skip_special_tokens=True).lower() == "zoo"
    assert tokenizer.vocab_size == 28
    assert tokenizer.get_vocab() == word_pieces | {"Zoo": 25, "[X]": 26, "bu": 27}
    tokenizer.save_pretrained(tmp_path)
    loaded = WordPieceTokenizer.from_pretrained(tmp_path)
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (AddedToken("zebra", 27), "without a gap, so expected 25"),
        (AddedToken("zebra", 7), "has the id 7, but 'bug' is 7 already"),
        (AddedToken("bug", 25), "has the id 25, but 'bug' is 7 already"),
    ],
)
def test_added_ids_that_do_not_fit_are_errors(word_pieces, token, message):
    with pytest.raises(errors.TokenizerError, match=message):
        WordPieceTokenizer(word_pieces, added_tokens=[token])


def test_saving_and_loading_gives_the_same_tokenizer(word_pieces, tmp_path):
    saved = WordPieceTokenizer(
        word_pieces,
        strip_accents=False,
        pad_token="[P]",
        normalization=("quotes",),
        source_specials=True,
        extra_special_tokens=("[X]",),
        model_max_length=77,
        clean_up_tokenization_spaces=True,
    )
    saved.save_pretrained(tmp_path / "first")
    loaded = WordPieceTokenizer.from_pretrained(tmp_path / "first")
    assert loaded.fingerprint == saved.fingerprint
    assert loaded.special_ids == saved.special_ids
    assert loaded.source_prefix == saved.source_prefix == (3,)
    assert loaded.normalization == ("quotes",)
    assert loaded.model_max_length == 77
    assert loaded.decode(loaded.encode("bug ’ a")) == "bug'a"
    loaded.save_pretrained(tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        first, again = tmp_path / "first" / name, tmp_path / "again" / name
        assert first.read_bytes() == again.read_bytes()


def test_fingerprints_tell_tokenizers_apart(word_pieces):
    variants = [
        WordPieceTokenizer(word_pieces),
        WordPieceTokenizer(word_pieces | {"more": 25}),
        WordPieceTokenizer(word_pieces, do_lower_case=False),
        WordPieceTokenizer(word_pieces, strip_accents=False),
        WordPieceTokenizer(word_pieces, tokenize_chinese_chars=False),
        WordPieceTokenizer(word_pieces, normalization=("nfc",)),
        WordPieceTokenizer(word_pieces, source_specials=True),
        WordPieceTokenizer(word_pieces, bos_token="[MASK]"),
        WordPieceTokenizer(word_pieces, extra_special_tokens=("[unused1]",)),
        WordPieceTokenizer(word_pieces, added_tokens=[AddedToken("the", lstrip=True)]),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    again = WordPieceTokenizer(word_pieces, model_max_length=8)
    assert again.fingerprint == variants[0].fingerprint


def test_unknown_options_are_errors(word_pieces):
    with pytest.raises(errors.ConfigError, match=r"Did you mean 'pad_token'\?"):
        WordPieceTokenizer(word_pieces, pad_tokn="[PAD]")


def test_pickles_and_threads_give_the_same_ids(write):
    directory = write("bert")
    tokenizer = WordPieceTokenizer.from_pretrained(directory, source_specials=True)
    data = pickle.dumps(tokenizer)
    (directory / "vocab.txt").unlink()
    copy = pickle.loads(data)
    assert copy.fingerprint == tokenizer.fingerprint
    texts = [f"the {'bug ' * n}[SEP]" for n in range(200)]
    alone = [tokenizer.encode(text) for text in texts]
    with futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.encode, texts)) == alone
    assert tokenizer.encode_batch(texts) == alone


@hypothesis.given(strategies.lists(TEXTS, max_size=4))
@hypothesis.settings(deadline=None)
def test_a_batch_encodes_each_text_as_alone(wordpiece, texts):
    rows = wordpiece.encode_batch(texts)
    assert rows == [wordpiece.encode(text) for text in texts]
    assert all(0 <= index < wordpiece.vocab_size for row in rows for index in row)
    assert wordpiece.batch_decode(rows) == [wordpiece.decode(row) for row in rows]
    for text, row in zip(texts, rows, strict=True):
        assert wordpiece.convert_tokens_to_ids(wordpiece.tokenize(text)) == row
