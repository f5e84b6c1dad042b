"""Names for the demo corpora, so few that training examples contain all of them."""

from bertgen_jax.data.demo.draw import Draw

CITIES = (
    *("Ashford", "Brookfield", "Carrow", "Dunmore", "Eastby", "Fairhaven", "Glenrock"),
    *("Hartwell", "Kelso", "Larkhill", "Millbrook", "Northam", "Oakham", "Penrose"),
    *("Redcliff", "Stonebridge", "Thornbury", "Upton", "Westmere", "Yarrow"),
)
FIRST_NAMES = (
    *("Adam", "Alice", "Anna", "Carla", "Daniel", "Elena", "Emma", "Frank", "Grace"),
    *("Hugo", "Irene", "Jonas", "Julia", "Karim", "Laura", "Leo", "Maria", "Nadia"),
    *("Oscar", "Paul", "Rosa", "Simon", "Vera", "Walter"),
)
WOMEN = frozenset(
    (
        *("Alice", "Anna", "Carla", "Elena", "Emma", "Grace", "Irene", "Julia"),
        *("Laura", "Maria", "Nadia", "Rosa", "Vera"),
    )
)
SURNAMES = (
    *("Adler", "Barlow", "Castro", "Dunn", "Ellis", "Farrow", "Grant", "Hayes"),
    *("Ivanov", "Jensen", "Keller", "Lindgren", "Marsh", "Novak", "Okafor", "Palmer"),
    *("Quinn", "Rossi", "Stone", "Tanaka", "Underhill", "Vance", "Walsh", "Yilmaz"),
)
TEAMS = (
    *("Archers", "Badgers", "Comets", "Drovers", "Falcons", "Foxes", "Harriers"),
    *("Herons", "Lancers", "Miners", "Otters", "Pilots", "Rangers", "Ravens"),
    *("Rovers", "Sailors", "Tigers", "Titans", "Wanderers", "Wolves"),
)
COMPANIES = (
    *("Albion", "Borealis", "Calder", "Drayton", "Hexagon", "Norvik", "Orbis"),
    *("Pellar", "Quillon", "Solvane", "Sunfield", "Tidemark", "Umber", "Vantor"),
    *("Westline", "Zephyr"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("March", "April", "May", "June", "July", "August", "September", "October")
COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


def pronoun(name: str) -> str:
    """Returns "she" or "he" by the first name."""
    return "she" if name.split()[0] in WOMEN else "he"


def people(draw: Draw, count: int) -> list[str]:
    """Draws full names that have no part in common."""
    firsts = draw.sample(FIRST_NAMES, count)
    lasts = draw.sample(SURNAMES, count)
    return [f"{first} {last}" for first, last in zip(firsts, lasts, strict=True)]
