"""People, deeds and places as in an encyclopedia: the fields of splits and fusions.

Text is tokenized as in WikiSplit and DiscoFuse: "in 1950 , and".
"""

import dataclasses

from bertgen_jax.data.demo.draw import Draw, Fields, Tables
from bertgen_jax.data.demo.names import (
    CITIES,
    COMPANIES,
    COUNTS,
    TEAMS,
    people,
    pronoun,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A person; two people of one text have different surnames."""

    name: str = dataclasses.field(compare=False)
    surname: str
    he: str = dataclasses.field(compare=False)  # or "she"


def person(draw: Draw) -> Person:
    """Draws a person."""
    (name,) = people(draw, 1)
    return Person(name, name.split()[-1], pronoun(name))


@dataclasses.dataclass(frozen=True, slots=True)
class Deed:
    """What a person did: "moved to Oakham", "moving to Oakham"."""

    past: str
    gerund: str


DEEDS = (
    ("became", "becoming", "mayor of {city}"),
    ("bought", "buying", "a farm near {city}"),
    ("designed", "designing", "the {building} in {city}"),
    ("founded", "founding", "the company {company}"),
    ("gave", "giving", "lectures on {subject} in {city}"),
    ("joined", "joining", "the {team}"),
    ("left", "leaving", "the army"),
    ("moved", "moving", "to {city}"),
    ("opened", "opening", "a {shop} in {city}"),
    ("played", "playing", "for the {team}"),
    ("sold", "selling", "a house in {city}"),
    ("studied", "studying", "{subject} in {city}"),
    ("taught", "teaching", "{subject} at the University of {city}"),
    ("won", "winning", "the {prize} Prize"),
    ("wrote", "writing", "a book about {topic}"),
)


def deed(draw: Draw) -> Deed:
    """Draws a deed, which has fields of its own."""
    past, gerund, rest = draw.choice(DEEDS)
    rest = Fields(draw, TABLES).fill(rest)
    return Deed(f"{past} {rest}", f"{gerund} {rest}")


@dataclasses.dataclass(frozen=True, slots=True)
class Years:
    """A span of time."""

    start: int
    end: int
    count: str  # in words


def years(draw: Draw) -> Years:
    """Draws a span of two to nine years of the last century."""
    start, gap = draw.number(1921, 1969), draw.number(2, 9)
    return Years(start, start + gap, COUNTS[gap - 2])


# A cause, to which templates add a year, and its effect.
CAUSES = (
    ("the harbour of {city} silted up", "trade moved to {city2}"),
    ("the bridge near {city} collapsed", "the road to {city2} was closed"),
    ("the mine near {city} flooded", "many families moved to {city2}"),
    ("the railway reached {city}", "the coach to {city2} was given up"),
    ("{company} closed its factory in {city}", "{company2} bought the machines"),
    ("fire destroyed the {building} in {city}", "visitors were sent to {city2}"),
    ("the council of {city} ran out of money", "the {building} was never finished"),
    ("the last teacher left {city}", "children had to walk to school in {city2}"),
    ("gold was found near {city}", "the price of land in {city2} doubled"),
    ("the well in {city} dried up", "water was brought from {city2}"),
    ("a storm damaged the ships of {company}", "{company2} lost its best customer"),
    ("the doctor of {city} retired", "the sick were taken to {city2}"),
)

TABLES: Tables = {
    "building": (
        *("castle", "church", "hospital", "library", "lighthouse", "museum", "palace"),
        *("station", "theatre", "town hall"),
    ),
    "cause": CAUSES,
    "city": CITIES,
    "company": COMPANIES,
    "count": COUNTS,
    "cup": ("Northern", "Southern", "Silver", "Golden", "Winter", "Summer"),
    "deed": deed,
    "job": (
        *("botanist", "carpenter", "chemist", "composer", "geologist", "lawyer"),
        *("nurse", "painter", "poet", "sailor", "sculptor", "surgeon", "tailor"),
    ),
    "person": person,
    "prize": ("Ashworth", "Delgado", "Fontaine", "Hartmann", "Moravec", "Winslow"),
    "river": ("Alder", "Brindle", "Corran", "Dove", "Elwin", "Fenn", "Glass", "Tarn"),
    "shop": ("bakery", "bookshop", "gallery", "restaurant", "school", "workshop"),
    "subject": (
        *("botany", "chemistry", "geology", "history", "law", "medicine", "music"),
        *("physics",),
    ),
    "team": TEAMS,
    "topic": (
        *("ancient coins", "bees", "bridges", "clocks", "comets", "glaciers", "roses"),
        *("sea birds", "volcanoes", "whales"),
    ),
    "years": years,
}
