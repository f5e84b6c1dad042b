"""Small tokenizers of every kind, and the files that they are read from."""

import json
import pathlib

import pytest

from bertgen_jax.tokenizers import sentencepiece_training
from bertgen_jax.tokenizers.byte_level_bpe import ByteLevelBPETokenizer
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")
COLOURS = ("red", "green", "blue", "white", "black")
SENTENCES = [
    f"The {colour} house has {number} doors, and “{other}” windows: café n° {n}!"
    for n, number in enumerate(NUMBERS)
    for colour in COLOURS
    for other in COLOURS
]
WORD_PIECES = (
    *("[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("the", "bug", "##s", "un", "##break", "##able", "caf", "##e", "e", "cafe"),
    *(".", ",", "'", "!", "中", "文", "##中", "a", "b"),
)
# GPT-2's letters for the bytes: the printable ones stand for themselves.
LETTERS = tuple(map(chr, [*range(33, 127), *range(161, 173), *range(174, 324)]))
MERGES = (("h", "e"), ("Ġ", "t"), ("Ġt", "he"), ("u", "g"), ("b", "ug"), ("Ã", "©"))
MADE = tuple(left + right for left, right in MERGES)
GPT2_PIECES = (*LETTERS, *MADE, "<|endoftext|>")
ROBERTA_PIECES = (
    *("<s>", "<pad>", "</s>", "<unk>"),
    *GPT2_PIECES[::-1],
    *("madeupword0000", "<mask>"),
)


def read_model(tokenizer, directory):
    """Returns the bytes of the SentencePiece model of a tokenizer."""
    (path,) = tokenizer.save_vocabulary(directory)
    return pathlib.Path(path).read_bytes()


def rows(pieces):
    return {piece: row for row, piece in enumerate(pieces)}


@pytest.fixture(scope="session")
def bpe():
    return sentencepiece_training.train_sentencepiece(SENTENCES, 120)


@pytest.fixture(scope="session")
def unigram():
    return sentencepiece_training.train_sentencepiece(
        SENTENCES, 90, model_type="unigram"
    )


@pytest.fixture(scope="session")
def bpe_model(bpe, tmp_path_factory):
    """The SentencePiece model of `bpe`."""
    return read_model(bpe, tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="session")
def unigram_model(unigram, tmp_path_factory):
    """The SentencePiece model of `unigram`."""
    return read_model(unigram, tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="session", params=["bpe", "unigram"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def word_pieces():
    """The vocabulary of `wordpiece`: piece -> row."""
    return rows(WORD_PIECES)


@pytest.fixture(scope="session")
def wordpiece(word_pieces):
    return WordPieceTokenizer(word_pieces)


@pytest.fixture(scope="session")
def gpt2():
    return ByteLevelBPETokenizer(rows(GPT2_PIECES), MERGES)


@pytest.fixture(scope="session")
def roberta():
    return ByteLevelBPETokenizer(rows(ROBERTA_PIECES), MERGES)


@pytest.fixture(scope="session", params=["wordpiece", "gpt2", "roberta", "bpe"])
def any_tokenizer(request):
    """A tokenizer of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def write(tmp_path, bpe, bpe_model):
    """Writes a tokenizer as it is published: (layout, directory) -> the directory."""

    def write_layout(layout, folder="published"):
        directory = pathlib.Path(tmp_path) / folder
        directory.mkdir(parents=True, exist_ok=True)
        merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)
        # fairseq orders pieces by frequency.
        numbers = [rows(GPT2_PIECES)[piece] for piece in GPT2_PIECES[::-1]]
        dictionary = "".join(f"{number} 7\n" for number in numbers)
        files = {
            "sentencepiece": {"spiece.model": bpe_model},
            "bert": {"vocab.txt": "\n".join(WORD_PIECES) + "\n"},
            "roberta": {"vocab.json": rows(ROBERTA_PIECES), "merges.txt": merges},
            "gpt2": {"encoder.json": rows(GPT2_PIECES), "vocab.bpe": merges},
            "fairseq": {
                "dict.txt": dictionary + "madeupword0000 0\n",
                "encoder.json": rows(GPT2_PIECES),
                "vocab.bpe": merges,
            },
        }[layout]
        for name, content in files.items():
            if isinstance(content, dict):
                content = json.dumps(content)
            if isinstance(content, str):
                content = content.encode()
            (directory / name).write_bytes(content)
        return directory

    return write_layout
