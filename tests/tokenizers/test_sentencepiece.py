"""Tests of `BertGenerationTokenizer`, with vocabularies trained here."""

import pickle
from concurrent import futures

import hypothesis
import numpy as np
import pytest
import sentencepiece
from hypothesis import strategies

from bertgen_jax import errors
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.sentencepiece import (
    BertGenerationTokenizer,
    SentencePieceEngine,
    load_model,
)

SPECIALS = ("<pad>", "</s>", "<s>", "<unk>", "<::::>")
# Any unicode, lone surrogates too, with special strings thrown in.


TEXTS = strategies.lists(
    strategies.one_of(
        strategies.text(max_size=8), strategies.sampled_from([*SPECIALS, " ", "<s"])
    ),
    max_size=6,
).map("".join)


def test_special_ids_come_from_the_model(tokenizer):
    ids = tokenizer.special_ids
    assert (ids.pad, ids.eos, ids.bos, ids.unk, ids.sep) == (0, 1, 2, 3, 4)
    assert tokenizer.convert_ids_to_tokens(range(5)) == [
        *("<pad>", "</s>", "<s>", "<unk>", "<::::>")
    ]


def test_encoding_adds_no_special_ids(tokenizer):
    assert tokenizer.encode("") == []
    assert not set(tokenizer.encode("The red house")) & {0, 1, 2, 3, 4}


def test_special_strings_are_one_id_each_without_spaces_around(tokenizer):
    red, house = tokenizer.encode("red"), tokenizer.encode("house")
    for text in ("<s>red<::::>house</s>", " <s> red  <::::> house </s> "):
        assert tokenizer.encode(text) == [2, *red, 4, *house, 1]
    assert tokenizer.encode("<s></s><pad><unk>") == [2, 1, 0, 3]


def test_the_longer_of_two_overlapping_special_strings_wins(bpe_model):
    both = BertGenerationTokenizer(bpe_model, extra_special_tokens=("<s>a", "<s>ab"))
    assert both.tokenize("<s>ab <s>a <s>") == ["<s>ab", "<s>a", "<s>"]


def test_decoding_puts_a_space_before_each_word(tokenizer):
    ids = tokenizer.encode("<s>The red house</s>")
    assert tokenizer.decode(ids) == "<s> The red house</s>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The red house"
    assert tokenizer.decode(np.array(ids), True) == "The red house"
    assert tokenizer.batch_decode([ids, []], True) == ["The red house", ""]


def test_unknown_characters_become_unk_and_are_skipped_like_it(tokenizer):
    ids = tokenizer.encode("The 猫 house")
    assert 3 in ids
    assert tokenizer.decode(ids) == "The <unk> house"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The  house"


def test_tokenize_gives_the_pieces_of_the_ids(tokenizer):
    text = "<s>The red 猫"
    pieces = tokenizer.tokenize(text)
    assert pieces[0] == "<s>"
    assert pieces[-1] == "猫"
    assert "".join(pieces[1:]).replace("▁", " ").strip() == "The red 猫"
    assert tokenizer.convert_tokens_to_ids(pieces) == tokenizer.encode(text)


def test_strings_that_the_model_lacks_get_ids_after_it(bpe, bpe_model):
    more = BertGenerationTokenizer(
        bpe_model, sep_token="[SEP]", bos_token="[GO]", extra_special_tokens=("[X]",)
    )
    # In Hugging Face's order: beginning, separator, then the extra ones.
    assert more.special_ids.bos == bpe.vocab_size
    assert more.special_ids.sep == bpe.vocab_size + 1
    assert more.vocab_size == bpe.vocab_size + 3
    ids = more.encode("[GO]red[X]")
    assert ids == [bpe.vocab_size, *bpe.encode("red"), bpe.vocab_size + 2]
    assert more.decode(ids) == "[GO] red[X]"
    assert more.decode(ids, skip_special_tokens=True) == "red"


def test_added_strings_have_their_own_ids_and_are_not_special(bpe, bpe_model):
    place = bpe.vocab_size
    more = BertGenerationTokenizer(bpe_model, added_tokens=[AddedToken("zebra", place)])
    assert more.encode("red zebra") == [*bpe.encode("red"), place]
    assert more.decode([place, 1], skip_special_tokens=True) == "zebra"
    assert more.vocab_size == place + 1


def test_roles_without_a_string_have_no_id(bpe_model):
    bare = BertGenerationTokenizer(bpe_model, bos_token=None, sep_token=None)
    assert bare.special_ids.bos is bare.special_ids.sep is None
    for role in ("pad_token", "eos_token", "unk_token"):
        with pytest.raises(errors.ConfigError, match=f"{role} is None"):
            BertGenerationTokenizer(bpe_model, **{role: None})


def test_special_ids_around_sources_are_optional(bpe, bpe_model):
    assert bpe.source_prefix == bpe.source_suffix == ()
    around = BertGenerationTokenizer(bpe_model, source_specials=True)
    assert (around.source_prefix, around.source_suffix) == ((2,), (1,))
    assert around.encode("red house") == bpe.encode("red house")
    assert around.fingerprint != bpe.fingerprint
    with pytest.raises(errors.ConfigError, match="has only '</s>'"):
        BertGenerationTokenizer(bpe_model, bos_token=None, source_specials=True)


def test_normalization_changes_ids_and_the_fingerprint(bpe, bpe_model):
    text = "‘red’ house"
    assert 3 in bpe.encode(text)
    straight = BertGenerationTokenizer(bpe_model, normalization=("quotes",))
    assert straight.encode(text) == bpe.encode("'red' house")
    assert straight.fingerprint != bpe.fingerprint


