"""The embedded corpora: always the same, disjoint, and not to be had by copying."""

import hashlib
import itertools
import re

import pytest

from bertgen_jax import errors
from bertgen_jax.data.demo import corpora, news_stories
from bertgen_jax.data.demo import draw as draw_lib

SPLITS = ("train", "validation", "test")


def sentences(text: str) -> list[str]:
    return re.split(r'(?<=[.?!"]) (?=[A-Z"])', text)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_splits_have_their_sizes_and_ids_that_count(name):
    for split in SPLITS:
        examples = corpora.corpus(name, split)
        assert len(examples) == corpora.SIZES[split]
        assert examples[16].id == f"{name}-{split}-17"
        assert len({example.id for example in examples}) == len(examples)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_no_text_of_one_split_stands_in_another(name):
    examples = [example for split in SPLITS for example in corpora.corpus(name, split)]
    assert len({example.source for example in examples}) == len(examples)
    assert len({example.references for example in examples}) == len(examples)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_training_has_met_every_word_of_the_other_splits(name):
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
    pairs = set(itertools.islice(corpora.CORPORA[name](draw_lib.Draw(seed=1)), 20_000))
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


def test_news_is_plain_text_of_the_size_of_a_news_item():
    for split in SPLITS:
        for example in corpora.corpus("news", split):
            (summary,) = example.references
            assert 20 <= len(example.source.split()) <= 110
            assert 8 <= len(summary.split()) <= 18
            assert 4 <= len(sentences(example.source)) <= 9
            for text in (example.source, summary):
                assert text[0].isupper() or text[0] == '"'
                assert text.endswith(".")
                assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiouh]", text)
                # No sentence begins in lower case, none ends in ",." or "..".
                assert not re.search(r"[.?!] [a-z]|[.,][.,]", text)


def test_copying_is_a_poor_summary_of_news(mean_rouge_l):
    test = corpora.corpus("news", "test")
    first = mean_rouge_l(test, lambda example: sentences(example.source)[0])
    assert 5 < first < 22

    def best_sentence(example):
        return max(
            sentences(example.source),
            key=lambda sentence: mean_rouge_l([example], lambda _: sentence),
        )

    assert mean_rouge_l(test, best_sentence) < 40
    assert mean_rouge_l(test, lambda example: example.source) < 30


@pytest.mark.parametrize("kind", news_stories.STORIES)
def test_a_name_is_never_in_the_summary_and_in_an_aside(kind):
    draw = draw_lib.Draw(seed=1)
    for _ in range(200):
        story = kind(draw)
        in_asides = set(re.findall(r"[A-Z]\w+", " ".join(story.asides)))
        in_asides -= {"The", "A", "In", "Free", "Judge", "Last", "Schools", "Similar"}
        in_asides -= {*news_stories.MONTHS, "University"}
        assert not in_asides & set(re.findall(r"[A-Z]\w+", story.summary))


def test_an_unknown_corpus_or_split_is_an_error_that_suggests():
    with pytest.raises(errors.DataError, match=r"'new'.*Did you mean 'news'\?"):
        corpora.corpus("new", "train")
    with pytest.raises(errors.DataError, match=r"'valid'.*Did you mean 'validation'\?"):
        corpora.corpus("news", "valid")


def test_draws_are_python_promised_numbers():
    draw = draw_lib.Draw(seed=0)
    assert [draw.number(10, 90, 20) for _ in range(8)] == [
        90,
        70,
        50,
        30,
        50,
        50,
        70,
        30,
    ]
    assert sorted(draw.several("abc", 3)) == ["a", "b", "c"]
    assert [draw_lib.Draw(seed=0).chance(p) for p in (0.84, 0.85)] == [False, True]
