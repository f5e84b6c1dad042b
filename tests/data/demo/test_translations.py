"""The sentences of the demo are right in both languages, and differ in their order."""

import itertools
import re

import pytest

from bertgen_jax.data.demo import (
    corpora,
    draw,
    phrases,
    translations,
)
from bertgen_jax.data.demo import (
    german as german_lib,
)

TESTS = [
    (example.source, example.references[0])
    for example in corpora.corpus("english_german", "test")
]


@pytest.mark.parametrize(
    ("determiner", "gender", "forms"),
    [
        ("der", "m", ("der alte", "den alten", "dem alten")),
        ("der", "f", ("die alte", "die alte", "der alten")),
        ("der", "n", ("das alte", "das alte", "dem alten")),
        ("dies", "m", ("dieser alte", "diesen alten", "diesem alten")),
        ("dies", "f", ("diese alte", "diese alte", "dieser alten")),
        ("dies", "n", ("dieses alte", "dieses alte", "diesem alten")),
        ("ein", "m", ("ein alter", "einen alten", "einem alten")),
        ("ein", "f", ("eine alte", "eine alte", "einer alten")),
        ("ein", "n", ("ein altes", "ein altes", "einem alten")),
    ],
)
def test_articles_and_adjectives_agree(determiner, gender, forms):
    cases = ("nominative", "accusative", "dative")
    found = [
        german_lib.noun_phrase(determiner, "alt", "X", gender, case) for case in cases
    ]
    assert found == [f"{form} X" for form in forms]
    bare = german_lib.noun_phrase(determiner, "", "X", gender, "dative")
    assert bare == re.sub(" .* ", " ", found[2])


def test_verbs_stand_where_german_has_them():
    verb = german_lib.Verb("ab", "hole holst holt holen", "abgeholt")
    predicates = [
        german_lib.present(verb, "er"),
        german_lib.perfect(verb, "ich"),
        german_lib.modal("will willst will wollen", verb, "wir"),
    ]
    subordinate = [german_lib.subordinate_clause("X", one, "Y") for one in predicates]
    assert subordinate == ["X Y abholt", "X Y abgeholt habe", "X Y abholen wollen"]
    main = [german_lib.main_clause("heute", one, "X", "Y") for one in predicates]
    assert main == [
        "heute holt X Y ab",
        "heute habe X Y abgeholt",
        "heute wollen X Y abholen",
    ]
    assert german_lib.question(predicates[0], "X", "Y") == "holt X Y ab"
    assert verb.with_zu == "abzuholen"
    assert german_lib.Verb("", "a b c kaufen", "gekauft").with_zu == "zu kaufen"


@pytest.mark.parametrize("action", phrases.ACTIONS, ids=lambda one: one.english)
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
def test_german_says_it_in_its_own_order(english, german):
    found = [pair for pair in TESTS if re.search(english, pair[0])]
    assert len(found) >= 4
    assert [pair for pair in found if not re.search(german, pair[1])] == []


def test_english_has_the_right_article_and_verb():
    for english, _ in itertools.islice(
        translations.english_german(draw.Draw(seed=3)), 5_000
    ):
        assert not re.search(r"\ba [aeio]|\ban (?!hour)[^aeiou]", english)
        assert not re.search(r"\b[IWw]e? (has|is|wants|was)\b", english)


def test_german_nouns_are_capitals_and_english_ones_are_not():
    nouns = [
        *phrases.RELATIVES,
        *phrases.STRANGERS,
        *(noun for things in phrases.THINGS for noun in things.nouns),
    ]
    assert len({german for _, german, _ in nouns}) == len(nouns)
    for english, german, _ in nouns:
        assert english.islower()
        assert german.istitle()


def test_both_directions_are_the_same_sentences():
    for split in corpora.SIZES:
        there = corpora.corpus("english_german", split)
        back = corpora.corpus("german_english", split)
        for example, other in zip(there, back, strict=True):
            assert (example.source,) == other.references
            assert (other.source,) == example.references
