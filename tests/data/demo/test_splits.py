"""Sentences are split by rewriting, not only by cutting."""

import collections

from bertgen_jax.data.demo import corpora
from bertgen_jax.normalization import SEPARATOR


def halved(source: str) -> str:
    """Cuts a sentence in the middle and adds a full stop."""
    words = source.split()
    middle = len(words) // 2
    return " ".join([*words[:middle], ".", SEPARATOR, *words[middle:]])


def test_splits_are_two_sentences_for_one(all_examples, is_tokenized):
    for example in all_examples("splits"):
        (target,) = example.references
        parts = target.split(f" {SEPARATOR} ")
        assert len(parts) == 2
        assert 10 <= len(example.source.split()) <= 28
        for text in (example.source, *parts):
            assert text[0].isupper()
            assert text.endswith(" .")
            assert text.count(" .") == 1
            assert is_tokenized(text)


def test_cutting_in_the_middle_never_gives_the_target():
    test = corpora.corpus("splits", "test")
    for example in test:
        (target,) = example.references
        assert target not in (example.source, halved(example.source))
        # The target needs a word that the source does not have in this order.
        kept = iter([*halved(example.source).lower().split(), "."])
        assert not all(word in kept for word in target.lower().split())


def test_the_second_sentence_begins_in_many_ways():
    test = [example.references[0] for example in corpora.corpus("splits", "test")]
    seconds = collections.Counter(
        target.split(f" {SEPARATOR} ")[1].split()[0] for target in test
    )
    assert {"She", "He", "It", "They", "Its", "As", "However", "Then"} <= set(seconds)
    assert max(seconds.values()) < len(test) / 3
