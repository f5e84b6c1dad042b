"""The rules by which saved steps stay on disk: the newest, the best, the periodic."""

from collections.abc import Iterable, Mapping
from typing import Literal

Mode = Literal["max", "min"]


def ranked(scores: Mapping[int, float], mode: Mode) -> list[int]:
    """Returns the scored steps, best first; of equal scores the earlier step wins.

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
    """Returns the steps to keep: the newest, the best, and every `period`-th.

    The newest steps stay whatever their score, so that a resumed run never goes back in
    time. A step without a score is never among the best, so that such steps do not pile
    up:

      steps 1 2 3 4 with scores .1 .9 .5 .05, latest=1, best=1, "max" -> {2, 4}
      steps 1-6, scores at 1, 3, 6 only (6 the best),  latest=1, best=1 -> {6}

    Args:
      steps: the steps on disk.
      scores: the scores of those steps that have one.
      mode: as in `ranked`.
      latest: how many of the newest steps to keep; at least 1.
      best: how many of the best steps to keep.
      period: keep the steps divisible by it; None for no such rule.
    """
    steps = sorted(steps)
    kept_steps = set(steps[-latest:])
    kept_steps.update(ranked(scores, mode)[:best])
    if period is not None:
        kept_steps.update(step for step in steps if step % period == 0)
    return kept_steps
