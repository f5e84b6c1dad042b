"""Draws in; short news articles with one-sentence summaries out."""

from collections.abc import Iterator

from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.news_stories import STORIES, Story


def articles(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (article, summary) without end; a summary may come twice."""
    while True:
        story = draw.one(STORIES)(draw)
        yield article(draw, story, asides=(2, 3)), story.summary


def article(draw: Draw, story: Story, asides: tuple[int, int]) -> str:
    """An opening or the first fact, then the other sentences in any order.

    Args:
      draw: chooses.
      story: what is told.
      asides: the least and the most asides among the sentences.
    """
    first, *rest = [draw.one(wordings) for wordings in story.facts]
    if draw.chance(0.6):
        rest.append(first)
        first = draw.one(story.openings)
    rest += draw.several(story.asides, draw.number(*asides))
    return " ".join([first, *draw.several(rest, len(rest))])
