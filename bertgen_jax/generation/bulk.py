"""Texts in, their results out in the same order: any number of them.

They are read in windows: a small one, so that there is something to see soon, then
larger ones, so that texts of all lengths are there to be sorted into batches. Where a
window begins depends on nothing but the batch size. So a run that goes on where another
was stopped sees the same windows, and writes what that one would have written, bit for
bit.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bertgen_jax.data.formats.table import BadRow
from bertgen_jax.data.texts import SourceText
from bertgen_jax.errors import BertgenError, ConfigError
from bertgen_jax.generation import generator
from bertgen_jax.generation.pipeline import Pipeline
from bertgen_jax.generation.result_files import Result, ResultWriter

_LARGEST_WINDOW = 1_024  # texts; larger ones would hardly pad less
_GROWTH = 4

Settings = Mapping[str, Any]
Hypotheses = list[dict[str, Any]]
# Texts and their numbers in; numbers and hypotheses out, in no order.
Each = Callable[[Sequence[str], Sequence[int]], Iterator[tuple[int, Hypotheses]]]


@dataclasses.dataclass(frozen=True)
class Tally:
    """How many texts there were, and how many of them failed."""

    texts: int
    failed: int


def window_sizes(batch_size: int) -> Iterator[int]:
    """Numbers of texts: 16, 64, 256, 1024, 1024 and so on for batches of 16."""
    size = batch_size
    while True:
        yield size
        size = max(batch_size, min(_GROWTH * size, _LARGEST_WINDOW))


def check(pipe: Pipeline, batch_size: int, settings: Settings) -> None:
    """Refuses settings that cannot be meant, before any text is read.

    Raises:
      ConfigError: whatever generating would raise, whichever the text.
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
    on_failure: Callable[[SourceText, Result], object] = lambda text, result: None,
    on_result: Callable[[], object] = lambda: None,
) -> Tally:
    """Generates for each text that has no result yet.

    A text that cannot be read fails, and the others do not: its result is an error.

    Args:
      pipe: what generates.
      texts: all of them, from the first.
      writer: where results go; each window is written when it is done.
      settings: fields of `GenerationConfig`, passed by `check`. What is drawn for a
        text depends on its number, not on the window.
      batch_size: texts that are worked on at a time.
      sizes: of windows; `window_sizes` if None.
      on_failure: is told of a text that failed, once its result is written.
      on_result: is called for each text that is done, in no order.

    Returns:
      How many texts there are, and how many failed, with what was there already.

    Raises:
      DataError: see `texts.stream`; the texts before the damage are written. Or
        there are more results than texts.
    """
    texts = iter(texts)

    def each(
        texts: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[tuple[int, Hypotheses]]:
        found = pipe.each(texts, batch_size=batch_size, seeds=seeds, **settings)
        for place, hypotheses in found:
            if seeds[place] >= writer.count:
                on_result()
            yield seeds[place], hypotheses

    number, failed = 0, writer.failed  # number of texts that were read
    for size in sizes or window_sizes(batch_size):
        window, damage = _window(texts, size)
        there = min(max(0, writer.count - number), len(window))
        if there < len(window):
            results = _results(pipe, each, window, number)[there:]
            writer.write(results)
            for text, result in zip(window[there:], results, strict=True):
                if result.error is not None:
                    failed += 1
                    on_failure(text, result)
                    on_result()
        number += len(window)
        if damage is not None:
            raise damage
        if len(window) < size:
            break
    writer.check_input_had(number)
    writer.write([])  # cuts what is unsound, if there was nothing else to do
    return Tally(number, failed)


def _window(
    texts: Iterator[SourceText], size: int
) -> tuple[list[SourceText], BertgenError | None]:
    """The next texts, and what there is instead of more."""
    window = []
    try:
        for text in itertools.islice(texts, size):
            window.append(text)
    except BertgenError as error:
        return window, error
    return window, None


def _results(
    pipe: Pipeline, each: Each, window: Sequence[SourceText], first: int
) -> list[Result]:
    """One for each text of a window, whose first has the number `first`, from 0."""
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for number, one in enumerate(window, first):
        if isinstance(one.text, BadRow):
            reasons[number] = one.text.detail
        else:
            texts[number] = one.text
    try:
        found = dict(each(list(texts.values()), list(texts)))
    except ConfigError:
        unreadable = _unreadable(pipe, each, texts)
        if not unreadable:
            raise
        reasons |= unreadable
        texts = {n: text for n, text in texts.items() if n not in unreadable}
        found = dict(each(list(texts.values()), list(texts)))
    return [
        Result(number + 1, found.get(number, ()), reasons.get(number), one.id)
        for number, one in enumerate(window, first)
    ]


def _unreadable(pipe: Pipeline, each: Each, texts: Mapping[int, str]) -> dict[int, str]:
    """Texts with ids that the model lacks, for which a pipeline refuses them all."""
    size = generator.source_stack(pipe.generator.model).vocab_size
    reasons = {}
    for number, text in texts.items():
        ids = pipe.tokenizers.source.encode(text)
        if max(ids, default=0) < size:
            continue
        try:  # it may be readable all the same, if the end of it is cut off
            list(each([text], [number]))
        except ConfigError as error:
            reasons[number] = str(error).replace("text 0 ", "it ", 1)
    return reasons
