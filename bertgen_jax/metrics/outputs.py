"""`Outputs`: the predictions that a metric scores, with references and sources."""

import dataclasses
from collections.abc import Callable, Sequence

from bertgen_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The texts of n examples, in the same order in each field.

    Attributes:
      predictions: n texts; an empty one is a bad answer, not an error.
      references: the right answers of each example, at least one.
      sources: the input texts; None if they are not known.

    Raises:
      DataError: counts that differ, no examples, or an example without a reference.
    """

    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...] | None = None

    def __post_init__(self):
        count = len(self.predictions)
        if count != len(self.references):
            raise DataError(
                f"There are {count:,} predictions but {len(self.references):,} lists "
                "of references; expected as many."
            )
        if not count:
            raise DataError("There are no predictions to score.")
        if self.sources is not None and count != len(self.sources):
            raise DataError(
                f"There are {count:,} predictions but {len(self.sources):,} sources; "
                "expected as many."
            )
        for index, references in enumerate(self.references):
            if isinstance(references, str) or not references:
                raise _invalid_references(index, references)

    @classmethod
    def of(
        cls,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        sources: Sequence[str] | None = None,
    ) -> "Outputs":
        """Builds `Outputs` from any sequences.

        Raises:
          DataError: see `Outputs`.
        """
        for index, texts in enumerate(references):
            if isinstance(texts, str):  # not to be split into characters
                raise _invalid_references(index, texts)
        return cls(
            tuple(predictions),
            tuple(map(tuple, references)),
            None if sources is None else tuple(sources),
        )

    def __len__(self) -> int:
        return len(self.predictions)

    def is_uniform(self) -> bool:
        """Whether all examples have the same number of references."""
        return len({len(references) for references in self.references}) == 1

    @property
    def reference_count(self) -> str:
        """The number of references in signatures: "2", or "var" if it varies."""
        return str(len(self.references[0])) if self.is_uniform() else "var"

    def known_sources(self, metric: str) -> tuple[str, ...]:
        """Returns the sources.

        Args:
          metric: its name, for the message.

        Raises:
          DataError: they are not known.
        """
        if self.sources is None:
            raise DataError(
                f"{metric} compares predictions with their sources, which are not "
                "known; expected sources as well (--sources)."
            )
        return self.sources

    def check_size(
        self, metric: str, max_cells: int, count_words: Callable[[str], int]
    ) -> None:
        """Checks that no example is too long for a metric with quadratic time.

        Args:
          metric: its name, for the message.
          max_cells: the largest product of the numbers of words of a prediction and of
            its longest reference.
          count_words: returns the number of words of a text.

        Raises:
          DataError: an example is longer.
        """
        for index, (prediction, references) in enumerate(
            zip(self.predictions, self.references, strict=True)
        ):
            longest = max(references, key=len)
            if len(prediction) * len(longest) <= max_cells:
                continue  # a text has at most as many words as characters
            words, reference_words = count_words(prediction), count_words(longest)
            if words * reference_words > max_cells:
                raise DataError(
                    f"{metric} compares every word of a prediction with every word of "
                    f"its reference; example {index} (counted from 0) has {words:,} "
                    f"and {reference_words:,}. Expected shorter texts: are line ends "
                    "missing?"
                )

    def map(self, change: Callable[[str], str]) -> "Outputs":
        """Returns the same outputs with `change` applied to every text."""
        return Outputs(
            tuple(map(change, self.predictions)),
            tuple(tuple(map(change, texts)) for texts in self.references),
            None if self.sources is None else tuple(map(change, self.sources)),
        )

    def replace_predictions(self, predictions: Sequence[str]) -> "Outputs":
        """Returns other predictions, such as a baseline's, for the same examples."""
        return dataclasses.replace(self, predictions=tuple(predictions))


def _invalid_references(index: int, references: Sequence[str]) -> DataError:
    return DataError(
        f"The references of example {index} (counted from 0) are {references!r}; "
        "expected a list of at least one text."
    )
