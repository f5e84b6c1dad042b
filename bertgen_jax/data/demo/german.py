"""German grammar in tables: words and their features in, inflected words out."""

import dataclasses
from typing import Literal

Gender = Literal["m", "f", "n"]
Case = Literal["nominative", "accusative", "dative"]

_CASES: tuple[Case, ...] = ("nominative", "accusative", "dative")
# By gender, the forms of the three cases.
_THE = {
    "m": ("der", "den", "dem"),
    "f": ("die", "die", "der"),
    "n": ("das", "das", "dem"),
}
_LIKE_THE = {"m": ("er", "en", "em"), "f": ("e", "e", "er"), "n": ("es", "es", "em")}
_LIKE_A = {"m": ("", "en", "em"), "f": ("e", "e", "er"), "n": ("", "", "em")}
_AFTER_THE = {"m": ("e", "en", "en"), "f": ("e", "e", "en"), "n": ("e", "e", "en")}
_AFTER_A = {"m": ("er", "en", "en"), "f": ("e", "e", "en"), "n": ("es", "es", "en")}


def noun_phrase(
    determiner: str, adjective: str, noun: str, gender: Gender, case: Case
) -> str:
    """ "dem alten Lehrer".

    Args:
      determiner: "der" or "dies", or like "ein": "ein", "mein", "unser", ...
      adjective: its stem; "" for none.
      noun: of those that have one form in the singular.
      gender: of the noun.
      case: of the whole.
    """
    number = _CASES.index(case)
    if determiner == "der":
        first, endings = _THE[gender][number], _AFTER_THE
    elif determiner == "dies":
        first, endings = "dies" + _LIKE_THE[gender][number], _AFTER_THE
    else:
        first, endings = determiner + _LIKE_A[gender][number], _AFTER_A
    inflected = adjective and adjective + endings[gender][number]
    return " ".join(filter(None, (first, inflected, noun)))


def relative_pronoun(gender: Gender) -> str:
    """That of a subject: "der", "die" or "das"."""
    return _THE[gender][0]


# Whose form a verb takes: I, you (to a friend), he, we; "Sie" takes that of "wir".
Form = Literal["ich", "du", "er", "wir"]
_FORMS: tuple[Form, ...] = ("ich", "du", "er", "wir")
_HAVE = ("habe", "hast", "hat", "haben")
_BE = ("bin", "bist", "ist", "sind")


@dataclasses.dataclass(frozen=True, slots=True)
class Verb:
    """A verb, its separable prefix apart: "ab" and "holen".

    Attributes:
      prefix: "" where there is none.
      forms: of the present: "hole holst holt holen".
      participle: "abgeholt".
      moves: whether its perfect is formed with "sein".
    """

    prefix: str
    forms: str
    participle: str
    moves: bool = False

    @property
    def infinitive(self) -> str:
        """ "abholen"."""
        return self.prefix + self.forms.split()[-1]

    @property
    def with_zu(self) -> str:
        """ "abzuholen", "zu kaufen"."""
        bare = self.forms.split()[-1]
        return f"{self.prefix}zu{bare}" if self.prefix else f"zu {bare}"


@dataclasses.dataclass(frozen=True, slots=True)
class Predicate:
    """The verbs of a clause: the one that is inflected, and what ends the clause."""

    finite: str
    end: str
    last: str  # both, as they end a subordinate clause


def present(verb: Verb, form: Form) -> Predicate:
    """ "holt ... ab", "abholt"."""
    finite = _of(verb.forms, form)
    return Predicate(finite, verb.prefix, verb.prefix + finite)


def perfect(verb: Verb, form: Form) -> Predicate:
    """ "hat ... abgeholt", "abgeholt hat"."""
    finite = (_BE if verb.moves else _HAVE)[_FORMS.index(form)]
    return Predicate(finite, verb.participle, f"{verb.participle} {finite}")


def modal(forms: str, verb: Verb, form: Form) -> Predicate:
    """ "will ... abholen", "abholen will"."""
    finite = _of(forms, form)
    return Predicate(finite, verb.infinitive, f"{verb.infinitive} {finite}")


def _of(forms: str, form: Form) -> str:
    return forms.split()[_FORMS.index(form)]


def main_clause(first: str, predicate: Predicate, *middle: str) -> str:
    """The finite verb is second: "gestern hat Anna den Brief gelesen"."""
    return _join(first, predicate.finite, *middle, predicate.end)


def question(predicate: Predicate, *middle: str) -> str:
    """The finite verb is first: "hat Anna den Brief gelesen"."""
    return _join(predicate.finite, *middle, predicate.end)


def subordinate_clause(first: str, predicate: Predicate, *middle: str) -> str:
    """The finite verb is last: "weil Anna den Brief gelesen hat"."""
    return _join(first, *middle, predicate.last)


def _join(*parts: str) -> str:
    return " ".join(filter(None, parts))
