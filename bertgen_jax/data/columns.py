"""Maps the columns of a row to an `Example`, as the config says."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from bertgen_jax import errors
from bertgen_jax.data.formats import table

MISSING = "missing column"  # the reason of a `BadRow` without a mapped column

_FIELDS = ("source", "target", "id")
_LISTED = 20  # columns that a message names
_JOIN = "+"  # so no column with this sign in its name can be a source or a target


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A source text and its references.

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
    """The columns that the fields of an example come from.

    Attributes:
      source: the column of the input text; "a+b" joins two columns.
      target: the columns of the references, in order; each may join several columns.
      id: the column of the id; None numbers the rows.
    """

    source: str
    target: tuple[str, ...]
    id: str | None = None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, str]) -> "Columns":
        """Parses a mapping: {"source": "document", "target": "summary1,summary2"}.

        "+" joins columns to one text, and "," separates references: "a+b,c" are two
        references. Blanks around these signs are ignored. The id is always one column,
        whatever its name.

        Raises:
          ConfigError: a field is unknown or missing, or a name is not a text.
        """
        for field in mapping:
            errors.check_choice("the field that columns maps", field, _FIELDS)
        for field, column in mapping.items():
            text = column if isinstance(column, str) else ""
            names = [text] if field == "id" else re.split("[,+]", text)
            if not all(name.strip() for name in names):
                raise errors.ConfigError(
                    f"columns maps {field} to {column!r}; expected the name of a "
                    "column, or its position from '0' if the file has no header."
                )
        for field in ("source", "target"):
            if field not in mapping:
                raise errors.ConfigError(
                    f"columns maps {' and '.join(mapping) or 'nothing'}; expected "
                    f"{field} too, as in "
                    '{"source": "document", "target": "summary"}.'
                )
        source = _JOIN.join(split_joined(mapping["source"]))
        target = tuple(
            _JOIN.join(split_joined(name.strip()))
            for name in mapping["target"].split(",")
        )
        return cls(source, target, mapping.get("id"))

    @property
    def names(self) -> tuple[str, ...]:
        """Every mapped column, once."""
        columns = (self.source, *self.target)
        names = [name for column in columns for name in split_joined(column)]
        return tuple(dict.fromkeys([*names, *([self.id] if self.id else [])]))

    def advice(self) -> str:
        """Returns what to do about a file that lacks one of the columns."""
        ids = ""
        if self.id is not None:
            ids = (
                f", id from {self.id!r} (--config.data.columns.id= takes ids from file "
                "and row)"
            )
        return (
            f"The config reads source from {self.source!r}, target from "
            f"{','.join(self.target)!r}{ids}; name the columns of the file with "
            "--config.data.columns.source= and --config.data.columns.target=."
        )

    def to_example(self, values: Mapping[str, object], default_id: str) -> Example:
        """Makes the example of one row.

        A list of texts in the source is joined by blanks; in the target each text is a
        reference. Empty and null references are left out. Joined columns are one text:
        their texts that are not empty, joined by blanks and stripped.

        Args:
          values: the columns of the row.
          default_id: the id if no column gives one.

        Raises:
          BadRow: a column is missing or empty, or a value is not a text.
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
        identifier = default_id if self.id is None else _identifier(values, self.id)
        return Example(identifier, source, references)


def split_joined(column: str) -> tuple[str, ...]:
    """Returns the columns that are joined to one text: "a + b" -> ("a", "b")."""
    names = column.split(_JOIN)
    return (column,) if len(names) == 1 else tuple(name.strip() for name in names)


def no_such_column(name: str, available: Iterable[str]) -> str:
    """Returns a message for a table or a row without a mapped column."""
    available = list(available)
    listed = ", ".join(map(repr, available[:_LISTED])) or "none"
    rest = len(available) - _LISTED
    more = f" and {rest} more" if rest > 0 else ""
    hint = errors.nearest(name, available)
    return f"there is no column {name!r}; found: {listed}{more}.{hint}"


def texts(values: Mapping[str, object], column: str) -> list[str]:
    """Returns the texts in a column: none, one or several; of joined columns, one.

    Raises:
      BadRow: there is no such column, or a value is not a text.
    """
    names = split_joined(column)
    if len(names) == 1:
        return _column(values, column)
    pieces = [text for name in names for text in _column(values, name)]
    return [" ".join(text for text in pieces if text.strip()).strip()]


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
        f"column {name!r} gives the id and holds {table.excerpt(str(value))}; expected "
        "a text or a number.",
    )


def _value(values: Mapping[str, object], name: str) -> object:
    try:
        return values[name]
    except KeyError:
        raise table.BadRow(MISSING, no_such_column(name, values)) from None


def _text(value: object, name: str) -> str:
    if isinstance(value, bytes):
        return table.decode(value)
    if not isinstance(value, str):
        raise table.BadRow(
            "no text",
            f"column {name!r} holds {table.excerpt(str(value))} of type "
            f"{type(value).__name__}; expected a text or a list of texts.",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise table.BadRow(
            "invalid Unicode",
            f"column {name!r} has U+{ord(value[error.start]):X}, half of a surrogate "
            "pair, which is not a character.",
        ) from None
    return value
