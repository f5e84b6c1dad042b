"""`Score`: one number about a set of predictions, and what is needed to trust it."""

import dataclasses
from collections.abc import Iterable, Mapping

from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.measurement import Measurement


@dataclasses.dataclass(frozen=True)
class Score:
    """The value of one metric over a set of examples.

    Attributes:
      name: what was measured, such as "rougeL".
      value: mostly 0 to 100.
      low: lower end of the 95% bootstrap interval.
      high: upper end.
      signature: every choice that fixes the value, as "key:value" joined by "|".
    """

    name: str
    value: float
    low: float
    high: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def signatures(found: Mapping[str, Score]) -> list[str]:
    """Lines "rouge1, rouge2: rouge-score 0.1.2|...", one for each signature."""
    names: dict[str, list[str]] = {}
    for name, score in found.items():
        names.setdefault(score.signature, []).append(name)
    return [f"{', '.join(these)}: {signature}" for signature, these in names.items()]


def scores(
    measurements: Iterable[Measurement], resamples: Resamples
) -> dict[str, Score]:
    """Values with their intervals, by name."""
    samples, examples = resamples.counts.shape
    drawn = f"bootstrap:{samples}|seed:{resamples.seed}|n:{examples}"
    return {
        one.name: Score(
            one.name,
            one.value,
            *resamples.interval(one),
            f"{one.signature}|{drawn}",
        )
        for one in measurements
    }
