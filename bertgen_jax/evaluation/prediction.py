"""`Prediction`: a generated text beside its source and references; a line of a file."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable


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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        for prediction in predictions:
            line = json.dumps(dataclasses.asdict(prediction), ensure_ascii=False)
            file.write(line + "\n")
    temporary.replace(path)
