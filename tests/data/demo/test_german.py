"""The German grammar of the demo corpora."""

import re

import pytest

from bertgen_jax.data.demo import german as german_lib


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
    phrases = [
        german_lib.noun_phrase(determiner, "alt", "X", gender, case) for case in cases
    ]
    assert phrases == [f"{form} X" for form in forms]
    bare = german_lib.noun_phrase(determiner, "", "X", gender, "dative")
    assert bare == re.sub(" .* ", " ", phrases[2])


def test_verbs_stand_where_german_has_them():
    verb = german_lib.Verb("ab", "hole holst holt holen", "abgeholt")
    predicates = [
        german_lib.present(verb, "er"),
        german_lib.perfect(verb, "ich"),
        german_lib.modal("will willst will wollen", verb, "wir"),
    ]
    subordinate = [
        german_lib.subordinate_clause("X", verbs, "Y") for verbs in predicates
    ]
    assert subordinate == ["X Y abholt", "X Y abgeholt habe", "X Y abholen wollen"]
    main = [german_lib.main_clause("heute", verbs, "X", "Y") for verbs in predicates]
    assert main == [
        "heute holt X Y ab",
        "heute habe X Y abgeholt",
        "heute wollen X Y abholen",
    ]
    assert german_lib.question(predicates[0], "X", "Y") == "holt X Y ab"
    assert verb.with_zu == "abzuholen"
    assert german_lib.Verb("", "a b c kaufen", "gekauft").with_zu == "zu kaufen"