def test_fingerprints_tell_tokenizers_apart(bpe, bpe_model, unigram):
    variants = [
        bpe,
        unigram,
        BertGenerationTokenizer(bpe_model, normalization=("nfc",)),
        BertGenerationTokenizer(bpe_model, sep_token="[SEP]"),
        BertGenerationTokenizer(bpe_model, bos_token="</s>", eos_token="<s>"),
        BertGenerationTokenizer(bpe_model, added_tokens=[AddedToken("zebra", 200)]),
        BertGenerationTokenizer(bpe_model, sp_model_kwargs={"enable_sampling": True}),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert BertGenerationTokenizer(bpe_model).fingerprint == bpe.fingerprint


def test_sampling_varies_the_ids_of_a_text(unigram_model):
    sampling = BertGenerationTokenizer(
        unigram_model,
        sp_model_kwargs={"enable_sampling": True, "nbest_size": -1, "alpha": 0.1},
    )
    text = "The green house has seven doors"
    drawn = {tuple(sampling.encode(text)) for _ in range(30)}
    assert len(drawn) > 1
    assert {sampling.decode(ids) for ids in drawn} == {text}


@pytest.mark.parametrize(
    ("sp_model_kwargs", "message"),
    [
        ({"enable_samplin": True}, r"Did you mean 'enable_sampling'\?"),
        ({"enable_sampling": True, "nbest_size": 1}, "nbest_size=1"),
        ({"enable_sampling": "yes"}, "enable_sampling of .* is 'yes'; expected a bool"),
        ({"alpha": None}, "alpha of sp_model_kwargs is None; expected a float"),
    ],
)
def test_wrong_sampling_arguments_are_errors(bpe_model, sp_model_kwargs, message):
    with pytest.raises(errors.ConfigError, match=message):
        BertGenerationTokenizer(bpe_model, sp_model_kwargs=sp_model_kwargs)


def test_pickles_and_threads_give_the_same_ids(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.fingerprint == tokenizer.fingerprint
    texts = [f"<s>The {n} red houses" for n in range(200)]
    alone = [tokenizer.encode(text) for text in texts]
    with futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.encode, texts)) == alone
    assert tokenizer.encode_batch(texts) == alone


@pytest.mark.parametrize(
    ("setting", "count", "threads"), [(None, 2, -1), ("false", 2, 1), (None, 1, 1)]
)
def test_a_process_that_has_one_core_starts_no_threads(
    setting, count, threads, monkeypatch
):
    if setting is None:
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    else:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", setting)
    seen = []

    class Processor:
        def encode(self, texts, num_threads):
            seen.append(num_threads)
            return [[7] for _ in texts]

    engine = SentencePieceEngine(Processor(), [])
    engine.add_tokens({3: AddedToken("<s>", 3)})
    assert engine.encode(["a"] * count) == [[7]] * count
    assert seen == [threads]


@hypothesis.given(strategies.lists(TEXTS, max_size=4))
@hypothesis.settings(
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_a_batch_encodes_each_text_as_alone(bpe, texts):
    rows = bpe.encode_batch(texts)
    assert rows == [bpe.encode(text) for text in texts]
    assert all(0 <= index < bpe.vocab_size for row in rows for index in row)
    assert bpe.batch_decode(rows) == [bpe.decode(row) for row in rows]


@hypothesis.given(strategies.lists(strategies.from_regex("[a-z]{1,9}", fullmatch=True)))
@hypothesis.settings(deadline=None)
def test_words_of_known_letters_survive_a_round_trip(bpe, words):
    known = [word for word in words if 3 not in bpe.encode(word)]
    text = " ".join(known)
    assert bpe.decode(bpe.encode(text)) == text


FOREIGN = {
    "empty": b"",
    "text": b"the quick brown fox\n" * 50,
    "json": b'{"vocab": ["a", "b"]}',
    "gzip": b"\x1f\x8b\x08" + bytes(range(256)) * 8,
    "zeros": bytes(1000),
    "random": np.random.default_rng(0).bytes(3000),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_errors_that_name_the_file(tmp_path, kind):
    path = tmp_path / "spiece.model"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(errors.TokenizerError, match=r"spiece\.model is "):
        BertGenerationTokenizer(path)
    with pytest.raises(errors.TokenizerError, match="given as bytes is "):
        BertGenerationTokenizer(FOREIGN[kind])


def test_a_truncated_model_is_an_error(bpe_model):
    for length in range(len(bpe_model) - 100):
        with pytest.raises(errors.TokenizerError):
            load_model(bpe_model[:length], {})


def test_a_model_cut_off_between_two_pieces_is_reported_as_cut_off(bpe_model):
    # Each piece is a field of its own, so the library accepts such a beginning.
    beginnings = (bpe_model[:length] for length in range(200, 400))
    messages = []
    for model in beginnings:
        with pytest.raises(errors.TokenizerError) as caught:
            load_model(model, {})
        messages.append(str(caught.value))
    assert any("is cut off: its " in message for message in messages)


def test_a_missing_or_unreadable_file_is_an_error(tmp_path):
    with pytest.raises(errors.TokenizerError, match="No such file"):
        BertGenerationTokenizer(tmp_path / "spiece.model")
    with pytest.raises(errors.TokenizerError, match="directory"):
        BertGenerationTokenizer(tmp_path)


def test_our_module_does_not_hide_the_library_of_the_same_name():
    assert hasattr(sentencepiece, "SentencePieceProcessor")
