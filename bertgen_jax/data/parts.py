"""Examples in, some of them out, as examples of their own."""

import dataclasses

import numpy as np

from bertgen_jax.data.example import Example
from bertgen_jax.data.examples import Examples


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some examples of a split.

    Attributes:
      examples: all of them.
      numbers: i64[n], which of them, ascending.
      label: what sets the part apart from others of the same split.
    """

    examples: Examples
    numbers: np.ndarray
    label: str

    @property
    def fingerprint(self) -> str:
        """That of the whole, and which part of it this is."""
        return f"{self.examples.fingerprint}[{self.label}]"

    @property
    def description(self) -> str:
        """One line for the log."""
        return f"{len(self):,} ({self.label}) of {self.examples.description}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.examples[int(self.numbers[index])]


def first(examples: Examples, count: int) -> Examples | Part:
    """The first `count` examples; all of them for 0."""
    if not 0 < count < len(examples):
        return examples
    return Part(examples, np.arange(count), f"the first {count}")


def drawn(examples: Examples, fraction: float, seed: int) -> Examples | Part:
    """A share of the examples, drawn at random (paper, section 4.1), in their order."""
    if fraction == 1:
        return examples
    count = max(1, round(fraction * len(examples)))
    order = np.random.default_rng(seed).permutation(len(examples))
    label = f"drawn with seed {seed}, {count}"
    return Part(examples, np.sort(order[:count]), label)
