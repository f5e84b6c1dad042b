"""Draws in; everyday sentences in English and German out.

The two differ in more than words: German puts the finite verb second and the rest of
it last, all of it last in subordinate clauses, splits verbs such as "abholen", inflects
articles and adjectives by gender and case, and addresses strangers as "Sie". Every
sentence has one translation: "every day" and "right now" tell tenses apart that German
does not, and whom a question addresses tells "du" from "Sie".
"""

import dataclasses
from collections.abc import Callable, Iterator

from bertgen_jax.data.demo import german as german_lib
from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.german import (
    Predicate,
    main_clause,
    question,
    subordinate_clause,
)
from bertgen_jax.data.demo.names import DAYS
from bertgen_jax.data.demo.phrases import (
    ACTIONS,
    CITIES,
    GIVING,
    MOVING,
    STRANGERS,
    YOU,
    YOU_FORMAL,
    Action,
    Phrase,
    Subject,
    named,
    somebody,
    something,
    subject,
)

_GERMAN_DAYS = (
    *("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"),
    "Sonntag",
)
BEFORE: tuple[Phrase, ...] = (
    ("yesterday", "gestern"),
    ("last week", "letzte Woche"),
    ("this morning", "heute Morgen"),
    ("an hour ago", "vor einer Stunde"),
    *(
        (f"on {day}", f"am {german}")
        for day, german in zip(DAYS, _GERMAN_DAYS, strict=True)
    ),
)
ALWAYS: tuple[Phrase, ...] = (
    ("every day", "jeden Tag"),
    ("every week", "jede Woche"),
    ("every morning", "jeden Morgen"),
)
NOW: tuple[Phrase, ...] = (("right now", "gerade"), ("at the moment", "im Moment"))
LATER: tuple[Phrase, ...] = (
    ("tomorrow", "morgen"),
    ("next week", "nächste Woche"),
    ("this evening", "heute Abend"),
)
# As English has it without and with an s, and as a question; the German forms.
MODALS = (
    ("want to", "wants to", "do you want to", "will willst will wollen"),
    ("have to", "has to", "do you have to", "muss musst muss müssen"),
    ("can", "can", "can you", "kann kannst kann können"),
    (
        *("would like to", "would like to", "would you like to"),
        "möchte möchtest möchte möchten",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Clause:
    """What a subject does, did or wants to do.

    Attributes:
      subject: who.
      verb: in English, "picked up".
      asks: in English, "did you pick up".
      predicate: in German.
      rest: objects or a destination.
      time: when.
    """

    subject: Subject
    verb: str
    asks: str
    predicate: Predicate
    rest: Phrase
    time: Phrase


def past(draw: Draw, who: Subject) -> Clause:
    """English past tense, German perfect."""
    action, rest = _action(draw, who)
    base, _, verb, _ = _english(action)
    predicate = german_lib.perfect(action.german, who.form)
    return Clause(who, verb, f"did you {base}", predicate, rest, draw.one(BEFORE))


def habit(draw: Draw, who: Subject) -> Clause:
    """English simple present."""
    action, rest = _action(draw, who)
    base, third, _, _ = _english(action)
    verb = third if who.is_third else base
    predicate = german_lib.present(action.german, who.form)
    return Clause(who, verb, f"do you {base}", predicate, rest, draw.one(ALWAYS))


def progress(draw: Draw, who: Subject) -> Clause:
    """English present progressive."""
    action, rest = _action(draw, who)
    *_, ing = _english(action)
    verb = {"ich": "am", "er": "is"}.get(who.form, "are")
    predicate = german_lib.present(action.german, who.form)
    return Clause(
        who, f"{verb} {ing}", f"are you {ing}", predicate, rest, draw.one(NOW)
    )


def plan(draw: Draw, who: Subject) -> Clause:
    """Modal verbs."""
    action, rest = _action(draw, who)
    base, *_ = _english(action)
    plain, third, asks, forms = draw.one(MODALS)
    verb = third if who.is_third else plain
    predicate = german_lib.modal(forms, action.german, who.form)
    return Clause(
        who, f"{verb} {base}", f"{asks} {base}", predicate, rest, draw.one(LATER)
    )


TENSES = (past, past, habit, progress, plan)
TIMELESS = (past, plan)  # need no time to be understood


def _action(draw: Draw, who: Subject) -> tuple[Action, Phrase]:
    """What is done, and the rest of the clause."""
    if draw.chance(0.6):
        action = draw.one(ACTIONS)
        if action.things is None:
            return action, somebody(draw, action.case)
        return action, something(draw, action.things, who)
    if draw.chance(0.5):
        action = draw.one(GIVING)
        receiver = somebody(draw, "dative")
        return action, _joined(receiver, something(draw, action.things, who))
    action, (to, nach) = draw.one(MOVING)
    city, stadt = draw.one(CITIES)
    companion, begleiter = somebody(draw, "dative")
    return action, (f"{to} {city} with {companion}", f"mit {begleiter} {nach} {stadt}")


def _english(action: Action) -> list[str]:
    """The four forms with their particle."""
    return [f"{form} {action.particle}".strip() for form in action.english.split()]


def _joined(*phrases: Phrase) -> Phrase:
    english, german = zip(*phrases, strict=True)
    return " ".join(english), " ".join(german)


def statement(draw: Draw) -> Phrase:
    """One clause that begins with its subject or its time."""
    return _statement(draw, draw.one(TENSES)(draw, subject(draw)))


def _statement(draw: Draw, clause: Clause) -> Phrase:
    (who, wer), (rest, rest_de) = clause.subject.phrase, clause.rest
    time, time_de = clause.time
    if draw.chance(0.4):
        return (
            f"{time} {who} {clause.verb} {rest}.",
            main_clause(time_de, clause.predicate, wer, rest_de) + ".",
        )
    return (
        f"{who} {clause.verb} {rest} {time}.",
        main_clause(wer, clause.predicate, time_de, rest_de) + ".",
    )


CONJUNCTIONS: tuple[Phrase, ...] = (("because", "weil"), ("although", "obwohl"))


def reason(draw: Draw) -> Phrase:
    """A main clause with a subordinate one behind or before it."""
    main = draw.one(TENSES)(draw, subject(draw))
    who, other = main.subject, subject(draw)
    if who.pronoun and draw.chance(0.5):
        other = dataclasses.replace(who, phrase=who.pronoun)
    conjunction, konjunktion = draw.one(CONJUNCTIONS)
    under, under_de = _subordinate(draw.one(TIMELESS)(draw, other))
    (rest, rest_de), (time, time_de) = main.rest, main.time
    if draw.chance(0.6):
        clause_de = main_clause(who.phrase[1], main.predicate, time_de, rest_de)
        return (
            f"{who.phrase[0]} {main.verb} {rest} {time} {conjunction} {under}.",
            f"{clause_de}, {konjunktion} {under_de}.",
        )
    inverted = main_clause("", main.predicate, who.phrase[1], time_de, rest_de)
    return (
        f"{conjunction} {under}, {who.phrase[0]} {main.verb} {rest} {time}.",
        f"{konjunktion} {under_de}, {inverted}.",
    )


def _subordinate(clause: Clause, subject_phrase: Phrase | None = None) -> Phrase:
    """A clause without its time, its German verbs last."""
    who, wer = subject_phrase or clause.subject.phrase
    return (
        f"{who} {clause.verb} {clause.rest[0]}",
        subordinate_clause(wer, clause.predicate, clause.rest[1]),
    )


REPORTS: tuple[Phrase, ...] = (
    *(("says", "sagt"), ("thinks", "denkt"), ("knows", "weiß"), ("hopes", "hofft")),
)


def report(draw: Draw) -> Phrase:
    """What somebody says of somebody."""
    who, wer = named(draw).phrase
    says, sagt = draw.one(REPORTS)
    clause = draw.one(TENSES)(draw, subject(draw))
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    other, other_de = clause.subject.phrase
    under = subordinate_clause(other_de, clause.predicate, time_de, rest_de)
    return (
        f"{who} {says} that {other} {clause.verb} {rest} {time}.",
        f"{wer} {sagt}, dass {under}.",
    )


def request(draw: Draw) -> Phrase:
    """A question to a friend or to a stranger."""
    addressed = named(draw).phrase
    is_stranger = addressed[1].startswith(("Frau ", "Herr "))
    you = YOU_FORMAL if is_stranger else YOU
    clause = draw.one(TENSES)(draw, you)
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    asked = question(clause.predicate, you.phrase[1], time_de, rest_de)
    return (
        f"{addressed[0]}, {clause.asks} {rest} {time}?",
        f"{addressed[1]}, {asked}?",
    )


def description(draw: Draw) -> Phrase:
    """A subject that a relative clause tells apart."""
    noun, nomen, gender = draw.one(STRANGERS)
    who = Subject(
        (f"the {noun}", german_lib.noun_phrase("der", "", nomen, gender, "nominative"))
    )
    pronoun = german_lib.relative_pronoun(gender)
    under, under_de = _subordinate(
        draw.one(TIMELESS)(draw, who), subject_phrase=("who", pronoun)
    )
    clause = draw.one(TENSES)(draw, who)
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    main = main_clause("", clause.predicate, time_de, rest_de)
    return (
        f"{who.phrase[0]} {under} {clause.verb} {rest} {time}.",
        f"{who.phrase[1]}, {under_de}, {main}.",
    )


ATTEMPTS: tuple[Phrase, ...] = (
    *(("tried", "versucht"), ("promised", "versprochen"), ("forgot", "vergessen")),
)


def attempt(draw: Draw) -> Phrase:
    """An infinitive with "zu"."""
    who = subject(draw)
    (tried, versucht), (time, time_de) = draw.one(ATTEMPTS), draw.one(BEFORE)
    action, (rest, rest_de) = _action(draw, who)
    verb = german_lib.Verb("", "", versucht)
    main = main_clause(time_de, german_lib.perfect(verb, who.form), who.phrase[1])
    return (
        f"{time} {who.phrase[0]} {tried} to {_english(action)[0]} {rest}.",
        f"{main}, {rest_de} {action.german.with_zu}.",
    )


KINDS: tuple[Callable[[Draw], Phrase], ...] = (
    statement,
    statement,
    reason,
    report,
    request,
    description,
    attempt,
)


def english_german(draw: Draw) -> Iterator[Phrase]:
    """Yields (English, German) without end; either may come twice."""
    while True:
        english, german = draw.one(KINDS)(draw)
        yield english[0].upper() + english[1:], german[0].upper() + german[1:]


def german_english(draw: Draw) -> Iterator[Phrase]:
    """Yields (German, English) without end; either may come twice."""
    return ((german, english) for english, german in english_german(draw))
