"""Tests of GPT-2's and RoBERTa's tokenizer: merges, special strings, files."""

import json
import pickle
from concurrent import futures

import hypothesis
import pytest
from hypothesis import strategies

from bertgen_jax import errors
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer

PAIRS = [("h", "e"), ("Ġ", "t"), ("Ġt", "he")]


@pytest.fixture
def pieces():
    """The smallest vocabulary that can spell a space."""
    names = ["t", "h", "e", "Ġ", "he", "Ġt", "Ġthe", "<|endoftext|>"]
    return {piece: row for row, piece in enumerate(names)}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("the the", ["t", "he", "Ġthe"]),
        (" bug\n", ["Ġ", "bug", "Ċ"]),
        ("é", ["Ã©"]),
        ("中", ["ä", "¸", "Ń"]),
        ("  the", ["Ġ", "Ġthe"]),
        ("<|endoftext|>the", ["<|endoftext|>", "t", "he"]),
    ],
)
def test_pieces_of_a_text(gpt2, text, pieces):
    assert gpt2.tokenize(text) == pieces
    assert gpt2.convert_ids_to_tokens(gpt2.encode(text)) == pieces


def test_earlier_merges_come_first(pieces):
    assert ByteLevelBPETokenizer(pieces, PAIRS).tokenize(" the") == ["Ġthe"]
    pieces["th"] = len(pieces)
    greedy = ByteLevelBPETokenizer(pieces, [("t", "h"), *PAIRS])
    assert greedy.tokenize(" the") == ["Ġ", "th", "e"]


def test_gpt2_has_one_special_id_for_all_roles(gpt2):
    ids, end = gpt2.special_ids, gpt2.get_vocab()["<|endoftext|>"]
    assert (ids.pad, ids.eos, ids.unk, ids.bos) == (end,) * 4
    assert (ids.sep, ids.mask) == (None, None)
    assert gpt2.decode([end, *gpt2.encode("the")], skip_special_tokens=True) == "the"


def test_roberta_has_an_id_for_each_role(roberta):
    ids, mask = roberta.special_ids, roberta.vocab_size - 1
    assert (ids.bos, ids.pad, ids.eos, ids.sep, ids.unk) == (0, 1, 2, 2, 3)
    assert ids.mask == mask
    assert roberta.encode("<s><mask></s>") == [0, mask, 2]
    # An ordinary piece here, which no text is split into.
    assert "<|endoftext|>" not in roberta.tokenize("<|endoftext|>")


def test_special_ids_around_sources_are_optional(write):
    directory = write("roberta")
    load = ByteLevelBPETokenizer.from_pretrained
    assert load(directory).source_prefix == load(directory).source_suffix == ()
    around = load(directory, source_specials=True)
    assert (around.source_prefix, around.source_suffix) == ((0,), (2,))
    assert around.encode("the") == load(directory).encode("the")
    assert around.fingerprint != load(directory).fingerprint


def test_gpt2_has_no_strings_to_put_around_sources(write):
    load = ByteLevelBPETokenizer.from_pretrained
    with pytest.raises(errors.ConfigError, match=r"has only '<\|endoftext\|>"):
        load(write("gpt2"), source_specials=True)
    own = load(write("gpt2"), source_specials=True, bos_token="<go>")
    assert own.source_prefix == (own.vocab_size - 1,)


