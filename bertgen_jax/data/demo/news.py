"""Short news articles with a summary, and longer ones with several highlights."""

from collections.abc import Iterator

from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.news_stories import (
    STORIES,
    Story,
    election,
    match,
    rescue,
    strike,
    weather,
)

# The stories of articles with highlights: few kinds, because the articles are longer
# and a demo has little time to learn them.
HIGHLIGHT_STORIES = (election, match, rescue, strike, weather)
# Sentences between the stories of one article.
TRANSITIONS = (
    "That was not all.",
    "The day had more in store.",
    "Elsewhere the talk was of something else.",
    "And there was other news.",
)
WORDS = range(80, 131)  # the length of an article with highlights


def news(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (article, summary) without end; a summary may come twice."""
    while True:
        story = draw.choice(STORIES)(draw)
        yield article(draw, story, asides=(2, 3)), story.summary


def highlights(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (article, highlights) without end; either may come twice.

    An article tells two or three stories. Its highlights are their summaries, one a
    line and in the same order.
    """
    while True:
        kinds = draw.sample(HIGHLIGHT_STORIES, draw.choice((2, 2, 3)))
        stories = [tell(draw) for tell in kinds]
        first, *rest = [article(draw, story, asides=(0, 1)) for story in stories]
        transitions = draw.sample(TRANSITIONS, len(rest))
        text = " ".join([first, *map(" ".join, zip(transitions, rest, strict=True))])
        if len(text.split()) in WORDS:
            yield text, "\n".join(story.summary for story in stories)


def article(draw: Draw, story: Story, asides: tuple[int, int]) -> str:
    """Returns an opening or the first fact, then the other sentences in random order.

    Args:
      draw: chooses.
      story: what is told.
      asides: the least and the largest number of asides.
    """
    first, *rest = [draw.choice(wordings) for wordings in story.facts]
    if draw.chance(0.6):
        rest.append(first)
        first = draw.choice(story.openings)
    rest += draw.sample(story.asides, draw.number(*asides))
    return " ".join([first, *draw.sample(rest, len(rest))])
