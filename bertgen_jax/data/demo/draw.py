"""Seeded random choices, and templates whose fields are drawn from tables."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Draw:
    """Random choices from one seeded stream, the same on every machine and version.

    Only `random.Random.random` is called, because Python promises that its numbers for
    a seed never change. Neither Python's other methods nor numpy promise that.
    """

    def __init__(self, seed: int):
        self._uniform = random.Random(seed).random

    def choice(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        return items[int(self._uniform() * len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Returns `count` different items in random order."""
        rest = list(items)
        return [rest.pop(int(self._uniform() * len(rest))) for _ in range(count)]

    def number(self, low: int, high: int, step: int = 1) -> int:
        """Returns one of low, low + step, ..., at most high."""
        return self.choice(range(low, high + 1, step))

    def chance(self, probability: float) -> bool:
        """Returns True with this probability."""
        return self._uniform() < probability


# The values of a field, or a function that draws one.
Tables = Mapping[str, Sequence[Any] | Callable[[Draw], Any]]


class Fields(dict[str, Any]):
    """The fields of one example, drawn when a template first uses them.

    Templates have the syntax of `str.format`: "{person.he} moved to {city}". A field is
    called like its table, with a digit if an example needs several: {city} and {city2}
    differ. If a table has tuples of texts, these are templates with the same fields.
    """

    def __init__(self, draw: Draw, tables: Tables):
        super().__init__()
        self._draw = draw
        self._tables = tables

    def __missing__(self, name: str) -> Any:
        """Draws a value that no other field has."""
        table = self._tables[name.rstrip("0123456789")]
        while True:
            value = table(self._draw) if callable(table) else self._draw.choice(table)
            if isinstance(value, tuple):
                value = tuple(map(self.fill, value))
            if value not in self.values():
                self[name] = value
                return value

    def fill(self, template: str) -> str:
        """Returns the text of a template."""
        return template.format_map(self)

    def sentence(self, template: str) -> str:
        """Returns the text of a template with a capital first letter."""
        text = self.fill(template)
        return text[0].upper() + text[1:]
