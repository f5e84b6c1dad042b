"""`Score`: one number about a set of predictions, and what is needed to trust it."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Score:
    """The value of one metric over a set of examples.

    Attributes:
      name: what was measured, such as "rougeL".
      value: 0 to 100.
      low: lower end of the 95% bootstrap interval.
      high: upper end.
      signature: every choice that fixes the value, as "key:value" joined by "|".
      per_example: f64[n], 0 to 100, whose mean is `value`; None for a metric that is
        not a mean over examples.
    """

    name: str
    value: float
    low: float
    high: float
    signature: str
    per_example: np.ndarray | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
