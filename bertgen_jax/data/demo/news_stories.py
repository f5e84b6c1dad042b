"""Ten kinds of news stories, from which `news` makes articles.

The facts of a story are sentences that may stand in any order. Its openings set the
scene, and its asides name people, places and figures that do not matter. The summary
says in other words what follows from the facts: the score decides between "edged" and
"thrashed", and paintings that turn out to be copies become "forgery".
"""

import dataclasses
from collections.abc import Callable

from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.names import (
    CITIES,
    COMPANIES,
    COUNTS,
    DAYS,
    MONTHS,
    TEAMS,
    people,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """The parts of an article.

    Attributes:
      openings: possible first sentences; one or none is used.
      facts: the wordings of each fact that the summary needs; one of each is used.
      asides: sentences that the summary ignores; some are used.
      summary: one sentence.
    """

    openings: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]
    asides: tuple[str, ...]
    summary: str


def match(draw: Draw) -> Story:
    """A football match; the margin chooses the verb of the summary."""
    winner, loser, third = draw.sample(TEAMS, 3)
    city, elsewhere = draw.sample(CITIES, 2)
    scorer, rival, coach = people(draw, 3)
    goal = draw.choice(
        (
            *("an early header", "a late header", "a penalty", "a free kick"),
            *("a long shot", "a volley", "a back-heel", "a solo run"),
        )
    )
    margin = draw.number(1, 4)
    conceded = draw.number(0, 2)
    score = f"{conceded + margin}-{conceded}"
    verb = {1: "edged", 2: "beat"}.get(margin, "thrashed")
    return Story(
        openings=(
            f"There were songs in the streets of {city} long before kick-off.",
            f"Rain had fallen since dawn and the pitch in {city} was heavy.",
            f"Supporters from {elsewhere} had travelled all night by bus.",
            "The last meeting of the two sides had ended in a brawl.",
            f'"I asked them to be brave," said coach {coach}.',
        ),
        facts=(
            (
                f"{scorer} had put the {winner} ahead with {goal}.",
                f"With {goal}, {scorer} gave the {winner} the lead.",
                f"The first goal for the {winner} was {goal} from {scorer}.",
            ),
            (
                f"The scoreboard in {city} read {score} at the end.",
                f"It finished {score} in {city}.",
            ),
            (
                f"The {loser} have now lost {draw.choice(COUNTS)} matches in a row.",
                f"It was a bitter evening for the {loser}.",
                f"The {loser} left the field without a word.",
            ),
        ),
        asides=(
            f"{rival} had missed a chance in the first minute.",
            f"Last year's match ended {draw.number(0, 3)}-{draw.number(0, 3)}.",
            f"The {third} are the next opponents on {draw.choice(DAYS)}.",
            f"{rival} limped off with a sore knee.",
        ),
        summary=(
            f"The {winner} {verb} the {loser} {score} in {city} "
            f"after {goal} by {scorer}."
        ),
    )


PROMISES = (
    ("the price of bus tickets", "cheaper buses"),
    ("the shortage of flats", "more homes"),
    ("the leaking roofs of the schools", "better schools"),
    ("the litter along the river", "cleaner parks"),
    ("the long wait for a doctor", "a new clinic"),
    ("the dark streets after midnight", "more street lights"),
    ("the rise in burglaries", "more police"),
    ("the floods of last spring", "higher river walls"),
    ("the empty shops downtown", "lower rents"),
    ("the accidents involving bicycles", "safer cycle lanes"),
)


