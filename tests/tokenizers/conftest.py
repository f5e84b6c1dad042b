"""Two small tokenizers, one of each kind that can be trained."""

import pytest

from bertgen_jax.tokenizers import sentencepiece_training

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven")
COLOURS = ("red", "green", "blue", "white", "black")
SENTENCES = [
    f"The {colour} house has {number} doors, and “{other}” windows: café n° {n}!"
    for n, number in enumerate(NUMBERS)
    for colour in COLOURS
    for other in COLOURS
]


@pytest.fixture(scope="session")
def bpe():
    return sentencepiece_training.train_sentencepiece(SENTENCES, 120)


@pytest.fixture(scope="session")
def unigram():
    return sentencepiece_training.train_sentencepiece(
        SENTENCES, 90, model_type="unigram"
    )


@pytest.fixture(scope="session", params=["bpe", "unigram"])
def tokenizer(request):
    return request.getfixturevalue(request.param)
