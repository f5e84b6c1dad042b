"""The sentences are correct in both languages, and differ in their word order."""

import itertools
import re

import pytest

from bertgen_jax.data.demo import corpora, phrases, translations
from bertgen_jax.data.demo.draw import Draw

TESTS = [
    (example.source, example.references[0])
    for example in corpora.corpus("english_german", "test")
]


@pytest.mark.parametrize("action", phrases.ACTIONS, ids=lambda action: action.english)
def test_every_verb_has_its_forms(action):
    assert len(action.english.split()) == 4
    assert len(action.german.forms.split()) == 4
    assert action.german.participle.startswith(action.german.prefix)


@pytest.mark.parametrize(
    ("english", "german"),
    [
        (
            r"^(Yesterday|Last week|On \w+) ",
            r"^(Gestern|Letzte Woche|Am \w+) (ha|i?s|b)",
        ),
        (r" because (he|she|I|we) ", r", weil (er|sie|ich|wir) [^,]* \w+[.]$"),
        (
            r"^(Although|Because) ",
            r"^(Obwohl|Weil) [^,]*, (ist|sind|bin|\w+(en|[est])) ",
        ),
        (r" (says|thinks|knows|hopes) that ", r" (sagt|denkt|weiß|hofft), dass [^,]*$"),
        (r"^Mrs? \w+, .* you ", r"^(Frau|Herr) \w+, (\w+en|sind) Sie "),
        (r"^(?!Mr)\w+, .* you ", r"^\w+, \w+t du "),
        (r" who ", r"^(Der|Die|Das) \w+, (der|die|das) [^,]*, "),
        (r" (tried|promised|forgot) to ", r", [^,]*(zu \w+en|zu\w+en)[.]$"),
        (r" every (day|week|morning)", r"\b[Jj]ede[n]? (Tag|Woche|Morgen)\b"),
        (r" (are|is|am) \w+ing ", r"\b([Gg]erade|[Ii]m Moment)\b"),
    ],
)
def test_german_has_its_own_word_order(english, german):
    pairs = [pair for pair in TESTS if re.search(english, pair[0])]
    assert len(pairs) >= 4
    assert [pair for pair in pairs if not re.search(german, pair[1])] == []


def test_english_has_the_right_article_and_verb():
    for english, _ in itertools.islice(
        translations.english_german(Draw(seed=3)), 5_000
    ):
        assert not re.search(r"\ba [aeio]|\ban (?!hour)[^aeiou]", english)
        assert not re.search(r"\b[IWw]e? (has|is|wants|was)\b", english)


def test_german_nouns_have_capitals_and_english_ones_do_not():
    nouns = [
        *phrases.RELATIVES,
        *phrases.STRANGERS,
        *(noun for things in phrases.THINGS for noun in things.nouns),
    ]
    assert len({german for _, german, _ in nouns}) == len(nouns)
    for english, german, _ in nouns:
        assert english.islower()
        assert german.istitle()


def test_both_directions_have_the_same_sentences():
    for split in corpora.SIZES:
        to_german = corpora.corpus("english_german", split)
        to_english = corpora.corpus("german_english", split)
        for example, reverse in zip(to_german, to_english, strict=True):
            assert (example.source,) == reverse.references
            assert (reverse.source,) == example.references
