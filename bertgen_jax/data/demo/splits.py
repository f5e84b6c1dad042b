"""Long sentences with two shorter sentences that say the same, as in WikiSplit.

Every construction needs rewriting, not only a cut: the subject is repeated as a pronoun
or a name, a participle becomes a finite verb, a conjunction becomes an adverb or
disappears, and some clauses change places.
"""

from collections.abc import Iterator

from bertgen_jax.data.demo import biographies
from bertgen_jax.data.demo.draw import Draw, Fields, Tables
from bertgen_jax.normalization import SEPARATOR

# The long sentence, the first part and the second part.
CONSTRUCTIONS = (
    # Coordination.
    (
        "{person.name} {deed.past} in {years.start} and {deed2.past} in {years.end} .",
        "{person.name} {deed.past} in {years.start} .",
        "{person.he} {deed2.past} in {years.end} .",
    ),
    (
        "{person.name} {deed.past} in {years.start} , and {years.count} years later "
        "{person.he} {deed2.past} .",
        "{person.name} {deed.past} in {years.start} .",
        "{years.count} years later , {person.he} {deed2.past} .",
    ),
    (
        "the River {river} rises near {city} and flows into the sea at {city2} .",
        "the River {river} rises near {city} .",
        "it flows into the sea at {city2} .",
    ),
    (
        "{company} makes {product} and has its headquarters in {city} .",
        "{company} makes {product} .",
        "its headquarters are in {city} .",
    ),
    # Relative clauses.
    (
        "{person.name} , who {deed.past} in {years.start} , {deed2.past} in "
        "{years.end} .",
        "{person.name} {deed.past} in {years.start} .",
        "{person.he} {deed2.past} in {years.end} .",
    ),
    (
        "{person.name} married the {job} {person2.name} , who {deed.past} in "
        "{years.start} .",
        "{person.name} married the {job} {person2.name} .",
        "{person2.surname} {deed.past} in {years.start} .",
    ),
    (
        "{person.name} studied {subject} in {city} , where {person.he} met "
        "{person2.name} in {years.start} .",
        "{person.name} studied {subject} in {city} .",
        "{person.he} met {person2.name} there in {years.start} .",
    ),
    (
        "the {building} in {city} , which was designed by {person.name} , opened in "
        "{years.start} .",
        "the {building} in {city} opened in {years.start} .",
        "it was designed by {person.name} .",
    ),
    (
        "the {team} play in {city} , where they won the {cup} Cup in {years.start} .",
        "the {team} play in {city} .",
        "they won the {cup} Cup there in {years.start} .",
    ),
    # Apposition.
    (
        "{person.name} , a {job} from {city} , {deed.past} in {years.start} .",
        "{person.name} was a {job} from {city} .",
        "{person.he} {deed.past} in {years.start} .",
    ),
    (
        "{city} , a town of {thousands} inhabitants , lies on the River {river} .",
        "{city} lies on the River {river} .",
        "it has {thousands} inhabitants .",
    ),
    # Participles.
    (
        "born in {city} , {person.name} {deed.past} in {years.start} .",
        "{person.name} was born in {city} .",
        "{person.he} {deed.past} in {years.start} .",
    ),
    (
        "{person.name} {deed.past} in {years.start} , {deed2.gerund} {years.count} "
        "years later .",
        "{person.name} {deed.past} in {years.start} .",
        "{person.he} {deed2.past} {years.count} years later .",
    ),
    (
        "built in {years.start} , the {building} in {city} was {fate} in {years.end} .",
        "the {building} in {city} was built in {years.start} .",
        "it was {fate} in {years.end} .",
    ),
    (
        "founded by {person.name} in {years.start} , {company} was sold to {company2} "
        "{years.count} years later .",
        "{company} was founded by {person.name} in {years.start} .",
        "it was sold to {company2} {years.count} years later .",
    ),
    # Time.
    (
        "after {deed.gerund} in {years.start} , {person.name} {deed2.past} .",
        "{person.name} {deed.past} in {years.start} .",
        "after that , {person.he} {deed2.past} .",
    ),
    (
        "before {deed2.gerund} in {years.end} , {person.name} {deed.past} .",
        "{person.name} {deed.past} .",
        "then {person.he} {deed2.past} in {years.end} .",
    ),
    # Contrast.
    (
        "although {person.he} had trained as a {job} , {person.name} {deed.past} in "
        "{years.start} .",
        "{person.name} had trained as a {job} .",
        "however , {person.he} {deed.past} in {years.start} .",
    ),
    (
        "{person.name} {deed.past} in {years.start} although {person.he} had trained "
        "as a {job} .",
        "{person.name} had trained as a {job} .",
        "however , {person.he} {deed.past} in {years.start} .",
    ),
    # Cause.
    (
        "because {cause[0]} in {years.start} , {cause[1]} .",
        "{cause[0]} in {years.start} .",
        "as a result , {cause[1]} .",
    ),
    (
        "{cause[1]} because {cause[0]} in {years.start} .",
        "{cause[0]} in {years.start} .",
        "as a result , {cause[1]} .",
    ),
)

TABLES: Tables = {
    **biographies.TABLES,
    "fate": ("abandoned", "demolished", "enlarged", "repaired", "sold"),
    "product": (
        *("bicycles", "cameras", "carpets", "clocks", "engines", "lamps", "pianos"),
        *("shoes", "tents", "tractors"),
    ),
    "thousands": tuple(f"{number}000" for number in range(2, 10)),
}


def splits(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (sentence, two parts with a separator) without end; either may repeat."""
    while True:
        fields = Fields(draw, TABLES)
        source, *parts = map(fields.sentence, draw.choice(CONSTRUCTIONS))
        yield source, f" {SEPARATOR} ".join(parts)
