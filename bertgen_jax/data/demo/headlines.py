"""First sentences of news articles with their headlines, as in Gigaword.

Text is lower-case and tokenized, and digits are replaced by "#". A headline says in few
and mostly different words what happened; it leaves out who said so and when.
"""

import re
from collections.abc import Iterator

from bertgen_jax.data.demo.biographies import person
from bertgen_jax.data.demo.draw import Draw, Fields, Tables
from bertgen_jax.data.demo.names import CITIES, COMPANIES, COUNTS, DAYS, MONTHS, TEAMS

# Two wordings of an event, and its headline. In fields with [0] and [1] the first text
# is for the sentence and the second for the headline.
EVENTS = (
    (
        (
            "{storm[0]} knocked out electricity in large parts of {city} and forced "
            "the {place} to close its gates",
            "large parts of {city} were without electricity and the {place} had to "
            "close its gates after {storm[0]}",
        ),
        "{storm[1]} cuts power in {city} , shuts {place}",
    ),
    (
        (
            "{storm[0]} left {homes} homes in {city} without electricity",
            "{homes} homes in {city} had no electricity after {storm[0]}",
        ),
        "{storm[1]} cuts power to {homes} homes in {city}",
    ),
    (
        (
            "the {team} {result[0]} the {team2} on a wet evening in {city} , in "
            "{round[0]}",
            "on a wet evening in {city} and in {round[0]} , the {team} {result[0]} "
            "the {team2}",
        ),
        "{team} {result[1]} {team2} in {city} {round[1]}",
    ),
    (
        (
            "{company} has reached an agreement to acquire {company2} , which makes "
            "{product[0]} , at a price of {number} million dollars",
            "the owners of {company2} , which makes {product[0]} , have accepted an "
            "offer of {number} million dollars from {company}",
        ),
        "{company} to buy {product[1]} maker {company2}",
    ),
    (
        (
            "a judge in {city} has sent a former {job} to prison for {count} years "
            "because {crime[0]}",
            "{count} years behind bars await a former {job} after a judge in {city} "
            "was told that {crime[0]}",
        ),
        "{city} {job} jailed {count} years for {crime[1]}",
    ),
    (
        (
            "a jury in {city} did not believe that a former {job} was to blame when "
            "{crime[0]}",
            "a former {job} walked free after a jury in {city} could not agree on "
            "how {crime[0]}",
        ),
        "{city} jury clears former {job} of {crime[1]}",
    ),
    (
        (
            "the {workers} of {city} stayed at home on {day} because {grievance[0]}",
            "not one of the {workers} of {city} turned up on {day} , for "
            "{grievance[0]}",
        ),
        "{city} {workers} strike over {grievance[1]}",
    ),
    (
        (
            "the {workers} of {city} put on their uniforms again on {day} , {count} "
            "weeks after they had laid down their tools",
            "{count} weeks after they had laid down their tools the {workers} of "
            "{city} were back at work on {day}",
        ),
        "{city} {workers} end strike after {count} weeks",
    ),
    (
        (
            "{person.name} will be the next mayor of {city} after a campaign about "
            "{promise[0]}",
            "the voters of {city} , tired of {promise[0]} , have chosen {person.name} "
            "as their next mayor",
        ),
        "{person.surname} elected mayor of {city} on {promise[1]} pledge",
    ),
    (
        (
            "{person.name} will no longer be mayor of {city} after reports that "
            "{scandal[0]}",
            "after reports that {scandal[0]} , {person.name} is leaving the office of "
            "mayor in {city}",
        ),
        "{city} mayor {person.surname} resigns over {scandal[1]}",
    ),
    (
        (
            "{count} {party} who had set out from {city} were brought to safety on "
            "{day} , hours after {trap[0]}",
            "hours after {trap[0]} , helpers reached {count} {party} who had set out "
            "from {city}",
        ),
        "{count} {city} {party} rescued from {trap[1]}",
    ),
    (
        (
            "{count} passengers were taken to hospital on {day} when {crash[0]} near "
            "{city}",
            "{crash[0]} near {city} on {day} , and {count} passengers were taken to "
            "hospital",
        ),
        "{count} hurt in {crash[1]} near {city}",
    ),
    (
        (
            "scientists in {city} who watched {number} {animals} for months have "
            "shown that they {ability[0]}",
            "{animals} {ability[0]} , as scientists in {city} have shown who watched "
            "{number} of them for months",
        ),
        "{city} study finds {animals} {ability[1]}",
    ),
    (
        (
            "the new {building} in {city} received its first visitors on {day} , "
            "{delay[0]}",
            "{delay[0]} , the first visitors walked through the new {building} in "
            "{city}",
        ),
        "new {city} {building} opens {delay[1]}",
    ),
    (
        (
            "{person2.name} is to give up the top post at {company} and "
            "{person.name} will move into the office in {month}",
            "the top post at {company} will go to {person.name} in {month} , when "
            "{person2.name} is to give it up",
        ),
        "{company} names {person.surname} to replace {person2.surname}",
    ),
    (
        (
            "{company} will do without {number} of its workers in {city} by {month}",
            "{number} workers of {company} in {city} will lose their posts by {month}",
        ),
        "{company} to cut {number} jobs in {city}",
    ),
    (
        (
            "there will be no {kind} festival in {city} this year because {trouble[0]}",
            "visitors to the {kind} festival in {city} were sent home on {day} after "
            "it was found that {trouble[0]}",
        ),
        "{city} calls off {kind} festival over {trouble[1]}",
    ),
    (
        (
            "{person.name} was the first of {number} runners to reach the finish in "
            "{city} on {day} {running[0]}",
            "of {number} runners in {city} {person.name} was the first to reach the "
            "finish {running[0]}",
        ),
        "{person.surname} wins {city} marathon {running[1]}",
    ),
)

