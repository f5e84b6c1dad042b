"""Pairs of sentences with the text that fuses them, as in DiscoFuse.

The discourse types are those of DiscoFuse. The meaning of the sentences decides on the
type: a repeated name before a profession becomes an apposition, a cause after its
effect takes "because", and an effect after its cause takes "as a result".
"""

from collections.abc import Iterator, Mapping

from bertgen_jax.data.demo import biographies
from bertgen_jax.data.demo.draw import Draw, Fields, Tables

# By discourse type: the first sentence, the second sentence, and both fused.
TYPES: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "PAIR_ANAPHORA": (
        (
            "{person.name} {deed.past} in {years.start} .",
            "in {years.end} , {person.name} {deed2.past} .",
            "{person.name} {deed.past} in {years.start} . In {years.end} , {person.he} "
            "{deed2.past} .",
        ),
    ),
    "PAIR_CONN": (
        (
            "{cause[0]} in {years.start} .",
            "{cause[1]} .",
            "{cause[0]} in {years.start} . As a result , {cause[1]} .",
        ),
    ),
    "PAIR_CONN_ANAPHORA": (
        (
            "{person.name} {hope[0]} in {years.start} .",
            "{person.name} {hope[1]} .",
            "{person.name} {hope[0]} in {years.start} . However , {person.he} "
            "{hope[1]} .",
        ),
        (
            "{person.name} was {habit[0]} .",
            "{person.name} {habit[1]} .",
            "{person.name} was {habit[0]} . For example , {person.he} {habit[1]} .",
        ),
    ),
    "SINGLE_APPOSITION": (
        (
            "{person.name} {deed.past} in {years.start} .",
            "{person.name} was a {job} from {city} .",
            "{person.name} , a {job} from {city} , {deed.past} in {years.start} .",
        ),
    ),
    "SINGLE_CATAPHORA": (
        (
            "{person.name} was working as a {job} in {city} .",
            "{person.name} {deed.past} in {years.start} .",
            "while {person.he} was working as a {job} in {city} , {person.name} "
            "{deed.past} in {years.start} .",
        ),
        (
            "{person.name} was only {age} years old .",
            "{person.name} {deed.past} in {years.start} .",
            "although {person.he} was only {age} years old , {person.name} {deed.past} "
            "in {years.start} .",
        ),
    ),
    "SINGLE_CONN_INNER": (
        (
            "{cause[1]} .",
            "{cause[0]} in {years.start} .",
            "{cause[1]} because {cause[0]} in {years.start} .",
        ),
    ),
    "SINGLE_CONN_START": (
        (
            "the {building} in {city} opened in {years.start} .",
            "{person.name} {honour} .",
            "when the {building} in {city} opened in {years.start} , {person.name} "
            "{honour} .",
        ),
    ),
    "SINGLE_RELATIVE": (
        (
            "{person.name} {deed.past} in {years.start} .",
            "{person.name} was born in {city} .",
            "{person.name} , who was born in {city} , {deed.past} in {years.start} .",
        ),
        (
            "the {building} in {city} was designed by {person.name} .",
            "the {building} in {city} is {metres} metres high .",
            "the {building} in {city} , which is {metres} metres high , was designed "
            "by {person.name} .",
        ),
    ),
    "SINGLE_S_COORD": (
        (
            "{person.name} {hope[0]} in {years.start} .",
            "{hope[2]} .",
            "{person.name} {hope[0]} in {years.start} , but {hope[2]} .",
        ),
        (
            "{person.name} {work[0]} .",
            "{person2.name} {work[1]} .",
            "{person.name} {work[0]} , and {person2.name} {work[1]} .",
        ),
        (
            "the {team} won the {cup} Cup in {years.start} .",
            "the {team2} {defeat} .",
            "the {team} won the {cup} Cup in {years.start} , while the {team2} "
            "{defeat} .",
        ),
    ),
    "SINGLE_S_COORD_ANAPHORA": (
        (
            "the {building} in {city} was {fate[0]} in {years.start} .",
            "the {building} in {city} was {fate[1]} in {years.end} .",
            "the {building} in {city} was {fate[0]} in {years.start} , but it was "
            "{fate[1]} in {years.end} .",
        ),
    ),
    "SINGLE_VP_COORD": (
        (
            "{person.name} {deed.past} in {years.start} .",
            "{person.name} {deed2.past} in {years.end} .",
            "{person.name} {deed.past} in {years.start} and {deed2.past} in "
            "{years.end} .",
        ),
    ),
}

TABLES: Tables = {
    **biographies.TABLES,
    "age": ("sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
    "defeat": ("came second", "finished last", "lost in the final", "withdrew"),
    "fate": (
        *(("badly damaged", "repaired"), ("closed", "reopened")),
        *(("destroyed by fire", "rebuilt"), ("flooded", "cleaned")),
        *(("robbed", "given a stronger door"), ("sold", "bought back")),
    ),
    "habit": (
        ("a patient collector", "owned thousands of stamps from {city}"),
        ("a keen walker", "once walked from {city} to {city2} and back"),
        ("a gifted inventor", "built a clock for the {building} in {city}"),
        ("full of curiosity", "learned the dialect of {city} in {count} weeks"),
        ("very generous", "gave {count} houses to the poor of {city}"),
        ("afraid of water", "never crossed the bridge in {city}"),
    ),
    # A hope, why it failed, and who got it instead.
    "hope": (
        (
            "applied for a post at the University of {city}",
            "was turned down",
            "the post went to {person2.name}",
        ),
        (
            "hoped for the {prize} Prize",
            "came second",
            "the jury chose {person2.name}",
        ),
        (
            "ran for mayor of {city}",
            "lost the election",
            "the voters preferred {person2.name}",
        ),
        (
            "tried to buy {company}",
            "could not raise the money",
            "the owners sold it to {company2}",
        ),
        (
            "wanted to play for the {team}",
            "was not quick enough",
            "the coach picked {person2.name}",
        ),
        (
            "planned to build a {building} in {city}",
            "never found a builder",
            "the council chose a plan by {person2.name}",
        ),
    ),
    "honour": (
        *("cut the ribbon", "gave the first speech", "lit a hundred candles"),
        *("planted a tree", "rang the bell"),
    ),
    "metres": tuple(str(metres) for metres in range(20, 100, 5)),
    "work": (
        ("wrote the words of the song about {city}", "wrote the music"),
        ("painted the ceiling of the {building} in {city}", "carved the doors"),
        ("drew the first map of {city}", "printed it"),
        ("paid for the journey to {city}", "kept the diary"),
        ("translated the letters from {city}", "published them"),
        ("planned the gardens of {city}", "chose the trees"),
    ),
}


def fusions(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (two sentences, the fused text) without end; either may come twice."""
    wordings = tuple(
        wording for type_wordings in TYPES.values() for wording in type_wordings
    )
    while True:
        fields = Fields(draw, TABLES)
        first, second, fused = map(fields.sentence, draw.choice(wordings))
        yield f"{first} {second}", fused
