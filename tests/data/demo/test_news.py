"""News articles have the size of news items, and copies are poor summaries."""

import collections
import re

import pytest

from bertgen_jax.data.demo import corpora, names, news_stories
from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.metrics import baselines
from bertgen_jax.metrics.text import split_sentences


def sentences(text: str) -> list[str]:
    return re.split(r'(?<=[.?!"]) (?=[A-Z"])', text)


def test_news_is_plain_text_of_the_size_of_a_news_item(all_examples):
    for example in all_examples("news"):
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
    draw = Draw(seed=1)
    for _ in range(200):
        story = kind(draw)
        in_asides = set(re.findall(r"[A-Z]\w+", " ".join(story.asides)))
        in_asides -= {"The", "A", "In", "Free", "Judge", "Last", "Schools", "Similar"}
        in_asides -= {*names.MONTHS, "University"}
        assert not in_asides & set(re.findall(r"[A-Z]\w+", story.summary))


def test_highlights_are_sentences_one_a_line(all_examples):
    numbers = collections.Counter()
    for example in all_examples("highlights"):
        (target,) = example.references
        lines = target.split("\n")
        numbers[len(lines)] += 1
        assert 80 <= len(example.source.split()) <= 130
        assert "\n" not in example.source
        # A model writes one line; it is split where the references have line ends.
        assert split_sentences(" ".join(lines)) == lines
    assert set(numbers) == {2, 3}
    assert min(numbers.values()) > 5_000


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_sentences_are_poor_highlights(count, mean_rouge_l):
    test = corpora.corpus("highlights", "test")
    rouge_l = mean_rouge_l(test, lambda example: baselines.lead(example.source, count))
    assert rouge_l < 30
