"""Ids and text equal those of the peer, transformers' BertGenerationTokenizer."""

import random

import numpy as np
import pytest

from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer

pytestmark = pytest.mark.parity

SPECIALS = ("<pad>", "</s>", "<s>", "<unk>", "<::::>", "[CLS]", "<unused_34>")
ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ABC .,!?'\"()-0123456789",
    "éüßñçøåÉ£€“”‘’–—…«»°½ﬁ\u0301\u00a0\u200b\u3000",
    "\n\t\r  ▁▁",
    "日本語テキスト한국어русскийالعربيةहिन्दी😀👩‍👧",
    "".join(map(chr, range(1, 128))),
)


def random_texts(count: int) -> list[str]:
    """Words, symbols and special strings in a jumble; no lone surrogates."""
    draw = random.Random(7)
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(8)):
            if draw.random() < 0.2:
                parts.append(draw.choice(SPECIALS))
            elif draw.random() < 0.1:
                points = (draw.randrange(0x20, 0x2FFFF) for _ in range(5))
                parts.append(
                    "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)
                )
            else:
                alphabet = draw.choice(ALPHABETS)
                parts.append("".join(draw.choices(alphabet, k=draw.randrange(12))))
        texts.append(draw.choice(("", " ")).join(parts))
    return texts


TEXTS = [
    "",
    " ",
    "<s>",
    " <s> the  bug </s> ",
    "a<::::>b",
    "<s<s>s>",
    "<unk>9é",
    "the bug , he said . it 's n't",
    *random_texts(3000),
]


@pytest.fixture(params=["bpe", "unigram", "bertgen_50358.model", "t5_spiece.model"])
def pair(request, tmp_path, bpe, unigram):
    """Ours and the peer's, of one model."""
    transformers = pytest.importorskip("transformers")
    if request.param in ("bpe", "unigram"):
        trained = {"bpe": bpe, "unigram": unigram}[request.param]
        (path,) = trained.save_vocabulary(tmp_path)
    else:
        path = request.getfixturevalue("data_dir") / "vocab" / request.param
    peer = transformers.BertGenerationTokenizer(str(path))
    return BertGenerationTokenizer(path), peer


def test_special_ids_and_vocabulary(pair):
    ours, peer = pair
    ids = ours.special_ids
    assert (ids.pad, ids.eos, ids.bos) == (
        *(peer.pad_token_id, peer.eos_token_id, peer.bos_token_id),
    )
    assert (ids.unk, ids.sep) == (peer.unk_token_id, peer.sep_token_id)
    assert ours.vocab_size == len(peer)
    assert ours.get_vocab() == peer.get_vocab()


def test_encoding(pair):
    ours, peer = pair
    for text, ids in zip(TEXTS, ours.encode_batch(TEXTS), strict=True):
        assert ids == peer.encode(text), text
        assert ours.tokenize(text) == peer.tokenize(text), text


def test_decoding(pair):
    ours, peer = pair
    rows = ours.encode_batch(TEXTS)
    generator = np.random.default_rng(0)
    rows += [generator.integers(ours.vocab_size, size=9).tolist() for _ in range(500)]
    for row in rows:
        for skip in (False, True):
            for clean_up in (False, True):
                assert ours.decode(row, skip, clean_up) == peer.decode(
                    row,
                    skip_special_tokens=skip,
                    clean_up_tokenization_spaces=clean_up,
                )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": True},
        {"padding": "longest", "pad_to_multiple_of": 8},
        {"padding": True, "padding_side": "left"},
        {"truncation": True, "max_length": 4},
        {"padding": "max_length", "truncation": True, "max_length": 7},
    ],
)
def test_calling_and_padding(pair, arguments):
    ours, peer = pair
    texts = ["the red house", "<s> blue", "", "a black door and five windows </s>"]
    expected = peer(texts, **arguments)
    encoded = ours(texts, **arguments)
    for name in ("input_ids", "attention_mask"):
        assert [list(row) for row in encoded[name]] == expected[name]
    expected = peer(texts[0], **arguments)
    assert list(ours(texts[0], **arguments)["input_ids"]) == expected["input_ids"]


def test_the_peer_loads_what_we_save(tmp_path, bpe_model):
    transformers = pytest.importorskip("transformers")
    ours = BertGenerationTokenizer(
        bpe_model,
        sep_token="[SEP]",
        extra_special_tokens=("[X]", "[Y]"),
        added_tokens=[AddedToken("zebra", 120)],
        model_max_length=32,
        clean_up_tokenization_spaces=True,
        normalization=(
            "nfc",
        ),  # which the peer does not do: none of these texts needs it
    )
    ours.save_pretrained(tmp_path)
    for peer in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.BertGenerationTokenizer.from_pretrained(tmp_path),
    ):
        assert type(peer).__name__ == "BertGenerationTokenizer"
        assert len(peer) == ours.vocab_size
        assert peer.model_max_length == 32
        for text in ("red zebra[X] , blue", "[SEP]<s>[Y]", "zebrazebra"):
            ids = ours.encode(text)
            assert peer.encode(text) == ids
            for skip in (False, True):
                assert peer.decode(ids, skip_special_tokens=skip) == ours.decode(
                    ids, skip
                )


def test_we_load_what_the_peer_saves(tmp_path, bpe):
    transformers = pytest.importorskip("transformers")
    (path,) = bpe.save_vocabulary(tmp_path)
    peer = transformers.BertGenerationTokenizer(path, sep_token="[SEP]")
    peer.add_tokens(["zebra", "two words"])
    peer.add_special_tokens({"extra_special_tokens": ["[X]"]})
    peer.save_pretrained(tmp_path / "saved")
    ours = BertGenerationTokenizer.from_pretrained(tmp_path / "saved")
    assert ours.vocab_size == len(peer)
    for text in ("a two words zebra [X]", "[SEP]<::::>[X]"):
        ids = peer.encode(text)
        assert ours.encode(text) == ids
        assert ours.decode(ids, True) == peer.decode(ids, skip_special_tokens=True)


def test_the_peer_carries_our_settings_along(tmp_path, bpe_model):
    transformers = pytest.importorskip("transformers")
    ours = BertGenerationTokenizer(bpe_model, normalization=("quotes", "dashes"))
    ours.save_pretrained(tmp_path / "ours")
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    peer.save_pretrained(tmp_path / "theirs")
    back = BertGenerationTokenizer.from_pretrained(tmp_path / "theirs")
    assert back.fingerprint == ours.fingerprint
