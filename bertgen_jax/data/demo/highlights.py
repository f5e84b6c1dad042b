"""Draws in; longer news articles with highlights, one a line, out."""

from collections.abc import Iterator

from bertgen_jax.data.demo.draw import Draw
from bertgen_jax.data.demo.news import article
from bertgen_jax.data.demo.news_stories import election, match, rescue, strike, weather

# Few kinds: each article has several stories, and a demo little time.
STORIES = (election, match, rescue, strike, weather)
# Between the stories of one article.
TURNS = (
    "That was not all.",
    "The day had more in store.",
    "Elsewhere the talk was of something else.",
    "And there was other news.",
)
WORDS = range(80, 131)  # of an article


def highlights(draw: Draw) -> Iterator[tuple[str, str]]:
    """Yields (article, highlights) without end; either may come twice.

    An article tells two or three stories, and each has its highlight, in their order.
    """
    while True:
        stories = [tell(draw) for tell in draw.several(STORIES, draw.one((2, 2, 3)))]
        first, *others = [article(draw, story, asides=(0, 1)) for story in stories]
        turns = draw.several(TURNS, len(others))
        text = " ".join([first, *map(" ".join, zip(turns, others, strict=True))])
        if len(text.split()) in WORDS:
            yield text, "\n".join(story.summary for story in stories)
