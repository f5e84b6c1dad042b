"""`Outputs`: what metrics look at, predictions beside their references and sources."""

import dataclasses
from collections.abc import Callable, Sequence

from bertgen_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The texts of n examples; the n-th of each belong together.

    Attributes:
      predictions: n texts; an empty one is a bad answer, not an error.
      references: for each its right answers, at least one.
      sources: the input texts; None where they are not known.

    Raises:
      DataError: counts that differ, nothing to be scored, or an example without a
        reference.
    """

    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...] | None = None

    def __post_init__(self):
        count = len(self.predictions)
        if count != len(self.references):
            raise DataError(
                f"There are {count:,} predictions but {len(self.references):,} lists "
                "of references; the n-th prediction is scored by the n-th list."
            )
        if not count:
            raise DataError("There is no prediction to score.")
        if self.sources is not None and count != len(self.sources):
            raise DataError(
                f"There are {count:,} predictions but {len(self.sources):,} sources; "
                "the n-th prediction was made of the n-th source."
            )
        for index, references in enumerate(self.references):
            if isinstance(references, str) or not references:
                raise DataError(
                    f"The references of example {index} (counted from 0) are "
                    f"{references!r}; expected a list of one text or more."
                )

    @classmethod
    def of(
        cls,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        sources: Sequence[str] | None = None,
    ) -> "Outputs":
        """The same of any sequences."""
        return cls(
            tuple(predictions),
            tuple(one if isinstance(one, str) else tuple(one) for one in references),
            None if sources is None else tuple(sources),
        )

    def __len__(self) -> int:
        return len(self.predictions)

    def is_uniform(self) -> bool:
        """Whether all examples have as many references."""
        return len({len(references) for references in self.references}) == 1

    @property
    def reference_count(self) -> str:
        """How many references an example has, as signatures write it: "2", or "var"."""
        return str(len(self.references[0])) if self.is_uniform() else "var"

    def known_sources(self, metric: str) -> tuple[str, ...]:
        """The sources, for a metric that cannot do without.

        Raises:
          DataError: they are not known.
        """
        if self.sources is None:
            raise DataError(
                f"{metric} compares predictions with their sources, which are not "
                "known here; give them as well (--sources)."
            )
        return self.sources

    def check_size(
        self, metric: str, most: int, count_words: Callable[[str], int]
    ) -> None:
        """Refuses texts that a metric would compare word by word for hours.

        Args:
          metric: its name.
          most: words of a prediction times words of a reference of it.
          count_words: how many the metric finds in a text.

        Raises:
          DataError: an example has more.
        """
        for index, (prediction, references) in enumerate(
            zip(self.predictions, self.references, strict=True)
        ):
            longest_text = max(references, key=len)
            if len(prediction) * len(longest_text) <= most:
                continue  # no word is shorter than a letter
            words, longest = count_words(prediction), count_words(longest_text)
            if words * longest > most:
                raise DataError(
                    f"{metric} compares every word of a prediction with every word of "
                    f"its reference; example {index} (counted from 0) has {words:,} "
                    f"and {longest:,}. Expected shorter texts: are line ends missing?"
                )

    def map(self, change: Callable[[str], str]) -> "Outputs":
        """Every text changed, such as normalised."""
        return Outputs(
            tuple(map(change, self.predictions)),
            tuple(tuple(map(change, several)) for several in self.references),
            None if self.sources is None else tuple(map(change, self.sources)),
        )

    def replace_predictions(self, predictions: Sequence[str]) -> "Outputs":
        """Other answers to the same examples, such as a baseline's."""
        return dataclasses.replace(self, predictions=tuple(predictions))