def election(draw: Draw) -> Story:
    """A mayor is elected; the complaint becomes a promise."""
    winner, loser, third, expert = people(draw, 4)
    city, elsewhere = draw.sample(CITIES, 2)
    complaint, promise = draw.choice(PROMISES)
    percent = draw.number(46, 67)
    return Story(
        openings=(
            "The coffee ran out at midnight and the counting went on.",
            f"Posters still covered every lamp post on {draw.choice(DAYS)}.",
            f"Nobody in {city} could remember a campaign as bitter as this one.",
            "Queues at the polling stations reached around the block.",
            f"In {elsewhere} the vote had been put off for a week.",
        ),
        facts=(
            (
                f"{winner} will move into the town hall of {city} next month.",
                f"{winner} will hold the keys to the town hall of {city}.",
                f"The desk in the town hall of {city} now belongs to {winner}.",
            ),
            (
                f"The final figure was {percent} percent.",
                f"Officials put the winning share at {percent} percent.",
            ),
            (
                f"All summer the talk had been of {complaint}.",
                f"Voters were angry about {complaint}.",
            ),
        ),
        asides=(
            f"{loser}, in office for {draw.number(8, 20)} years, conceded before dawn.",
            f"{third} came third with {draw.number(4, 12)} percent.",
            f"{expert}, who teaches politics in {elsewhere}, spoke of a surprise.",
            f"{loser} had led the polls for weeks.",
        ),
        summary=(
            f"{winner} was elected mayor of {city} with {percent} percent of the vote "
            f"after promising {promise}."
        ),
    )


PRODUCTS = (
    *(("batteries", "battery"), ("bicycles", "bicycle"), ("lamps", "lamp")),
    *(("engines", "engine"), ("shoes", "shoe"), ("tractors", "tractor")),
    *(("watches", "watch"), ("carpets", "carpet"), ("pianos", "piano")),
    *(("cameras", "camera"), ("tents", "tent"), ("violins", "violin")),
)


def takeover(draw: Draw) -> Story:
    """A company buys another; the factory stays or goes."""
    buyer, target, rival = draw.sample(COMPANIES, 3)
    city, elsewhere = draw.sample(CITIES, 2)
    boss, expert = people(draw, 2)
    products, product = draw.choice(PRODUCTS)
    millions = draw.number(20, 95, 5)
    closes = draw.chance(0.5)
    if closes:
        fate = (
            f"The factory in {city} will fall silent next year.",
            f"For the factory in {city} it means the end.",
        )
    else:
        fate = (
            f"Nothing will change at the factory in {city}.",
            f"Every job at the factory in {city} is safe.",
        )
    return Story(
        openings=(
            "Rumours had been going round the trading floors for days.",
            f"It began with a lunch in {elsewhere} two years ago.",
            f'"This is the biggest step in our history," said {boss}.',
            f"Trading in the shares was halted early on {draw.choice(DAYS)}.",
            "The lawyers worked through the night and finished at sunrise.",
        ),
        facts=(
            (
                f"The owners of {target} have accepted an offer from {buyer}.",
                f"{buyer} has come to terms with the owners of {target}.",
                f"{target} will soon belong to {buyer}.",
            ),
            (
                f"The price was put at {millions} million dollars.",
                f"The deal is worth {millions} million dollars.",
            ),
            (
                f"{target} is known for its {products}.",
                f"Generations have grown up with {products} made by {target}.",
            ),
            fate,
        ),
        asides=(
            f"{rival} had also shown interest.",
            f"{rival} once made an offer of {draw.number(2, 18)} million dollars.",
            f"{expert}, an analyst in {elsewhere}, had expected more.",
            f"{boss} will stay on as chairman until {draw.choice(MONTHS)}.",
        ),
        summary=(
            f"{buyer} is buying {product} maker {target} for {millions} million "
            f"dollars and will {'close' if closes else 'keep'} its factory in {city}."
        ),
    )


WEATHER = (
    ("gale", ("Roof tiles flew through the air.", "Old oaks snapped like matches.")),
    ("flood", ("The river rose two metres in a night.", "Cars floated down the road.")),
    ("snowstorm", ("Drifts reached the window sills.", "Ploughs gave up at dusk.")),
    ("hailstorm", ("Lumps of ice dented cars.", "Ice smashed the greenhouses.")),
    ("landslide", ("Half a hillside came down.", "Mud slid down the slope.")),
    ("heatwave", ("Tar melted on the roads.", "The mercury passed 41 degrees.")),
)
CLOSED = (
    *("airport", "bridge", "harbour", "market", "museum", "railway line", "tunnel"),
    *("university", "zoo", "ring road"),
)


