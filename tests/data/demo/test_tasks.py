"""Each embedded corpus asks for what its task is about."""

import collections
import re

import pytest

from bertgen_jax.data.columns import Example
from bertgen_jax.data.demo import corpora, draw, fusions
from bertgen_jax.data.demo import fields as fields_lib
from bertgen_jax.metrics import baselines
from bertgen_jax.metrics.text import split_sentences
from bertgen_jax.normalization import SEPARATOR


def every(name: str) -> list[Example]:
    return [
        example for split in corpora.SIZES for example in corpora.corpus(name, split)
    ]


def is_tokenised(text: str) -> bool:
    return all(re.fullmatch(r"\w+(-\w+)*|[.,]|#+", word) for word in text.split())


def halved(source: str) -> str:
    """Two sentences by cutting in the middle, as the worst system would."""
    words = source.split()
    middle = len(words) // 2
    return " ".join([*words[:middle], ".", SEPARATOR, *words[middle:]])


def test_fields_are_drawn_once_and_differ():
    tables = {"city": ("Oakham", "Kelso"), "road": (("from {city}", "to {city2}"),)}
    fields = fields_lib.Fields(draw.Draw(seed=0), tables)
    assert fields.fill("{city} {city}, {city2}") == "Kelso Kelso, Oakham"
    assert fields.sentence("{road[0]} {road[1]}") == "From Kelso to Oakham"


def test_splits_are_two_sentences_for_one():
    for example in every("splits"):
        (target,) = example.references
        parts = target.split(f" {SEPARATOR} ")
        assert len(parts) == 2
        assert 10 <= len(example.source.split()) <= 28
        for text in (example.source, *parts):
            assert text[0].isupper()
            assert text.endswith(" .")
            assert text.count(" .") == 1
            assert is_tokenised(text)


def test_splits_are_not_had_by_cutting():
    test = corpora.corpus("splits", "test")
    for example in test:
        (target,) = example.references
        assert target not in (example.source, halved(example.source))
        # A word is needed that the sentence does not have, or not there.
        kept = iter([*halved(example.source).lower().split(), "."])
        assert not all(word in kept for word in target.lower().split())


def test_the_second_sentence_begins_in_many_ways():
    test = [example.references[0] for example in corpora.corpus("splits", "test")]
    seconds = collections.Counter(
        target.split(f" {SEPARATOR} ")[1].split()[0] for target in test
    )
    assert {"She", "He", "It", "They", "Its", "As", "However", "Then"} <= set(seconds)
    assert max(seconds.values()) < len(test) / 3


def test_fusions_are_two_sentences_in_one_text():
    for example in every("fusions"):
        (target,) = example.references
        assert example.source.count(" .") == 2
        assert target.count(" .") in (1, 2)
        assert is_tokenised(example.source)
        assert is_tokenised(target)
        assert target != example.source


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("PAIR_ANAPHORA", r" \. In \d+ , s?he "),
        ("PAIR_CONN", r" \. As a result , "),
        ("PAIR_CONN_ANAPHORA", r" \. (However|For example) , s?he "),
        ("SINGLE_APPOSITION", r"^\w+ \w+ , a [a-z]+ from \w+ , "),
        ("SINGLE_CATAPHORA", r"^(While|Although) s?he .* , [A-Z]\w+ [A-Z]\w+ "),
        ("SINGLE_CONN_INNER", r"^[^.,]* because "),
        ("SINGLE_CONN_START", r"^When the "),
        ("SINGLE_RELATIVE", r" , (who|which) "),
        ("SINGLE_S_COORD", r" , (but|and|while) (the|[A-Z])"),
        ("SINGLE_S_COORD_ANAPHORA", r" , but it was "),
        ("SINGLE_VP_COORD", r"^[^.,]* in \d+ and [^.,]* \.$"),
    ],
)
def test_each_discourse_type_has_its_form(kind, pattern):
    assert kind in fusions.TYPES
    targets = [example.references[0] for example in corpora.corpus("fusions", "test")]
    assert sum(bool(re.search(pattern, target)) for target in targets) >= 5
    for _, _, fused in fusions.TYPES[kind]:
        fields = fields_lib.Fields(draw.Draw(seed=1), fusions.TABLES)
        assert re.search(pattern, fields.sentence(fused))


def test_headlines_are_short_and_lower_case():
    for example in every("headlines"):
        (target,) = example.references
        assert 14 <= len(example.source.split()) <= 36
        assert 5 <= len(target.split()) <= 9
        assert example.source.endswith(" .")
        assert not target.endswith(".")
        for text in (example.source, target):
            assert text == text.lower()
            assert is_tokenised(text)
            assert not re.search(r"[0-9]|\ba [aeio]|\ban [^aeiouh]", text)


def test_copying_is_a_poor_headline(mean_rouge_l):
    test = corpora.corpus("headlines", "test")
    assert mean_rouge_l(test, lambda example: example.source) < 35
    # As long as headlines are.
    assert mean_rouge_l(test, lambda example: " ".join(example.source.split()[:8])) < 35


def test_highlights_are_sentences_one_a_line():
    numbers = collections.Counter()
    for example in every("highlights"):
        (target,) = example.references
        lines = target.split("\n")
        numbers[len(lines)] += 1
        assert 80 <= len(example.source.split()) <= 130
        assert "\n" not in example.source
        # A model writes one line: sentences end where the lines of references do.
        assert split_sentences(" ".join(lines)) == lines
    assert set(numbers) == {2, 3}
    assert min(numbers.values()) > 5_000


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_first_sentences_are_poor_highlights(count, mean_rouge_l):
    test = corpora.corpus("highlights", "test")
    assert mean_rouge_l(test, lambda one: baselines.lead(one.source, count)) < 30
