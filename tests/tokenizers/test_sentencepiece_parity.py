"""Tests that ids and text equal those of `transformers.BertGenerationTokenizer`."""

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
    """Our tokenizer and Hugging Face's, of one model."""
    transformers = pytest.importorskip("transformers")
    if request.param in ("bpe", "unigram"):
        trained = {"bpe": bpe, "unigram": unigram}[request.param]
        (path,) = trained.save_vocabulary(tmp_path)
    else:
        path = request.getfixturevalue("data_dir") / "vocab" / request.param
    hugging_face = transformers.BertGenerationTokenizer(str(path))
    return BertGenerationTokenizer(path), hugging_face


def test_special_ids_and_vocabulary(pair):
    ours, hugging_face = pair
    ids = ours.special_ids
    assert (ids.pad, ids.eos, ids.bos) == (
        *(
            hugging_face.pad_token_id,
            hugging_face.eos_token_id,
            hugging_face.bos_token_id,
        ),
    )
    assert (ids.unk, ids.sep) == (hugging_face.unk_token_id, hugging_face.sep_token_id)
    assert ours.vocab_size == len(hugging_face)
    assert ours.get_vocab() == hugging_face.get_vocab()


def test_encoding(pair):
    ours, hugging_face = pair
    for text, ids in zip(TEXTS, ours.encode_batch(TEXTS), strict=True):
        assert ids == hugging_face.encode(text), text
        assert ours.tokenize(text) == hugging_face.tokenize(text), text


def test_decoding(pair):
    ours, hugging_face = pair
    rows = ours.encode_batch(TEXTS)
    generator = np.random.default_rng(0)
    rows += [generator.integers(ours.vocab_size, size=9).tolist() for _ in range(500)]
    for row in rows:
        for skip in (False, True):
            for clean_up in (False, True):
                assert ours.decode(row, skip, clean_up) == hugging_face.decode(
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
    ours, hugging_face = pair
    texts = ["the red house", "<s> blue", "", "a black door and five windows </s>"]
    expected = hugging_face(texts, **arguments)
    encoded = ours(texts, **arguments)
    for name in ("input_ids", "attention_mask"):
        assert [list(row) for row in encoded[name]] == expected[name]
    expected = hugging_face(texts[0], **arguments)
    assert list(ours(texts[0], **arguments)["input_ids"]) == expected["input_ids"]


def test_hugging_face_loads_saved_directories(tmp_path, bpe_model):
    transformers = pytest.importorskip("transformers")
    ours = BertGenerationTokenizer(
        bpe_model,
        sep_token="[SEP]",
        extra_special_tokens=("[X]", "[Y]"),
        added_tokens=[AddedToken("zebra", 120)],
        model_max_length=32,
        clean_up_tokenization_spaces=True,
        # Hugging Face does not do this; none of these texts needs it.
        normalization=("nfc",),
    )
    ours.save_pretrained(tmp_path)
    for hugging_face in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.BertGenerationTokenizer.from_pretrained(tmp_path),
    ):
        assert type(hugging_face).__name__ == "BertGenerationTokenizer"
        assert len(hugging_face) == ours.vocab_size
        assert hugging_face.model_max_length == 32
        for text in ("red zebra[X] , blue", "[SEP]<s>[Y]", "zebrazebra"):
            ids = ours.encode(text)
            assert hugging_face.encode(text) == ids
            for skip in (False, True):
                assert hugging_face.decode(
                    ids, skip_special_tokens=skip
                ) == ours.decode(ids, skip)


def test_directories_of_hugging_face_are_loaded(tmp_path, bpe):
    transformers = pytest.importorskip("transformers")
    (path,) = bpe.save_vocabulary(tmp_path)
    hugging_face = transformers.BertGenerationTokenizer(path, sep_token="[SEP]")
    hugging_face.add_tokens(["zebra", "two words"])
    hugging_face.add_special_tokens({"extra_special_tokens": ["[X]"]})
    hugging_face.save_pretrained(tmp_path / "saved")
    ours = BertGenerationTokenizer.from_pretrained(tmp_path / "saved")
    assert ours.vocab_size == len(hugging_face)
    for text in ("a two words zebra [X]", "[SEP]<::::>[X]"):
        ids = hugging_face.encode(text)
        assert ours.encode(text) == ids
        assert ours.decode(ids, True) == hugging_face.decode(
            ids, skip_special_tokens=True
        )


def test_hugging_face_preserves_our_settings(tmp_path, bpe_model):
    transformers = pytest.importorskip("transformers")
    ours = BertGenerationTokenizer(bpe_model, normalization=("quotes", "dashes"))
    ours.save_pretrained(tmp_path / "ours")
    hugging_face = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    hugging_face.save_pretrained(tmp_path / "hugging_face")
    back = BertGenerationTokenizer.from_pretrained(tmp_path / "hugging_face")
    assert back.fingerprint == ours.fingerprint
