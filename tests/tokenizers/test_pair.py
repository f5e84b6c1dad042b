"""Tests of `TokenizerPair`: generated ids as text."""

import numpy as np
import pytest

from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

TEXT = "it sank . <::::> who cared . <::::> all ."


@pytest.fixture(scope="module")
def learned():
    return train_sentencepiece([TEXT, "nobody was hurt"] * 3, 50)


def test_generated_text_keeps_the_separator(learned):
    pair = TokenizerPair.of(learned)
    special = learned.special_ids
    ids = [*learned.encode(TEXT), special.eos, special.pad]
    assert learned.decode(ids, skip_special_tokens=True).count("<::::>") == 0
    assert pair.generated_text(ids) == TEXT
    assert pair.generated_text(np.array(ids)) == TEXT
    assert pair.generated_text([special.sep, special.eos]) == "<::::>"
    assert pair.generated_text([special.pad]) == ""


def test_text_without_a_separator_is_decoded_as_usual(learned):
    ids = [learned.special_ids.bos, *learned.encode("nobody was hurt")]
    assert TokenizerPair.of(learned).generated_text(ids) == "nobody was hurt"


def test_the_end_of_a_text_is_dropped(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "sank"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    tokenizer = WordPieceTokenizer(tmp_path / "vocab.txt")
    ids = [*tokenizer.encode("it sank"), tokenizer.special_ids.eos]
    assert TokenizerPair.of(tokenizer).generated_text(ids) == "it sank"


def test_the_published_vocabulary_has_a_separator(data_dir):
    tokenizer = AutoTokenizer.from_pretrained(
        data_dir / "vocab" / "bertgen_50358.model"
    )
    pair = TokenizerPair.of(tokenizer)
    assert pair.generated_text([2, 30996, 865, 33, 609, 1]) == "sank . <::::> who"
