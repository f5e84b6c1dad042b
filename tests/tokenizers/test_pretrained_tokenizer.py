"""Tests of the methods that tokenizers of every kind share."""

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer


def test_clean_up_removes_spaces_before_punctuation(tokenizer):
    ids = tokenizer.encode("The red house , and windows !")
    assert tokenizer.decode(ids) == "The red house , and windows !"
    cleaned = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
    assert cleaned == "The red house, and windows!"


def test_vocabulary_maps_every_piece_to_its_id(tokenizer):
    vocabulary = tokenizer.get_vocab()
    assert len(vocabulary) == tokenizer.vocab_size == len(tokenizer)
    for piece, index in vocabulary.items():
        assert tokenizer.convert_ids_to_tokens(index) == piece
        assert tokenizer.convert_tokens_to_ids(piece) == index
    assert tokenizer.convert_tokens_to_ids("no such piece") == 3


@pytest.mark.parametrize("wrong", [None, 7, b"red", ["red"]])
def test_only_strings_can_be_encoded(bpe, wrong):
    with pytest.raises(errors.TokenizerError, match="expected a string"):
        bpe.encode(wrong)


def test_one_text_instead_of_a_batch_is_an_error(bpe):
    with pytest.raises(errors.TokenizerError, match="encode_batch got one text"):
        bpe.encode_batch("red")


@pytest.mark.parametrize("wrong", [-100, -1, 120, 50_000])
def test_ids_outside_of_the_vocabulary_are_errors(bpe, wrong):
    with pytest.raises(
        errors.TokenizerError, match=f"Id {wrong} is not one of 0 to 119"
    ):
        bpe.decode([1, wrong])


def test_only_one_row_of_integers_can_be_decoded(bpe):
    with pytest.raises(errors.TokenizerError, match=r"float64 of shape \(1,\)"):
        bpe.decode([1.5])
    with pytest.raises(errors.TokenizerError, match="batch_decode"):
        bpe.decode(np.zeros((2, 3), np.int32))


def test_calling_without_padding_gives_lists(bpe):
    one, two = "The red house", "red"
    encoded = bpe([one, two])
    assert encoded["input_ids"] == [bpe.encode(one), bpe.encode(two)]
    assert encoded["attention_mask"] == [[1] * len(row) for row in encoded["input_ids"]]
    assert bpe(one)["input_ids"] == bpe.encode(one)


def test_calling_with_padding_gives_arrays(bpe):
    encoded = bpe(["The red house", "red"], padding=True, pad_to_multiple_of=8)
    rows = [bpe.encode("The red house"), bpe.encode("red")]
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    assert ids.shape == mask.shape == (2, 8 * -(-len(rows[0]) // 8))
    assert [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)] == rows
    assert (ids[~mask] == 0).all()
    one = bpe("red", padding="max_length", max_length=6, padding_side="left")
    assert one["input_ids"].shape == (6,)
    assert one["attention_mask"].tolist()[-1]
    assert not one["attention_mask"].tolist()[0]


def test_truncation_keeps_the_beginning(bpe, bpe_model):
    text = "The red house has seven doors"
    assert bpe(text, truncation=True, max_length=3)["input_ids"] == bpe.encode(text)[:3]
    short = BertGenerationTokenizer(bpe_model, model_max_length=2)
    assert short(text, truncation=True)["input_ids"] == bpe.encode(text)[:2]
    assert short(text)["input_ids"] == bpe.encode(text)


def test_pad_takes_a_mapping_or_several(bpe):
    rows = [bpe.encode("The red house"), bpe.encode("red")]
    expected = bpe(["The red house", "red"], padding=True)["input_ids"]
    for encoded in ({"input_ids": rows}, [{"input_ids": row} for row in rows]):
        np.testing.assert_array_equal(bpe.pad(encoded)["input_ids"], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truncation": True}, "truncation needs a length, but max_length is None"),
        ({"truncation": True, "max_length": 0}, "max_length is 0"),
        ({"padding": "max_length"}, 'padding="max_length" needs a length'),
        ({"padding": "longst"}, r"Did you mean 'longest'\?"),
    ],
)
def test_invalid_lengths_and_paddings_are_errors(bpe, arguments, message):
    with pytest.raises(errors.ConfigError, match=message):
        bpe("red", **arguments)
