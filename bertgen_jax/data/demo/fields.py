"""Templates in; texts whose fields are drawn from tables out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertgen_jax.data.demo.draw import Draw

# A field is one of the values, or what the function makes of a draw.
Tables = Mapping[str, Sequence[Any] | Callable[[Draw], Any]]


class Fields(dict[str, Any]):
    """The fields of one example, drawn when a template first asks for them.

    Templates are those of `str.format`: "{person.he} moved to {city}". A field bears
    the name of its table, with a digit where an example needs several: {city} and
    {city2} differ. Values that are templates share the fields of the example.
    """

    def __init__(self, draw: Draw, tables: Tables):
        super().__init__()
        self._draw = draw
        self._tables = tables

    def __missing__(self, name: str) -> Any:
        """Draws a value that no other field has."""
        table = self._tables[name.rstrip("0123456789")]
        while True:
            value = table(self._draw) if callable(table) else self._draw.one(table)
            if isinstance(value, tuple):
                value = tuple(map(self.fill, value))
            if value not in self.values():
                self[name] = value
                return value

    def fill(self, template: str) -> str:
        """The text of a template."""
        return template.format_map(self)

    def sentence(self, template: str) -> str:
        """The text of a template, its first letter a capital."""
        text = self.fill(template)
        return text[0].upper() + text[1:]
