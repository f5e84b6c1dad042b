"""Generates a text for each of any number of texts, with the results in order.

Texts are read in windows. The first one is small, so that results appear soon. Later
ones are larger, so that texts of similar length can share a batch. The windows depend
only on the batch size. So a run that continues an interrupted one sees the same
windows, and its file of results has the same bytes.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bertgen_jax.data.formats.table import BadRow
from bertgen_jax.data.texts import SourceText
from bertgen_jax.errors import BertgenError, ConfigError
from bertgen_jax.generation.pipeline import GeneratedText, Pipeline
from bertgen_jax.generation.result_files import ResultWriter, TextResult

_LARGEST_WINDOW = 1_024  # texts; larger windows would hardly save padding
_GROWTH = 4

Settings = Mapping[str, Any]
# Texts by their numbers -> hypotheses by the same numbers.
GenerateTexts = Callable[[Mapping[int, str]], Mapping[int, list[GeneratedText]]]


@dataclasses.dataclass(frozen=True)
class Tally:
    """The number of texts that were read, and the number of them that failed."""

    texts: int
    failed: int


def window_sizes(batch_size: int) -> Iterator[int]:
    """Yields numbers of texts: 16, 64, 256, 1024, 1024, ... for batches of 16."""
    size = batch_size
    while True:
        yield size
        size = max(batch_size, min(_GROWTH * size, _LARGEST_WINDOW))


def check(pipe: Pipeline, batch_size: int, settings: Settings) -> None:
    """Checks the settings before any text is read.

    Raises:
      ConfigError: a setting is invalid, so generation would fail for all texts.
    """
    for _ in pipe.each([], batch_size=batch_size, **settings):
        pass


def generate(
    pipe: Pipeline,
    texts: Iterable[SourceText],
    writer: ResultWriter,
    settings: Settings,
    *,
    batch_size: int = 16,
    sizes: Iterable[int] | None = None,
    on_failure: Callable[[SourceText, TextResult], object] = lambda text, result: None,
    on_result: Callable[[], object] = lambda: None,
) -> Tally:
    """Generates for each text that has no result yet.

    A text that cannot be read gets an error as its result; the other texts do not fail.

    Args:
      pipe: the pipeline that generates.
      texts: all texts, from the first.
      writer: writes the results; each window is written when it is complete.
      settings: fields of `GenerationConfig` that `check` has accepted. Sampled tokens
        of a text depend on its number, not on its window.
      batch_size: texts that are processed at a time.
      sizes: sizes of windows; `window_sizes` if None.
      on_failure: is called for each text that failed, once its result is written.
      on_result: is called for each new result, in no particular order.

    Returns:
      How many texts there are and how many failed, earlier results included.

    Raises:
      DataError: a damaged file of texts (see `texts.stream`), after the results of the
        texts before the damage are written; or there are more results than texts.
    """
    texts = iter(texts)
    num_read, failed = 0, writer.failed

    def generate_texts(texts: Mapping[int, str]) -> Mapping[int, list[GeneratedText]]:
        numbers, results = list(texts), {}
        for index, hypotheses in pipe.each(
            list(texts.values()), batch_size=batch_size, seeds=numbers, **settings
        ):
            results[numbers[index]] = hypotheses
            if numbers[index] >= writer.count:
                on_result()
        return results

    for size in sizes or window_sizes(batch_size):
        window, damage = _read_window(texts, size)
        num_done = min(max(0, writer.count - num_read), len(window))
        if num_done < len(window):
            results = _results(pipe, settings, generate_texts, window, num_read)
            results = results[num_done:]
            writer.write(results)
            for text, result in zip(window[num_done:], results, strict=True):
                if result.error is not None:
                    failed += 1
                    on_failure(text, result)
                    on_result()
        num_read += len(window)
        if damage is not None:
            raise damage
        if len(window) < size:
            break
    writer.check_number_of_texts(num_read)
    writer.write([])  # removes an incomplete last line even if no result was missing
    return Tally(num_read, failed)


def _read_window(
    texts: Iterator[SourceText], size: int
) -> tuple[list[SourceText], BertgenError | None]:
    """Returns the next texts, and the error that ended them early, if any."""
    window = []
    try:
        for text in itertools.islice(texts, size):
            window.append(text)
    except BertgenError as error:
        return window, error
    return window, None


def _results(
    pipe: Pipeline,
    settings: Settings,
    generate_texts: GenerateTexts,
    window: Sequence[SourceText],
    first: int,
) -> list[TextResult]:
    """Returns a result for each text of a window.

    Args:
      pipe, settings: see `generate`.
      generate_texts: generates for the texts that can be read.
      window: the texts.
      first: the number of the first text, from 0.
    """
    texts: dict[int, str] = {}
    errors: dict[int, str] = {}
    for number, source_text in enumerate(window, first):
        if isinstance(source_text.text, BadRow):
            errors[number] = source_text.text.detail
        else:
            texts[number] = source_text.text
    try:
        hypotheses = generate_texts(texts)
    except ConfigError:
        # One text with an id that the model has no embedding for fails the whole list.
        unknown = {
            number: f"it has {token}"
            for number, text in texts.items()
            if (token := pipe.unknown_token(text, settings)) is not None
        }
        if not unknown:
            raise
        errors |= unknown
        hypotheses = generate_texts(
            {number: text for number, text in texts.items() if number not in unknown}
        )
    return [
        TextResult(
            number + 1,
            hypotheses.get(number, ()),
            errors.get(number),
            source_text.id,
        )
        for number, source_text in enumerate(window, first)
    ]