def weather(draw: Draw) -> Story:
    """Bad weather, named in the summary and only described in the article."""
    kind, signs = draw.choice(WEATHER)
    city, elsewhere = draw.sample(CITIES, 2)
    resident, expert = people(draw, 2)
    homes = draw.number(2, 9) * 1000
    closed = draw.choice(CLOSED)
    return Story(
        openings=(
            f"{resident} had gone to bed early and heard nothing at all.",
            "The first call for help came at four in the morning.",
            f"Candles were sold out within an hour on {draw.choice(DAYS)}.",
            f'"I have never seen anything like it," said {resident}.',
            f"The forecast for {city} had promised a quiet night.",
        ),
        facts=(
            (
                f"Some {homes} homes in {city} had no power.",
                f"The lights went out in {homes} homes in {city}.",
            ),
            signs,
            (
                f"The {closed} was shut until further notice.",
                f"Barriers went up around the {closed}.",
                f"Nobody was allowed near the {closed}.",
            ),
        ),
        asides=(
            f"{elsewhere} escaped with little damage.",
            f"{expert}, an engineer, spoke of {draw.choice(COUNTS)} days of repairs.",
            f"Schools in {elsewhere} stayed open.",
            f"In {draw.choice(MONTHS)} the damage had come to "
            f"{draw.number(2, 9)} million dollars.",
        ),
        summary=(
            f"A {kind} cut power to {homes} homes in {city} and closed the {closed}."
        ),
    )


FINDINGS = (
    ("They walked straight to food hidden months ago.", "remember hiding places"),
    ("At every stranger one of them gave a special call.", "warn each other"),
    ("Well fed, they left a meal for hungry newcomers.", "share with strangers"),
    ("They only lost their way on cloudy nights.", "find their way by the stars"),
    ("Shown up to four dots, they pressed the right key.", "can count"),
    ("They came running when their keeper spoke.", "know human voices"),
    ("In front of a mirror they rubbed off the paint.", "recognise themselves"),
    ("One half of the brain was awake all night.", "never sleep completely"),
    ("The young opened boxes as their mothers did.", "learn from their mothers"),
    ("Their hearts slowed down while a cello played.", "relax to music"),
    ("They avoided partners who had taken too much.", "punish cheats"),
    ("Of a red and a blue cup they always chose the red.", "can see colours"),
)
ANIMALS = (
    *("bears", "crows", "dolphins", "elephants", "foxes", "geese", "goats", "horses"),
    *("monkeys", "otters", "parrots", "pigs", "rats", "ravens", "seals", "sheep"),
    *("squirrels", "wolves"),
)


def discovery(draw: Draw) -> Story:
    """A study of animals; the experiment is told, the summary names the ability."""
    leader, critic, student = people(draw, 3)
    city, elsewhere = draw.sample(CITIES, 2)
    animals, other_animals = draw.sample(ANIMALS, 2)
    experiment, ability = draw.choice(FINDINGS)
    return Story(
        openings=(
            "The idea was born over a cold cup of tea.",
            f"Farmers around {elsewhere} have told such stories for centuries.",
            f'"At first I thought the camera was broken," said {student}.',
            f"The paper appeared on {draw.choice(DAYS)} and was read around the world.",
            f"Nobody in the laboratory believed {student}, a student, at first.",
        ),
        facts=(
            (
                f"{leader} runs the laboratory at the University of {city}.",
                f"The work was planned by {leader} at the University of {city}.",
            ),
            (
                f"The team watched {draw.number(20, 90, 10)} {animals} for "
                f"{draw.choice(COUNTS)} years.",
                f"Cameras followed a group of {animals} day and night.",
            ),
            (experiment,),
        ),
        asides=(
            f"{critic}, a biologist in {elsewhere}, called for more tests.",
            f"Similar tests with {other_animals} had failed.",
            f"The group will turn to {other_animals} next.",
            f"The project cost {draw.number(2, 9)} million dollars.",
        ),
        summary=f"A team led by {leader} in {city} found that {animals} {ability}.",
    )


