"""Words and phrases in English and German for `translations`."""

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
    """Nouns of one kind, and adjectives that fit all of them."""

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
      english: the four forms of the English verb, "pick picks picked picking".
      german: the German verb.
      particle: that follows the English verb, "up".
      things: the possible objects; () if its objects are people.
      case: of its object.
    """

    english: str
    german: Verb
    particle: str = ""
    things: tuple[Things, ...] = ()
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
# Actions with a person as indirect and a thing as direct object.
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
# Actions that lead to or from a city, with their prepositions.
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
    """The subject of a clause.

    Attributes:
      phrase: "the old teacher", "der alte Lehrer".
      form: of the German verb.
      is_third: whether the English verb takes an s.
      own: its possessive, "her", "ihr"; None for neuter nouns and relative clauses.
      pronoun: its personal pronoun; None in the same cases.
    """

    phrase: Phrase
    form: Form = "er"
    is_third: bool = True
    own: Phrase | None = None
    pronoun: Phrase | None = None


_POSSESSIVES = {"m": ("his", "sein"), "f": ("her", "ihr"), "n": None}
_PRONOUNS = {"m": ("he", "er"), "f": ("she", "sie"), "n": None}


def _third_person(phrase: Phrase, gender: Gender) -> Subject:
    return Subject(phrase, own=_POSSESSIVES[gender], pronoun=_PRONOUNS[gender])


PRONOUNS = (
    Subject(("I", "ich"), "ich", False, ("my", "mein"), ("I", "ich")),
    Subject(("we", "wir"), "wir", False, ("our", "unser"), ("we", "wir")),
    _third_person(("he", "er"), "m"),
    _third_person(("she", "sie"), "f"),
)
YOU = Subject(("you", "du"), "du", False, ("your", "dein"))
YOU_FORMAL = Subject(("you", "Sie"), "wir", False, ("your", "Ihr"))


def subject(draw: Draw) -> Subject:
    """Draws a pronoun, a name or a noun."""
    if draw.chance(0.25):
        return draw.choice(PRONOUNS)
    if draw.chance(0.4):
        return named(draw)
    phrase, gender = _person(draw, "nominative")
    return _third_person(phrase, gender)


def named(draw: Draw) -> Subject:
    """Draws the first name of a friend, or the title and surname of a stranger."""
    if draw.chance(0.5):
        name = draw.choice(FIRST_NAMES)
        return _third_person((name, name), "f" if name in WOMEN else "m")
    name, is_woman = draw.choice(SURNAMES), draw.chance(0.5)
    titles = ("Mrs", "Frau") if is_woman else ("Mr", "Herr")
    english, german = (f"{title} {name}" for title in titles)
    return _third_person((english, german), "f" if is_woman else "m")


def somebody(draw: Draw, case: Case) -> Phrase:
    """Draws a person, such as "our young aunt", in a German case."""
    return _person(draw, case)[0]


def _person(draw: Draw, case: Case) -> tuple[Phrase, Gender]:
    determiners, nouns = draw.choice(((_OURS, RELATIVES), (_ANY, STRANGERS)))
    noun = draw.choice(nouns)
    return _phrase(draw, determiners, noun, PEOPLE_ARE, case), noun[2]


_OURS = (("my", "mein"), ("our", "unser"))
_ANY = (("the", "der"), ("this", "dies"))


def something(draw: Draw, things: tuple[Things, ...], owner: Subject) -> Phrase:
    """Draws a thing as direct object, such as "a red coat" or "her red coat"."""
    kind = draw.choice(things)
    determiners = (*_ANY, ("a", "ein"), *filter(None, [owner.own]))
    return _phrase(
        draw, determiners, draw.choice(kind.nouns), kind.adjectives, "accusative"
    )


def _phrase(
    draw: Draw,
    determiners: tuple[Phrase, ...],
    noun: Noun,
    adjectives: tuple[Phrase, ...],
    case: Case,
) -> Phrase:
    """Returns a noun phrase in both languages, with or without an adjective."""
    english, german, gender = noun
    determiner = draw.choice(determiners)
    adjective = draw.choice(adjectives) if draw.chance(0.6) else ("", "")
    after_article = " ".join(filter(None, (adjective[0], english)))
    article = determiner[0]
    if article == "a" and after_article[0] in "aeiou":
        article = "an"
    return (
        f"{article} {after_article}",
        german_lib.noun_phrase(determiner[1], adjective[1], german, gender, case),
    )
