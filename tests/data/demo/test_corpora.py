"""The embedded corpora are always the same, disjoint and plain text."""

import hashlib
import itertools
import re

import pytest

from bertgen_jax import errors
from bertgen_jax.data.demo import corpora
from bertgen_jax.data.demo.draw import Draw

SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_splits_have_their_sizes_and_distinct_ids(name):
    for split in SPLITS:
        examples = corpora.corpus(name, split)
        assert len(examples) == corpora.SIZES[split]
        assert examples[16].id == f"{name}-{split}-17"
        assert len({example.id for example in examples}) == len(examples)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_no_text_of_one_split_occurs_in_another(name):
    examples = [example for split in SPLITS for example in corpora.corpus(name, split)]
    assert len({example.source for example in examples}) == len(examples)
    assert len({example.references for example in examples}) == len(examples)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_training_contains_every_word_of_the_other_splits(name):
    def words(split):
        return {
            word
            for example in corpora.corpus(name, split)
            for word in re.findall(r"\w+", example.source + " " + example.references[0])
        }

    assert words("validation") | words("test") <= words("train")


DIGESTS = {  # the first 64 bits
    "english_german": "f91d70af78a033a2",
    "fusions": "825a150ed9d7c2f1",
    "german_english": "368f2fb11ef5859f",
    "headlines": "4b4485feb42bc292",
    "highlights": "7147766e73eae148",
    "news": "babfd2cd4e32bb06",
    "splits": "42a02b34441f1ef3",
}


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_a_corpus_is_the_same_on_every_machine(name):
    digest = hashlib.sha256()
    for split in SPLITS:
        for example in corpora.corpus(name, split):
            digest.update("\t".join([example.source, *example.references]).encode())
    assert digest.hexdigest().startswith(DIGESTS[name])


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_one_source_has_one_target(name):
    pairs = set(itertools.islice(corpora.CORPORA[name](Draw(seed=1)), 20_000))
    assert len({source for source, _ in pairs}) == len(pairs)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_texts_are_plain(name):
    has_german = name in ("english_german", "german_english")
    for split in SPLITS:
        for example in corpora.corpus(name, split):
            (target,) = example.references
            for text in (example.source, target):
                assert text == "\n".join(
                    map(" ".join, map(str.split, text.split("\n")))
                )
                if has_german:
                    text = re.sub("[äöüÄÖÜß]", "", text)
                assert text.isascii()
                assert not re.search(r"[{}]", text)


def test_an_unknown_corpus_or_split_is_an_error_with_a_suggestion():
    with pytest.raises(errors.DataError, match=r"'new'.*Did you mean 'news'\?"):
        corpora.corpus("new", "train")
    with pytest.raises(errors.DataError, match=r"'valid'.*Did you mean 'validation'\?"):
        corpora.corpus("news", "valid")