def test_a_prefix_space_makes_the_first_word_like_the_others(write, tmp_path):
    directory = write("roberta")
    load = ByteLevelBPETokenizer.from_pretrained
    prefixed = load(directory, add_prefix_space=True)
    assert prefixed.tokenize("the the") == ["Ġthe", "Ġthe"]
    assert prefixed.decode(prefixed.encode("the")) == " the"
    prefixed.save_pretrained(tmp_path / "saved")
    assert load(tmp_path / "saved").fingerprint == prefixed.fingerprint
    (directory / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    assert load(directory).fingerprint == prefixed.fingerprint


def test_ids_of_fairseq_are_in_the_order_of_its_dictionary(write, roberta):
    loaded = ByteLevelBPETokenizer.from_pretrained(write("fairseq"))
    assert loaded.get_vocab() == roberta.get_vocab()
    assert loaded.fingerprint == roberta.fingerprint


@pytest.mark.parametrize("layout", ["roberta", "fairseq", "gpt2"])
def test_files_of_each_publisher_give_the_same_tokenizer(write, request, layout):
    expected = request.getfixturevalue("gpt2" if layout == "gpt2" else "roberta")
    loaded = ByteLevelBPETokenizer.from_pretrained(write(layout))
    assert loaded.fingerprint == expected.fingerprint


def test_bytes_without_a_letter_are_unknown(pieces):
    tokenizer = ByteLevelBPETokenizer(pieces, PAIRS)
    assert tokenizer.tokenize("het") == ["he", "t"]
    assert tokenizer.encode("x") == [tokenizer.special_ids.unk]
    named = ByteLevelBPETokenizer(pieces | {"<unk>": 8}, PAIRS, unk_token="<unk>")
    assert named.encode("xé t") == [8, 8, 8, 5]


def test_decoding_keeps_spaces_before_punctuation(write):
    directory = write("gpt2")
    (directory / "tokenizer_config.json").write_text(
        '{"clean_up_tokenization_spaces": true}'
    )
    tokenizer = ByteLevelBPETokenizer.from_pretrained(directory)
    ids = tokenizer.encode("the bug , he said .")
    assert tokenizer.decode(ids) == "the bug , he said ."
    cleaned = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
    assert cleaned == "the bug, he said."


def test_added_strings_have_the_flags_of_their_files(write, tmp_path):
    directory = write("roberta")
    (directory / "special_tokens_map.json").write_text(
        json.dumps({"mask_token": {"content": "<mask>", "lstrip": True}})
    )
    load = ByteLevelBPETokenizer.from_pretrained
    tokenizer = load(directory, added_tokens=[AddedToken("zoo")])
    assert tokenizer.encode("zoo") == [tokenizer.vocab_size - 1]
    tokenizer = load(directory)
    mask = tokenizer.special_ids.mask
    assert tokenizer.encode("the  <mask> the") == [
        *(*tokenizer.encode("the"), mask, *tokenizer.encode(" the"))
    ]
    tokenizer.save_pretrained(tmp_path / "saved")
    assert load(tmp_path / "saved").fingerprint == tokenizer.fingerprint


def test_saving_and_loading_gives_the_same_tokenizer(write, tmp_path):
    saved = ByteLevelBPETokenizer.from_pretrained(
        write("roberta"),
        pad_token="<p>",
        sep_token="[SEP]",
        normalization=("quotes",),
        source_specials=True,
        extra_special_tokens=("[X]",),
        model_max_length=77,
    )
    saved.save_pretrained(tmp_path / "first")
    loaded = ByteLevelBPETokenizer.from_pretrained(tmp_path / "first")
    assert loaded.fingerprint == saved.fingerprint
    assert loaded.special_ids == saved.special_ids
    assert loaded.source_suffix == saved.source_suffix == (loaded.special_ids.sep,)
    assert (loaded.normalization, loaded.model_max_length) == (("quotes",), 77)
    loaded.save_pretrained(tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        first, again = tmp_path / "first" / name, tmp_path / "again" / name
        assert first.read_bytes() == again.read_bytes()


def test_merges_may_be_spelled_as_in_version_4(roberta, tmp_path):
    roberta.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    value = json.loads(file.read_text())
    value["model"]["merges"] = [" ".join(m) for m in value["model"]["merges"]]
    del value["model"]["type"]  # older still
    file.write_text(json.dumps(value))
    loaded = ByteLevelBPETokenizer.from_pretrained(tmp_path)
    assert loaded.fingerprint == roberta.fingerprint


def test_fingerprints_tell_tokenizers_apart(pieces):
    variants = [
        ByteLevelBPETokenizer(pieces, PAIRS),
        ByteLevelBPETokenizer(pieces, PAIRS[:2]),
        ByteLevelBPETokenizer(pieces, [*PAIRS[1::-1], *PAIRS[2:]]),
        ByteLevelBPETokenizer(pieces | {"x": 8}, PAIRS),
        ByteLevelBPETokenizer(pieces, PAIRS, add_prefix_space=True),
        ByteLevelBPETokenizer(pieces, PAIRS, normalization=("nfc",)),
        ByteLevelBPETokenizer(pieces, PAIRS, bos_token="<s>"),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)


def test_a_truncated_file_of_merges_is_an_error(write):
    directory = write("gpt2")
    whole = (directory / "vocab.bpe").read_text()
    for length in range(len(whole) - 1):  # the last line end may be missing
        (directory / "vocab.bpe").write_text(whole[:length])
        with pytest.raises(errors.TokenizerError, match=r"vocab\.bpe"):
            ByteLevelBPETokenizer.from_pretrained(directory)


def test_pickles_and_threads_give_the_same_ids(write):
    directory = write("fairseq")
    tokenizer = ByteLevelBPETokenizer.from_pretrained(directory, model_max_length=5)
    data = pickle.dumps(tokenizer)
    (directory / "dict.txt").unlink()
    copy = pickle.loads(data)
    assert copy.fingerprint == tokenizer.fingerprint
    assert copy.model_max_length == 5
    texts = [f"the {'bug ' * n}</s>" for n in range(200)]
    alone = [tokenizer.encode(text) for text in texts]
    with futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(copy.encode, texts)) == alone
    assert tokenizer.encode_batch(texts) == alone


@hypothesis.given(strategies.lists(strategies.text(max_size=12), max_size=4))
@hypothesis.settings(deadline=None)
def test_decoding_restores_any_text(gpt2, texts):
    rows = gpt2.encode_batch(texts)
    assert rows == [gpt2.encode(text) for text in texts]
    repaired = [
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for text in texts
    ]
    assert gpt2.batch_decode(rows) == repaired
