"""The German grammar that `translations` needs: noun phrases, verbs and word order."""

import dataclasses
from typing import Literal

Gender = Literal["m", "f", "n"]
Case = Literal["nominative", "accusative", "dative"]

_CASES: tuple[Case, ...] = ("nominative", "accusative", "dative")
# The forms of the three cases, by gender.
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
    """Returns an inflected noun phrase in the singular, such as "dem alten Lehrer".

    Args:
      determiner: "der" or "dies", or a word inflected like "ein": "mein", "unser", ...
      adjective: its stem; "" for none.
      noun: must have the same form in all cases.
      gender: of the noun.
      case: of the phrase.
    """
    index = _CASES.index(case)
    if determiner == "der":
        article, endings = _THE[gender][index], _AFTER_THE
    elif determiner == "dies":
        article, endings = "dies" + _LIKE_THE[gender][index], _AFTER_THE
    else:
        article, endings = determiner + _LIKE_A[gender][index], _AFTER_A
    inflected = adjective and adjective + endings[gender][index]
    return " ".join(filter(None, (article, inflected, noun)))


def relative_pronoun(gender: Gender) -> str:
    """Returns the relative pronoun in the nominative: "der", "die" or "das"."""
    return _THE[gender][0]


# The person of a verb: I, you (to a friend), he, we. "Sie" takes the form of "wir".
Form = Literal["ich", "du", "er", "wir"]
_FORMS: tuple[Form, ...] = ("ich", "du", "er", "wir")
_HAVE = ("habe", "hast", "hat", "haben")
_BE = ("bin", "bist", "ist", "sind")


@dataclasses.dataclass(frozen=True, slots=True)
class Verb:
    """A German verb, such as "abholen".

    Attributes:
      prefix: its separable prefix, "ab"; "" for none.
      forms: its present tense without the prefix, "hole holst holt holen".
      participle: "abgeholt".
      moves: whether it is a verb of motion, whose perfect is formed with "sein".
    """

    prefix: str
    forms: str
    participle: str
    moves: bool = False

    @property
    def infinitive(self) -> str:
        """The infinitive, "abholen"."""
        return self.prefix + self.forms.split()[-1]

    @property
    def with_zu(self) -> str:
        """The infinitive with "zu", "abzuholen" or "zu kaufen"."""
        bare = self.forms.split()[-1]
        return f"{self.prefix}zu{bare}" if self.prefix else f"zu {bare}"


@dataclasses.dataclass(frozen=True, slots=True)
class Predicate:
    """The verbs of a clause.

    Attributes:
      finite: the inflected verb, which is second in a main clause: "hat".
      end: the words that end a main clause: "abgeholt".
      last: all verbs, as they end a subordinate clause: "abgeholt hat".
    """

    finite: str
    end: str
    last: str


def present(verb: Verb, form: Form) -> Predicate:
    """Returns the present tense: "holt ... ab", "abholt"."""
    finite = _of(verb.forms, form)
    return Predicate(finite, verb.prefix, verb.prefix + finite)


def perfect(verb: Verb, form: Form) -> Predicate:
    """Returns the perfect tense: "hat ... abgeholt", "abgeholt hat"."""
    finite = (_BE if verb.moves else _HAVE)[_FORMS.index(form)]
    return Predicate(finite, verb.participle, f"{verb.participle} {finite}")


def modal(forms: str, verb: Verb, form: Form) -> Predicate:
    """Returns a modal verb with an infinitive: "will ... abholen", "abholen will"."""
    finite = _of(forms, form)
    return Predicate(finite, verb.infinitive, f"{verb.infinitive} {finite}")


def _of(forms: str, form: Form) -> str:
    return forms.split()[_FORMS.index(form)]


def main_clause(first: str, predicate: Predicate, *middle: str) -> str:
    """Puts the finite verb second: "gestern hat Anna den Brief gelesen"."""
    return _join(first, predicate.finite, *middle, predicate.end)


def question(predicate: Predicate, *middle: str) -> str:
    """Puts the finite verb first: "hat Anna den Brief gelesen"."""
    return _join(predicate.finite, *middle, predicate.end)


def subordinate_clause(first: str, predicate: Predicate, *middle: str) -> str:
    """Puts the finite verb last: "(weil) Anna den Brief gelesen hat"."""
    return _join(first, *middle, predicate.last)


def _join(*parts: str) -> str:
    return " ".join(filter(None, parts))