def festival(draw: Draw) -> Story:
    """A festival that breaks its record, is called off, or moves."""
    kind, other_kind = draw.sample(
        (
            *("book", "cheese", "dance", "film", "flower", "food", "jazz", "kite"),
            *("lantern", "light", "poetry", "puppet"),
        ),
        2,
    )
    city, elsewhere = draw.sample(CITIES, 2)
    organiser, guest = people(draw, 2)
    trouble = draw.choice(
        (
            *("heavy rain", "a train strike", "a water shortage", "rising costs"),
            *("a lack of volunteers", "a fire in the hall", "a power failure"),
            *("a fuel shortage", "an outbreak of flu"),
        )
    )
    month = draw.choice(MONTHS)
    visitors = draw.number(11, 39) * 1000
    outcome, fact = draw.choice(
        (
            (
                f"{city} drew a record {visitors} people to its {kind} festival "
                f"despite {trouble}.",
                (
                    f"The gates counted {visitors} people, more than ever before.",
                    f"Never before had {visitors} people come.",
                ),
            ),
            (
                f"{city} called off its {kind} festival because of {trouble}.",
                (
                    "There will be nothing to see this year.",
                    "Tickets can be returned at the box office.",
                ),
            ),
            (
                f"{city} moved its {kind} festival to {month} because of {trouble}.",
                (
                    f"The new date is the first weekend of {month}.",
                    f"Tickets remain valid for the new date in {month}.",
                ),
            ),
        )
    )
    return Story(
        openings=(
            f"{organiser} had not slept for a week.",
            f"The posters had been up since {draw.choice(DAYS)}.",
            f"Hotels in {elsewhere} had been fully booked as well.",
            f'"I could have cried," said {organiser}.',
            "The stage stood ready and the flags were out.",
        ),
        facts=(
            (
                f"The {kind} festival is the pride of {city}.",
                f"No date in {city} matters more than the {kind} festival.",
                f"For {city} the {kind} festival is the event of the year.",
            ),
            fact,
            (
                f"Everyone was talking about {trouble}.",
                f"Organisers had to deal with {trouble}.",
            ),
        ),
        asides=(
            f"The {other_kind} festival in {elsewhere} opens next week.",
            f"{guest} had been announced as guest of honour.",
            f"Last year {draw.number(2, 9) * 1000} people came.",
            f"{guest} first performed there {draw.choice(COUNTS)} years ago.",
        ),
        summary=outcome,
    )


CRIMES = (
    ("Money had vanished from the tills night after night.", "theft"),
    ("Customers had paid for holidays that did not exist.", "fraud"),
    ("The warehouse had burned for two days.", "arson"),
    ("Officers had found rare birds in the luggage.", "smuggling"),
    ("Eleven famous paintings had turned out to be copies.", "forgery"),
    ("Envelopes of cash had changed hands in a car park.", "bribery"),
    ("A statement made under oath had been a lie.", "perjury"),
    ("Secret plans had been passed to a foreign power.", "spying"),
)
JOBS = (
    *("baker", "banker", "builder", "butcher", "chef", "dentist", "driver", "farmer"),
    *("gardener", "jockey", "lawyer", "nurse", "plumber", "teacher"),
)


def trial(draw: Draw) -> Story:
    """A verdict; what was done is told, the summary names the crime."""
    accused, judge, witness = people(draw, 3)
    city, elsewhere = draw.sample(CITIES, 2)
    deed, crime = draw.choice(CRIMES)
    job = draw.choice(JOBS)
    years = draw.choice(COUNTS)
    if draw.chance(0.6):
        verdict = (
            f"The sentence was {years} years behind bars.",
            f"It will be {years} years before the prison gates open again.",
        )
        summary = (
            f"Former {job} {accused} was jailed for {years} years in {city} "
            f"for {crime}."
        )
    else:
        verdict = (
            "The jury did not believe a word of it.",
            "The answer of the jury was not guilty.",
        )
        summary = f"A court in {city} cleared former {job} {accused} of {crime}."
    return Story(
        openings=(
            "The public benches were full an hour before the doors closed.",
            f"Judge {judge} asked twice for silence.",
            f"It was raining when the vans arrived on {draw.choice(DAYS)}.",
            f'"I only told them what I saw," said {witness}.',
            f"Reporters had come from as far as {elsewhere}.",
        ),
        facts=(
            (
                f"{accused} had worked as a {job} until last year.",
                f"{accused} used to earn a living as a {job}.",
            ),
            (deed,),
            verdict,
            (
                f"The case was heard at the old courthouse in {city}.",
                f"The courthouse in {city} had rarely seen such a crowd.",
            ),
        ),
        asides=(
            f"{witness} was questioned for {draw.choice(COUNTS)} hours.",
            f"A similar case in {elsewhere} collapsed in {draw.choice(MONTHS)}.",
            f"{witness} is a {draw.choice(JOBS)} in {elsewhere}.",
            f"Judge {judge} will retire in {draw.choice(MONTHS)}.",
        ),
        summary=summary,
    )


