"""Everyday sentences in English and German.

The languages differ in more than words. German puts the finite verb second and the
other verbs last, or all verbs last in subordinate clauses; it splits verbs such as
"abholen", inflects articles and adjectives by gender and case, and addresses strangers
as "Sie". Every sentence has one translation: "every day" and "right now" distinguish
tenses that are the same in German, and the person addressed decides between "du" and
"Sie".
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
# English without and with the s of the third person, as a question; German forms.
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
      subject: the subject.
      verb: the English verb, "picked up".
      asks: the English verb in a question, "did you pick up".
      predicate: the German verbs.
      rest: the objects, or the companion and the destination.
      time: the adverb of time.
    """

    subject: Subject
    verb: str
    asks: str
    predicate: Predicate
    rest: Phrase
    time: Phrase


def past(draw: Draw, who: Subject) -> Clause:
    """Draws a clause in the English past tense and the German perfect."""
    action, rest = _action(draw, who)
    base, _, verb, _ = _english(action)
    predicate = german_lib.perfect(action.german, who.form)
    return Clause(who, verb, f"did you {base}", predicate, rest, draw.choice(BEFORE))


def habit(draw: Draw, who: Subject) -> Clause:
    """Draws a clause in the English simple present."""
    action, rest = _action(draw, who)
    base, third, _, _ = _english(action)
    verb = third if who.is_third else base
    predicate = german_lib.present(action.german, who.form)
    return Clause(who, verb, f"do you {base}", predicate, rest, draw.choice(ALWAYS))


def progress(draw: Draw, who: Subject) -> Clause:
    """Draws a clause in the English present progressive."""
    action, rest = _action(draw, who)
    *_, ing = _english(action)
    verb = {"ich": "am", "er": "is"}.get(who.form, "are")
    predicate = german_lib.present(action.german, who.form)
    return Clause(
        who, f"{verb} {ing}", f"are you {ing}", predicate, rest, draw.choice(NOW)
    )


def plan(draw: Draw, who: Subject) -> Clause:
    """Draws a clause with a modal verb."""
    action, rest = _action(draw, who)
    base, *_ = _english(action)
    plain, third, asks, forms = draw.choice(MODALS)
    verb = third if who.is_third else plain
    predicate = german_lib.modal(forms, action.german, who.form)
    return Clause(
        who, f"{verb} {base}", f"{asks} {base}", predicate, rest, draw.choice(LATER)
    )


TENSES = (past, past, habit, progress, plan)
TIMELESS = (past, plan)  # clear without an adverb of time


def _action(draw: Draw, who: Subject) -> tuple[Action, Phrase]:
    """Draws an action and the rest of its clause."""
    if draw.chance(0.6):
        action = draw.choice(ACTIONS)
        if action.things:
            return action, something(draw, action.things, who)
        return action, somebody(draw, action.case)
    if draw.chance(0.5):
        action = draw.choice(GIVING)
        receiver = somebody(draw, "dative")
        return action, _joined(receiver, something(draw, action.things, who))
    action, (to, to_de) = draw.choice(MOVING)
    city, city_de = draw.choice(CITIES)
    companion, companion_de = somebody(draw, "dative")
    return action, (
        f"{to} {city} with {companion}",
        f"mit {companion_de} {to_de} {city_de}",
    )


def _english(action: Action) -> list[str]:
    """Returns the four forms of the English verb with its particle."""
    return [f"{form} {action.particle}".strip() for form in action.english.split()]


def _joined(*phrases: Phrase) -> Phrase:
    english, german = zip(*phrases, strict=True)
    return " ".join(english), " ".join(german)


def statement(draw: Draw) -> Phrase:
    """Draws a main clause that begins with its subject or its time."""
    clause = draw.choice(TENSES)(draw, subject(draw))
    (who, who_de), (rest, rest_de) = clause.subject.phrase, clause.rest
    time, time_de = clause.time
    if draw.chance(0.4):
        return (
            f"{time} {who} {clause.verb} {rest}.",
            main_clause(time_de, clause.predicate, who_de, rest_de) + ".",
        )
    return (
        f"{who} {clause.verb} {rest} {time}.",
        main_clause(who_de, clause.predicate, time_de, rest_de) + ".",
    )


CONJUNCTIONS: tuple[Phrase, ...] = (("because", "weil"), ("although", "obwohl"))


