"""An English and German phrase book: draws in; phrases in both languages out."""

import dataclasses

from bertgen_jax.data.demo import german as german_lib
from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.german import Case, Form, Gender, Verb
from bertgen_jax.data.demo.names import FIRST_NAMES, SURNAMES, WOMEN

Phrase = tuple[str, str]  # English, German
Noun = tuple[str, str, Gender]

RELATIVES: tuple[Noun, ...] = (
    *(("aunt", "Tante", "f"), ("brother", "Bruder", "m"), ("child", "Kind", "n")),
    *(("daughter", "Tochter", "f"), ("grandfather", "Großvater", "m")),
    *(("grandmother", "Großmutter", "f"), ("sister", "Schwester", "f")),
    *(("son", "Sohn", "m"), ("uncle", "Onkel", "m")),
)
STRANGERS: tuple[Noun, ...] = (
    *(("baker", "Bäcker", "m"), ("doctor", "Ärztin", "f"), ("girl", "Mädchen", "n")),
    *(("gardener", "Gärtner", "m"), ("nurse", "Krankenschwester", "f")),
    *(("painter", "Maler", "m"), ("teacher", "Lehrer", "m")),
    *(("waitress", "Kellnerin", "f"), ("neighbour", "Nachbarin", "f")),
)
PEOPLE_ARE: tuple[Phrase, ...] = (
    *(("famous", "berühmt"), ("friendly", "freundlich"), ("old", "alt")),
    *(("tall", "groß"), ("tired", "müd"), ("young", "jung")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Things:
    """Nouns of one kind, and adjectives that go with each."""

    nouns: tuple[Noun, ...]
    adjectives: tuple[Phrase, ...]


_SIZES = (("big", "groß"), ("small", "klein"))
_AGES = (("new", "neu"), ("old", "alt"))
_COLOURS = (
    *(("red", "rot"), ("blue", "blau"), ("green", "grün"), ("white", "weiß")),
    *(("black", "schwarz"), ("yellow", "gelb")),
)
TEXTS = Things(
    (("book", "Buch", "n"), ("letter", "Brief", "m"), ("newspaper", "Zeitung", "f")),
    (*_AGES, ("long", "lang"), ("short", "kurz")),
)
FOOD = Things(
    (
        *(("apple", "Apfel", "m"), ("cake", "Kuchen", "m"), ("egg", "Ei", "n")),
        *(("pear", "Birne", "f"), ("soup", "Suppe", "f")),
    ),
    (("cold", "kalt"), ("fresh", "frisch"), ("good", "gut"), ("warm", "warm")),
)
DEVICES = Things(
    (
        *(("radio", "Radio", "n"), ("lamp", "Lampe", "f"), ("oven", "Ofen", "m")),
        *(("computer", "Computer", "m"), ("camera", "Kamera", "f")),
    ),
    (*_SIZES, *_AGES, ("cheap", "billig")),
)
CLOTHES = Things(
    (
        *(("coat", "Mantel", "m"), ("dress", "Kleid", "n"), ("jacket", "Jacke", "f")),
        *(("shirt", "Hemd", "n"), ("hat", "Hut", "m")),
    ),
    (*_AGES, *_COLOURS),
)
CONTAINERS = Things(
    (
        *(("window", "Fenster", "n"), ("door", "Tür", "f"), ("box", "Kiste", "f")),
        *(("suitcase", "Koffer", "m"), ("cupboard", "Schrank", "m")),
    ),
    (*_SIZES, *_COLOURS),
)
GOODS = Things(
    (
        *(("bicycle", "Fahrrad", "n"), ("car", "Auto", "n"), ("boat", "Boot", "n")),
        *(("bag", "Tasche", "f"), ("umbrella", "Regenschirm", "m")),
        *(("key", "Schlüssel", "m"), ("clock", "Uhr", "f"), ("chair", "Stuhl", "m")),
        *(("parcel", "Paket", "n"), ("ball", "Ball", "m"), ("flower", "Blume", "f")),
    ),
    (*_SIZES, *_COLOURS, ("beautiful", "schön"), ("cheap", "billig")),
)
CITIES: tuple[Phrase, ...] = (
    *(("Basle", "Basel"), ("Berlin", "Berlin"), ("Cologne", "Köln")),
    *(("Dresden", "Dresden"), ("Hamburg", "Hamburg"), ("Hanover", "Hannover")),
    *(("Lucerne", "Luzern"), ("Munich", "München"), ("Nuremberg", "Nürnberg")),
    *(("Vienna", "Wien"), ("Zurich", "Zürich")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Action:
    """A verb in both languages.

    Attributes:
      english: "pick picks picked picking".
      german: the same.
      particle: "up".
      things: what its object may be; None for people.
      case: of its object.
    """

    english: str
    german: Verb
    particle: str = ""
    things: tuple[Things, ...] | None = None
    case: Case = "accusative"


THINGS = (TEXTS, FOOD, DEVICES, CLOTHES, GOODS)
ACTIONS = (
    Action(
        "buy buys bought buying",
        Verb("", "kaufe kaufst kauft kaufen", "gekauft"),
        things=THINGS,
    ),
    Action(
        "sell sells sold selling",
        Verb("", "verkaufe verkaufst verkauft verkaufen", "verkauft"),
        things=THINGS,
    ),
    Action(
        "look looks looked looking",
        Verb("", "suche suchst sucht suchen", "gesucht"),
        "for",
        things=THINGS,
    ),
    Action(
        "bring brings brought bringing",
        Verb("mit", "bringe bringst bringt bringen", "mitgebracht"),
        "along",
        things=THINGS,
    ),
    Action(
        "give gives gave giving",
        Verb("zurück", "gebe gibst gibt geben", "zurückgegeben"),
        "back",
        things=(TEXTS, DEVICES, CLOTHES, GOODS),
    ),
    Action(
        "read reads read reading",
        Verb("", "lese liest liest lesen", "gelesen"),
        things=(TEXTS,),
    ),
    Action(
        "eat eats ate eating",
        Verb("", "esse isst isst essen", "gegessen"),
        things=(FOOD,),
    ),
    Action(
        "repair repairs repaired repairing",
        Verb("", "repariere reparierst repariert reparieren", "repariert"),
        things=(DEVICES, CONTAINERS),
    ),
    Action(
        "switch switches switched switching",
        Verb("ein", "schalte schaltest schaltet schalten", "eingeschaltet"),
        "on",
        things=(DEVICES,),
    ),
    Action(
        "put puts put putting",
        Verb("an", "ziehe ziehst zieht ziehen", "angezogen"),
        "on",
        things=(CLOTHES,),
    ),
    Action(
        "open opens opened opening",
        Verb("auf", "mache machst macht machen", "aufgemacht"),
        things=(CONTAINERS,),
    ),
    Action(
        "close closes closed closing",
        Verb("zu", "mache machst macht machen", "zugemacht"),
        things=(CONTAINERS,),
    ),
    Action(
        "visit visits visited visiting",
        Verb("", "besuche besuchst besucht besuchen", "besucht"),
    ),
    Action(
        "pick picks picked picking",
        Verb("ab", "hole holst holt holen", "abgeholt"),
        "up",
    ),
    Action(
        "invite invites invited inviting",
        Verb("ein", "lade lädst lädt laden", "eingeladen"),
    ),
    Action(
        "call calls called calling",
        Verb("an", "rufe rufst ruft rufen", "angerufen"),
    ),
    Action(
        "help helps helped helping",
        Verb("", "helfe hilfst hilft helfen", "geholfen"),
        case="dative",
    ),
    Action(
        "answer answers answered answering",
        Verb("", "antworte antwortest antwortet antworten", "geantwortet"),
        case="dative",
    ),
)
# To somebody, something.
GIVING = (
    Action(
        "give gives gave giving",
        Verb("", "gebe gibst gibt geben", "gegeben"),
        things=THINGS,
    ),
    Action(
        "show shows showed showing",
        Verb("", "zeige zeigst zeigt zeigen", "gezeigt"),
        things=THINGS,
    ),
    Action(
        "send sends sent sending",
        Verb("", "schicke schickst schickt schicken", "geschickt"),
        things=THINGS,
    ),
)
# To or from a city.
MOVING: tuple[tuple[Action, Phrase], ...] = (
    (
        Action(
            "drive drives drove driving",
            Verb("", "fahre fährst fährt fahren", "gefahren", moves=True),
        ),
        ("to", "nach"),
    ),
    (
        Action(
            "fly flies flew flying",
            Verb("", "fliege fliegst fliegt fliegen", "geflogen", moves=True),
        ),
        ("to", "nach"),
    ),
    (
        Action(
            "come comes came coming",
            Verb("zurück", "komme kommst kommt kommen", "zurückgekommen", moves=True),
            "back",
        ),
        ("from", "aus"),
    ),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Who acts.

    Attributes:
      phrase: "the old teacher", "der alte Lehrer".
      form: of the German verb.
      is_third: whether the English verb takes an s.
      own: "her", "ihr"; None if it is nobody in particular.
      pronoun: what stands for it; None as above.
    """

    phrase: Phrase
    form: Form = "er"
    is_third: bool = True
    own: Phrase | None = None
    pronoun: Phrase | None = None


_HE = {"own": ("his", "sein"), "pronoun": ("he", "er")}
_SHE = {"own": ("her", "ihr"), "pronoun": ("she", "sie")}
_OF_GENDER = {"m": _HE, "f": _SHE, "n": {}}
PRONOUNS = (
    Subject(("I", "ich"), "ich", False, ("my", "mein"), ("I", "ich")),
    Subject(("we", "wir"), "wir", False, ("our", "unser"), ("we", "wir")),
    Subject(("he", "er"), **_HE),
    Subject(("she", "sie"), **_SHE),
)
YOU = Subject(("you", "du"), "du", False, ("your", "dein"))
YOU_FORMAL = Subject(("you", "Sie"), "wir", False, ("your", "Ihr"))


def subject(draw: Draw) -> Subject:
    """A pronoun, a name or a noun."""
    if draw.chance(0.25):
        return draw.one(PRONOUNS)
    if draw.chance(0.4):
        return named(draw)
    phrase, gender = _person(draw, "nominative")
    return Subject(phrase, **_OF_GENDER[gender])


def named(draw: Draw) -> Subject:
    """A friend's first name or a stranger's title."""
    if draw.chance(0.5):
        name = draw.one(FIRST_NAMES)
        return Subject((name, name), **(_SHE if name in WOMEN else _HE))
    name, is_woman = draw.one(SURNAMES), draw.chance(0.5)
    titles = ("Mrs", "Frau") if is_woman else ("Mr", "Herr")
    english, german = (f"{title} {name}" for title in titles)
    return Subject((english, german), **(_SHE if is_woman else _HE))


def somebody(draw: Draw, case: Case) -> Phrase:
    """ "our young aunt" in one of the German cases."""
    return _person(draw, case)[0]


def _person(draw: Draw, case: Case) -> tuple[Phrase, Gender]:
    determiners, nouns = draw.one(((_OURS, RELATIVES), (_ANY, STRANGERS)))
    noun = draw.one(nouns)
    return _phrase(draw, determiners, noun, PEOPLE_ARE, case), noun[2]


_OURS = (("my", "mein"), ("our", "unser"))
_ANY = (("the", "der"), ("this", "dies"))


def something(draw: Draw, things: tuple[Things, ...], owner: Subject) -> Phrase:
    """ "a red coat", "her red coat", as direct objects."""
    kind = draw.one(things)
    determiners = (*_ANY, ("a", "ein"), *filter(None, [owner.own]))
    return _phrase(
        draw, determiners, draw.one(kind.nouns), kind.adjectives, "accusative"
    )


def _phrase(
    draw: Draw,
    determiners: tuple[Phrase, ...],
    noun: Noun,
    adjectives: tuple[Phrase, ...],
    case: Case,
) -> Phrase:
    """Both languages' noun phrases, with or without an adjective."""
    english, german, gender = noun
    determiner = draw.one(determiners)
    adjective = draw.one(adjectives) if draw.chance(0.6) else ("", "")
    words = [word for word in (adjective[0], english) if word]
    article = determiner[0]
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return (
        " ".join((article, *words)),
        german_lib.noun_phrase(determiner[1], adjective[1], german, gender, case),
    )