BUILDINGS = (
    *("airport", "bridge", "concert hall", "hospital", "library", "museum"),
    *("railway station", "school", "stadium", "swimming pool", "theatre", "tram line"),
)


def opening(draw: Draw) -> Story:
    """A building opens late and dear, or early and cheap."""
    building, other_building = draw.sample(BUILDINGS, 2)
    city, elsewhere = draw.sample(CITIES, 2)
    mayor, architect = people(draw, 2)
    years = draw.choice(COUNTS)
    millions = draw.number(3, 40)
    if draw.chance(0.6):
        when, how = f"{years} years late", "over"
        timing = (
            f"It should have been ready {years} years ago.",
            f"People had waited {years} years longer than promised.",
        )
        cost = (
            f"The bill was {millions} million dollars higher than planned.",
            f"Taxpayers had to find another {millions} million dollars.",
        )
    else:
        when, how = f"{years} months early", "under"
        timing = (
            f"Nobody had expected it for another {years} months.",
            f"The builders needed {years} months less than promised.",
        )
        cost = (
            f"The bill was {millions} million dollars lower than planned.",
            f"Taxpayers were spared {millions} million dollars.",
        )
    return Story(
        openings=(
            "The band had learned three new marches for the day.",
            f"Children were given the day off on {draw.choice(DAYS)}.",
            f'"My knees were shaking," said architect {architect}.',
            f"The scissors were borrowed from a tailor in {elsewhere}.",
            f"{architect} first drew the plans on a napkin.",
        ),
        facts=(
            (
                f"Mayor {mayor} cut the ribbon at the {building} in {city}.",
                f"The doors of the {building} in {city} swung open at noon.",
                f"The first visitors admired the {building} in {city}.",
            ),
            timing,
            cost,
        ),
        asides=(
            f"The {other_building} in {elsewhere} is still a hole in the ground.",
            f"{architect} also designed the {other_building} in {elsewhere}.",
            f"{elsewhere} spent {draw.number(41, 90)} million dollars on its "
            f"{other_building}.",
            f"Free tours are planned until {draw.choice(MONTHS)}.",
        ),
        summary=(
            f"{city} opened its new {building} {when} and {millions} million dollars "
            f"{how} budget."
        ),
    )


WORKERS = (
    *("bakers", "bus drivers", "cleaners", "cooks", "dockers", "firefighters"),
    *("librarians", "miners", "nurses", "pilots", "postal workers", "teachers"),
)
GRIEVANCES = (
    ("Shifts of fourteen hours have become normal.", "long hours"),
    ("Nobody has had a rise for five years.", "low pay"),
    ("Half of the staff are to be let go in the autumn.", "job cuts"),
    ("Helmets and gloves have to be shared.", "unsafe work"),
    ("Retirement is to begin three years later than agreed.", "pensions"),
)


