"""The columns of one row in, one `Example` out, by the mapping of the config."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from bertgen_jax import errors
from bertgen_jax.data.formats import table

_FIELDS = ("source", "target", "id")
_JOIN = "+"  # always: a column with it in its name is no source or target by name


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A source text and the texts that are right answers to it.

    Attributes:
      id: unique within its split; from the data, else "file-name:row" counted from 1.
      source: the input text.
      references: one or more target texts; the first one is trained on.
    """

    id: str
    source: str
    references: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns the fields of an example come from.

    Attributes:
      source: the column of the input text; "a+b" joins two.
      target: the columns of the references, in order; each may join several too.
      id: the column of the id; None numbers the rows.
    """

    source: str
    target: tuple[str, ...]
    id: str | None = None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, str]) -> "Columns":
        """Columns from {"source": "document", "target": "summary1,summary2"}.

        "+" joins columns to one text, and "," parts references: "a+b,c" are two. Blanks
        beside these signs do not count. The id is one column, whatever its name.

        Raises:
          ConfigError: an unknown field, a missing one, or a name that is no text.
        """
        for field in mapping:
            if field not in _FIELDS:
                raise errors.ConfigError(
                    f"columns maps {field!r}, which an example does not have; it has "
                    f"{', '.join(_FIELDS)}.{errors.nearest(field, _FIELDS)}"
                )
        for field, name in mapping.items():
            text = name if isinstance(name, str) else ""
            names = [text] if field == "id" else re.split("[,+]", text)
            if not all(one.strip() for one in names):
                raise errors.ConfigError(
                    f"columns maps {field} to {name!r}; the name of a column is "
                    "expected, or its position from '0' where a file has no header."
                )
        for field in ("source", "target"):
            if field not in mapping:
                raise errors.ConfigError(
                    f"columns maps {' and '.join(mapping) or 'nothing'}; {field} is "
                    'needed too, as in {"source": "document", "target": "summary"}.'
                )
        source = _JOIN.join(joined(mapping["source"]))
        target = tuple(
            _JOIN.join(joined(name.strip())) for name in mapping["target"].split(",")
        )
        return cls(source, target, mapping.get("id"))

    @property
    def names(self) -> tuple[str, ...]:
        """Every mapped column, once."""
        texts = [name for one in (self.source, *self.target) for name in joined(one)]
        return tuple(dict.fromkeys([*texts, *([self.id] if self.id else [])]))

    def to_example(self, values: Mapping[str, object], numbered: str) -> Example:
        """The example of one row.

        A list of texts is joined by blanks in the source; in the target each text is a
        reference. Empty references and those that are null are left out. Joined columns
        are one text: all that is in them and not empty, joined by blanks and stripped.

        Args:
          values: the row's columns.
          numbered: the id, where no column gives one.

        Raises:
          BadRow: a column is missing, something in it is no text, or it is empty.
        """
        source = " ".join(texts(values, self.source))
        if not source.strip():
            raise table.BadRow(
                "empty source",
                f"column {self.source!r} is empty; the source is needed.",
            )
        targets = [text for name in self.target for text in texts(values, name)]
        references = tuple(text for text in targets if text.strip())
        if not references:
            named = " and column ".join(repr(name) for name in self.target)
            raise table.BadRow(
                "empty target",
                f"column {named} is empty; at least one reference is needed.",
            )
        own = numbered if self.id is None else _identifier(values, self.id)
        return Example(own, source, references)


def joined(name: str) -> tuple[str, ...]:
    """The columns that are joined to one text: "a + b" -> ("a", "b")."""
    names = name.split(_JOIN)
    return (name,) if len(names) == 1 else tuple(one.strip() for one in names)


def no_such_column(name: str, found: Iterable[str]) -> str:
    """What to say of a table or a row that lacks a mapped column."""
    found = list(found)
    listed = ", ".join(repr(one) for one in found[:20]) or "none"
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    hint = errors.nearest(name, found)
    return f"there is no column {name!r}; found: {listed}{more}.{hint}"


def texts(values: Mapping[str, object], name: str) -> list[str]:
    """The texts of a column, none, one or a list; of joined columns the one text.

    Raises:
      BadRow: there is no such column, or something in it is no text.
    """
    names = joined(name)
    if len(names) == 1:
        return _column(values, name)
    parts = [text for one in names for text in _column(values, one)]
    return [" ".join(text for text in parts if text.strip()).strip()]


def _column(values: Mapping[str, object], name: str) -> list[str]:
    value = _value(values, name)
    if value is None:
        return []
    items = value if isinstance(value, list | tuple) else [value]
    return [_text(item, name) for item in items]


def _identifier(values: Mapping[str, object], name: str) -> str:
    value = _value(values, name)
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str | bytes) and value.strip():
        return _text(value, name)
    raise table.BadRow(
        "no id",
        f"column {name!r} gives the id and holds {table.excerpt(str(value))}; a text "
        "or a number is expected.",
    )


def _value(values: Mapping[str, object], name: str) -> object:
    try:
        return values[name]
    except KeyError:
        raise table.BadRow("missing column", no_such_column(name, values)) from None


def _text(value: object, name: str) -> str:
    if isinstance(value, bytes):
        return table.decode(value)
    if not isinstance(value, str):
        raise table.BadRow(
            "no text",
            f"column {name!r} holds {table.excerpt(str(value))} of type "
            f"{type(value).__name__}; text or a list of texts is expected.",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise table.BadRow(
            "invalid Unicode",
            f"column {name!r} has U+{ord(value[error.start]):X}, half a surrogate "
            "pair, which is no character.",
        ) from None
    return value
