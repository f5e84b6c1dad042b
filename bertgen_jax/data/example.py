"""`Example`: one source text with its references, as every reader yields it."""

import dataclasses


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