# How the sentence ends.
ENDS = (
    "{source} said on {day} .",
    "{source} said .",
    "according to {source} .",
    "it was announced on {day} .",
    "{source} told reporters in {city2} .",
    "the newspaper of {city2} reported .",
)

TABLES: Tables = {
    "ability": (
        ("can tell two dots from three", "can count"),
        ("greet their own face in a mirror", "recognise themselves"),
        ("leave a part of every meal to newcomers", "share food"),
        ("find hidden food after half a year", "have long memories"),
        ("call out when a stranger comes near", "warn each other"),
        ("calm down when a cello plays", "like music"),
        ("lose their way only on cloudy nights", "follow stars"),
        ("come running when their keeper speaks", "know voices"),
    ),
    "animals": (
        *("bears", "crows", "dolphins", "foxes", "geese", "goats", "horses", "otters"),
        *("parrots", "pigs", "seals", "sheep", "wolves"),
    ),
    "building": (
        *("airport", "bridge", "hospital", "library", "museum", "school", "stadium"),
        *("theatre", "tunnel", "zoo"),
    ),
    "city": CITIES,
    "company": COMPANIES,
    "count": COUNTS,
    "crash": (
        ("a bus slid into a ditch", "bus accident"),
        ("two trains ran into each other", "train collision"),
        ("a small plane touched down in a field", "emergency landing"),
        ("a ferry hit the harbour wall", "ferry accident"),
        ("a tram jumped the rails", "tram accident"),
        ("a cable car stopped with a jolt", "cable car accident"),
    ),
    "crime": (
        ("the takings had vanished night after night", "theft"),
        ("customers had paid for holidays that did not exist", "fraud"),
        ("a warehouse had been set on fire", "arson"),
        ("rare birds had been hidden in suitcases", "smuggling"),
        ("famous paintings had turned out to be copies", "forgery"),
        ("officials had been paid for favours", "bribery"),
    ),
    "day": DAYS,
    "delay": (
        ("long after the date that had been promised", "late"),
        ("months before anybody had expected it", "early"),
        ("after the costs had doubled", "over budget"),
        ("with a little money left in the purse", "under budget"),
    ),
    "grievance": (
        ("shifts last fourteen hours", "long hours"),
        ("nobody has had a rise for five years", "low pay"),
        ("half of them are to be sent away in autumn", "job cuts"),
        ("helmets and gloves have to be shared", "safety"),
        ("they are to retire three years later", "pensions"),
    ),
    "homes": tuple(str(homes) for homes in (300, 700, 2000, 5000, 9000, 14_000)),
    "job": (
        *("baker", "banker", "butcher", "chef", "dentist", "driver", "farmer"),
        *("jockey", "lawyer", "nurse", "plumber", "teacher"),
    ),
    "kind": (
        *("book", "cheese", "dance", "film", "flower", "jazz", "kite", "lantern"),
        *("poetry", "puppet"),
    ),
    "month": MONTHS,
    "number": tuple(str(number) for number in range(20, 500, 20)),
    "party": ("campers", "climbers", "hikers", "pupils", "scouts", "tourists"),
    "person": person,
    "place": ("airport", "harbour", "market", "museum", "station", "university", "zoo"),
    "product": (
        *(("batteries", "battery"), ("bicycles", "bicycle"), ("cameras", "camera")),
        *(("carpets", "carpet"), ("lamps", "lamp"), ("pianos", "piano")),
        *(("shoes", "shoe"), ("tents", "tent"), ("watches", "watch")),
    ),
    "promise": (
        ("the price of bus tickets", "transport"),
        ("the shortage of flats", "housing"),
        ("leaking classrooms", "school"),
        ("litter in the parks", "environment"),
        ("long waits for a doctor", "health"),
        ("a wave of burglaries", "crime"),
        ("rising rates", "tax"),
    ),
    "result": (
        ("narrowly defeated", "edge"),
        ("were far too strong for", "thrash"),
        ("came from behind and defeated", "rally past"),
        ("could not be separated from", "draw with"),
        ("threw away a lead and were defeated by", "lose to"),
    ),
    "round": (
        ("the last match of the cup", "final"),
        ("the first match of the season", "opener"),
        ("a match for charity", "friendly"),
    ),
    "running": (
        ("faster than anyone before", "in record time"),
        ("although it was the first attempt", "on debut"),
        ("in spite of a heavy tumble", "despite fall"),
        ("for the second year in a row", "again"),
    ),
    "scandal": (
        ("family members had been given well-paid posts", "jobs for relatives"),
        ("public money had gone into a private pool", "pool costs"),
        ("a builder had paid for a trip to the sea", "free holiday"),
        ("thousands had been spent on dinners", "restaurant bills"),
        ("private letters had been burned", "lost letters"),
    ),
    "source": ("a spokesman", "officials", "local media"),
    "storm": (
        ("a night of thunder and lightning", "thunderstorm"),
        ("a foot of snow", "snowstorm"),
        ("winds that uprooted trees", "gale"),
        ("a river that burst its banks", "flood"),
        ("a wall of mud from the hills", "landslide"),
        ("days of record temperatures", "heatwave"),
    ),
    "team": TEAMS,
    "trap": (
        ("the tide had cut off their path", "island"),
        ("their engine had died on the waves", "boat"),
        ("water had filled the passage behind them", "cave"),
        ("their ledge had become too narrow", "cliff"),
        ("the snow had covered every track", "mountain"),
        ("they had lost sight of the last signpost", "forest"),
    ),
    "trouble": (
        ("the meadow is under water", "rain"),
        ("no trains are running", "train strike"),
        ("too few helpers have come forward", "lack of volunteers"),
        ("nobody wants to pay for the stage", "lack of money"),
        ("the cables in the hall are worn out", "safety fears"),
    ),
    "workers": (
        *("bakers", "cleaners", "cooks", "dockers", "firefighters", "librarians"),
        *("miners", "nurses", "pilots", "teachers"),
    ),
}


def headlines(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (first sentence, headline) without end; either may come twice."""
    while True:
        wordings, headline = draw.choice(EVENTS)
        fields = Fields(draw, TABLES)
        source = fields.fill(f"{draw.choice(wordings)} , {draw.choice(ENDS)}")
        yield _as_gigaword(source), _as_gigaword(fields.fill(headline))


def _as_gigaword(text: str) -> str:
    return re.sub(r"\d", "#", text.lower())