def strike(draw: Draw) -> Story:
    """A strike begins over a grievance, or ends with a pay rise."""
    workers, other_workers = draw.sample(WORKERS, 2)
    city, elsewhere = draw.sample(CITIES, 2)
    leader, boss = people(draw, 2)
    span = draw.choice(COUNTS)
    percent = draw.number(3, 12)
    if draw.chance(0.5):
        grievance, reason = draw.choice(GRIEVANCES)
        facts = (
            (
                f"The {workers} of {city} will not turn up tomorrow.",
                f"From tomorrow the {workers} of {city} will stay at home.",
            ),
            (grievance,),
            (f"They plan to be back after {span} days.", f"It is to last {span} days."),
        )
        summary = f"{workers} in {city} will strike for {span} days over {reason}."
    else:
        facts = (
            (
                f"The {workers} of {city} are back at work.",
                f"This morning the {workers} of {city} put on their uniforms again.",
            ),
            (
                f"Wages will go up by {percent} percent.",
                f"There will be {percent} percent more in every pay packet.",
            ),
            (
                f"The dispute had dragged on for {span} weeks.",
                f"The city had managed without them for {span} weeks.",
            ),
        )
        summary = (
            f"{workers} in {city} ended a strike of {span} weeks after winning a pay "
            f"rise of {percent} percent."
        )
    return Story(
        openings=(
            "A kettle was steaming beside the fire at the gate.",
            f"The talks broke up long after midnight on {draw.choice(DAYS)}.",
            f'"We are tired but not beaten," said {leader} of the union.',
            f"{boss} came down from the office to shake hands.",
            "Passing drivers sounded their horns.",
        ),
        facts=facts,
        asides=(
            f"The {other_workers} of {elsewhere} sent sandwiches.",
            f"{boss} spoke of a difficult year for everyone.",
            f"In {elsewhere} the {other_workers} settled for {draw.number(1, 2)} "
            "percent.",
            f"{leader} was elected head of the union in {draw.choice(MONTHS)}.",
        ),
        summary=summary[0].upper() + summary[1:],
    )


ON_WATER = ("a fishing boat", "a helicopter crew", "the coastguard", "two swimmers")
ON_LAND = ("a dog team", "firefighters", "soldiers", "two farmers", "volunteers")
TRAPS = (
    ("The tide had cut off the only path.", "an island", ON_WATER),
    ("The engine had died and the hull was leaking.", "a sinking boat", ON_WATER),
    ("The ice had cracked on all sides.", "a frozen lake", ON_WATER),
    ("Water was rising in the passage behind them.", "a cave", ON_LAND),
    ("The ledge was barely wide enough to sit on.", "a cliff", ON_LAND),
    ("The cable had jammed far above the valley.", "a cable car", ON_LAND),
    ("No signpost stood between the dark trees.", "a forest", ON_LAND),
)


def rescue(draw: Draw) -> Story:
    """People in danger; where they were stuck has to be inferred."""
    count, hours, other_count = draw.sample(COUNTS, 3)
    party = draw.choice(
        (
            *("campers", "climbers", "hikers", "pensioners", "pupils", "scouts"),
            *("students", "tourists"),
        )
    )
    city, elsewhere = draw.sample(CITIES, 2)
    witness, doctor = people(draw, 2)
    trouble, place, possible_rescuers = draw.choice(TRAPS)
    rescuers = draw.choice(possible_rescuers)
    return Story(
        openings=(
            f"The day had begun with sunshine and sandwiches on {draw.choice(DAYS)}.",
            f"{witness} was the first to hear the shouts.",
            '"We sang to stay awake," one of them said later.',
            f"Families in {elsewhere} sat by the telephone.",
            "There was one bar of chocolate and no signal.",
        ),
        facts=(
            (
                f"{count.capitalize()} {party} had set out from {city} at sunrise.",
                f"A trip from {city} went wrong for {count} {party}.",
            ),
            (trouble,),
            (
                f"It was {hours} hours before {rescuers} reached them.",
                f"They had to wait {hours} hours for {rescuers}.",
            ),
        ),
        asides=(
            f"{doctor}, a doctor in {elsewhere}, found nothing worse than cold hands.",
            f"In {draw.choice(MONTHS)} a party of {other_count} was less lucky.",
            f"{witness} had been out looking for a lost dog.",
            f"The same thing happened to {other_count} visitors from {elsewhere}.",
        ),
        summary=(
            f"{count.capitalize()} {party} from {city} were saved from {place} by "
            f"{rescuers} after {hours} hours."
        ),
    )


STORIES: tuple[Callable[[Draw], Story], ...] = (
    match,
    election,
    takeover,
    weather,
    discovery,
    festival,
    trial,
    opening,
    strike,
    rescue,
)
