"""Fixtures for tests of the embedded corpora."""

import re

import pytest

from bertgen_jax.data.demo import corpora


@pytest.fixture
def all_examples():
    """Returns the examples of all splits of a corpus."""

    def examples(name):
        return [
            example
            for split in corpora.SIZES
            for example in corpora.corpus(name, split)
        ]

    return examples


@pytest.fixture
def is_tokenized():
    """Returns whether punctuation stands apart from words, as in WikiSplit."""

    def check(text):
        return all(re.fullmatch(r"\w+(-\w+)*|[.,]|#+", word) for word in text.split())

    return check