def complex_sentence(draw: Draw) -> Phrase:
    """Draws a main clause with a subordinate clause after or before it."""
    main = draw.choice(TENSES)(draw, subject(draw))
    who, who_else = main.subject, subject(draw)
    if who.pronoun and draw.chance(0.5):
        who_else = dataclasses.replace(who, phrase=who.pronoun)
    conjunction, conjunction_de = draw.choice(CONJUNCTIONS)
    reason, reason_de = _subordinate(draw.choice(TIMELESS)(draw, who_else))
    (rest, rest_de), (time, time_de) = main.rest, main.time
    if draw.chance(0.6):
        clause_de = main_clause(who.phrase[1], main.predicate, time_de, rest_de)
        return (
            f"{who.phrase[0]} {main.verb} {rest} {time} {conjunction} {reason}.",
            f"{clause_de}, {conjunction_de} {reason_de}.",
        )
    inverted = main_clause("", main.predicate, who.phrase[1], time_de, rest_de)
    return (
        f"{conjunction} {reason}, {who.phrase[0]} {main.verb} {rest} {time}.",
        f"{conjunction_de} {reason_de}, {inverted}.",
    )


def _subordinate(clause: Clause, subject_phrase: Phrase | None = None) -> Phrase:
    """Returns a clause without its time and with the German verbs last."""
    who, who_de = subject_phrase or clause.subject.phrase
    return (
        f"{who} {clause.verb} {clause.rest[0]}",
        subordinate_clause(who_de, clause.predicate, clause.rest[1]),
    )


REPORTS: tuple[Phrase, ...] = (
    *(("says", "sagt"), ("thinks", "denkt"), ("knows", "weiß"), ("hopes", "hofft")),
)


def report(draw: Draw) -> Phrase:
    """Draws a sentence in which one person speaks of another."""
    who, who_de = named(draw).phrase
    says, says_de = draw.choice(REPORTS)
    clause = draw.choice(TENSES)(draw, subject(draw))
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    subject_en, subject_de = clause.subject.phrase
    reported_de = subordinate_clause(subject_de, clause.predicate, time_de, rest_de)
    return (
        f"{who} {says} that {subject_en} {clause.verb} {rest} {time}.",
        f"{who_de} {says_de}, dass {reported_de}.",
    )


def request(draw: Draw) -> Phrase:
    """Draws a question to a friend or to a stranger."""
    addressed = named(draw).phrase
    is_stranger = addressed[1].startswith(("Frau ", "Herr "))
    you = YOU_FORMAL if is_stranger else YOU
    clause = draw.choice(TENSES)(draw, you)
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    question_de = question(clause.predicate, you.phrase[1], time_de, rest_de)
    return (
        f"{addressed[0]}, {clause.asks} {rest} {time}?",
        f"{addressed[1]}, {question_de}?",
    )


def description(draw: Draw) -> Phrase:
    """Draws a sentence whose subject has a relative clause."""
    noun, noun_de, gender = draw.choice(STRANGERS)
    phrase_de = german_lib.noun_phrase("der", "", noun_de, gender, "nominative")
    who = Subject((f"the {noun}", phrase_de))
    pronoun = german_lib.relative_pronoun(gender)
    relative, relative_de = _subordinate(
        draw.choice(TIMELESS)(draw, who), subject_phrase=("who", pronoun)
    )
    clause = draw.choice(TENSES)(draw, who)
    (rest, rest_de), (time, time_de) = clause.rest, clause.time
    main_de = main_clause("", clause.predicate, time_de, rest_de)
    return (
        f"{who.phrase[0]} {relative} {clause.verb} {rest} {time}.",
        f"{who.phrase[1]}, {relative_de}, {main_de}.",
    )


ATTEMPTS: tuple[Phrase, ...] = (
    *(("tried", "versucht"), ("promised", "versprochen"), ("forgot", "vergessen")),
)


def attempt(draw: Draw) -> Phrase:
    """Draws a sentence with an infinitive with "zu"."""
    who = subject(draw)
    (tried, tried_de), (time, time_de) = draw.choice(ATTEMPTS), draw.choice(BEFORE)
    action, (rest, rest_de) = _action(draw, who)
    verb = german_lib.Verb("", "", tried_de)
    main_de = main_clause(time_de, german_lib.perfect(verb, who.form), who.phrase[1])
    return (
        f"{time} {who.phrase[0]} {tried} to {_english(action)[0]} {rest}.",
        f"{main_de}, {rest_de} {action.german.with_zu}.",
    )


KINDS: tuple[Callable[[Draw], Phrase], ...] = (
    statement,
    statement,
    complex_sentence,
    report,
    request,
    description,
    attempt,
)


def english_german(draw: Draw) -> Iterator[Phrase]:
    """Yields (English, German) without end; either may come twice."""
    while True:
        english, german = draw.choice(KINDS)(draw)
        yield english[0].upper() + english[1:], german[0].upper() + german[1:]


def german_english(draw: Draw) -> Iterator[Phrase]:
    """Yields (German, English) without end; either may come twice."""
    return ((german, english) for english, german in english_german(draw))
