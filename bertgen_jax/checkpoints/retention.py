"""Which saved steps stay: from steps and their scores to the steps that are kept."""

from collections.abc import Iterable, Mapping
from typing import Literal

Mode = Literal["max", "min"]


def ranked(scores: Mapping[int, float], mode: Mode) -> list[int]:
    """The scored steps, best first; of equal scores the earlier step is the better.

    Args:
      scores: the score of each step that has one.
      mode: whether a large score is good ("max") or a small one ("min").
    """
    sign = -1 if mode == "max" else 1
    return sorted(scores, key=lambda step: (sign * scores[step], step))


def kept(
    steps: Iterable[int],
    scores: Mapping[int, float],
    *,
    mode: Mode,
    latest: int,
    best: int,
    period: int | None,
) -> set[int]:
    """The steps that stay: the newest, the best scored, and every `period`-th.

    The newest stay whatever their score, so that a resume never goes back in time; a
    step without a score is never among the best, so that such steps do not pile up:

      steps 1 2 3 4 with scores .1 .9 .5 .05, latest=1, best=1, "max" -> {2, 4}
      steps 1-6, scores at 1, 3, 6 only (6 the best),  latest=1, best=1 -> {6}

    Args:
      steps: the steps there are.
      scores: the scores of those that have one.
      mode: as in `ranked`.
      latest: how many of the newest stay; at least 1.
      best: how many of the best stay.
      period: steps divisible by it stay; None for no such rule.
    """
    steps = sorted(steps)
    stay = set(steps[-latest:])
    stay.update(ranked(scores, mode)[:best])
    if period is not None:
        stay.update(step for step in steps if step % period == 0)
    return stay
