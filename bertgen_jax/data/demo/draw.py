"""`Draw`: a seed in; choices out that are the same on every machine and version."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """Choices from one seeded stream.

    Only `random.Random.random` is called: Python promises that its numbers for a seed
    never change. It promises nothing of the other methods, nor numpy of its generators.
    """

    def __init__(self, seed: int):
        self._uniform = random.Random(seed).random

    def one(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self._uniform() * len(items))]

    def several(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in random order."""
        rest = list(items)
        return [rest.pop(int(self._uniform() * len(rest))) for _ in range(count)]

    def number(self, low: int, high: int, step: int = 1) -> int:
        """One of low, low + step, ..., up to high."""
        return self.one(range(low, high + 1, step))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._uniform() < probability
