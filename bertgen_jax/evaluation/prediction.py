"""`Prediction`: a generated text beside its source and references; a line of a file."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

from bertgen_jax.files import atomic


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model made of one example.

    Attributes:
      id: the example's.
      source: its text.
      references: the right answers.
      prediction: the generated text.
      score: of the search: log-probability over the length norm.
    """

    id: str
    source: str
    references: tuple[str, ...]
    prediction: str
    score: float


def write(path: pathlib.Path, predictions: Iterable[Prediction]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    rows = map(dataclasses.asdict, predictions)
    atomic.write_text(path, (json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
