"""Text in, text out: a model directory as a function."""

import contextlib
import dataclasses
import itertools
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress

from bertgen_jax import normalization
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, nearest
from bertgen_jax.generation import continuous_batching
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.generation.continuous_batching import Found
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.pretrained import loading
from bertgen_jax.tokenizers.pair import TokenizerPair

_log = logging.getLogger(__name__)

# The task says what the texts mean to the caller; the model was trained for one. Only
# sentence-splitting changes what comes out: its separator is spelled " <::::> ".
TASKS = (
    "text2text-generation",
    "summarization",
    "sentence-fusion",
    "sentence-splitting",
    "translation",
)
_LONG_LIST = 100  # texts, from which on one wants to know how far it is
# The last tokens of a piece of text may still be read another way: "do" "n" "'" "t".
_UNSURE_TOKENS = 4

Result = dict[str, Any]


class Pipeline:
    """Generates a text for each text; made by `pipeline`.

    Attributes:
      generator: the model, with weights laid out for decoding.
      tokenizers: of sources and of targets.
      generation_config: how the directory wants to be searched.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        dtype: jnp.dtype = jnp.float32,
        task: str = "text2text-generation",
    ):
        model, params = loading.from_pretrained(directory, dtype=dtype)
        if not isinstance(model, Seq2SeqModel):
            raise CheckpointError(
                f"{directory}: holds a {type(model).__name__}; expected an "
                "encoder-decoder, which is what turns a text into another."
            )
        self.generator = generator_lib.Generator(model, params)
        self.tokenizers = TokenizerPair.from_pretrained(directory)
        self.generation_config = loading.generation_config(directory)
        # Tokenizers take WikiSplit's separator apart, or join it to its neighbours.
        is_splitting = task == "sentence-splitting"
        self._spelled = normalization.separator if is_splitting else str

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 16,
        progress: bool | None = None,
        **settings: Any,
    ) -> list[Result] | list[list[Result]]:
        """Generates.

        Args:
          texts: one text or several. What a text has beyond the positions of the model
            is cut off, and a warning counts such texts.
          batch_size: texts that are worked on at a time, at most.
          progress: shows how far it is; None: for long lists, on a terminal.
          **settings: fields of `GenerationConfig` that differ from the directory's.

        Returns:
          {"generated_text": a hypothesis, "score": its log-probability over the length
          norm} for each text, in order. With `num_return_sequences` above 1 a list of
          so many, best first; of a single text only that list.

        Raises:
          ConfigError: an unknown or impossible setting, or what is no text.
        """
        is_one = isinstance(texts, str)
        texts = [texts] if is_one else list(texts)
        results: list[list[Result]] = [[] for _ in texts]
        if progress is None:
            progress = len(texts) >= _LONG_LIST and sys.stderr.isatty()
        found = self.each(texts, batch_size=batch_size, **settings)
        with _shown(progress, len(texts)) as step:
            for index, hypotheses in found:
                results[index] = hypotheses
                step()
        if is_one:
            return results[0]
        if self.config(settings).num_return_sequences == 1:
            return [result for (result,) in results]
        return results

    def each(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 16,
        seeds: Sequence[int] | None = None,
        **settings: Any,
    ) -> Iterator[tuple[int, list[Result]]]:
        """As calling it with a list, but as results are found, in no order.

        Args:
          texts, batch_size, **settings: as in a call.
          seeds: tell the texts apart when tokens are drawn; by default their places in
            the list.

        Yields:
          The place of a text, and its hypotheses, best first.
        """
        _check_at_least_one("batch_size", batch_size)
        config = self.config(settings)
        rows = self._encode(texts, config)
        each = continuous_batching.generate_each(
            self.generator, rows, config, batch_size, seeds
        )
        for found in each:
            yield found.index, self._results(found)

    def stream(self, text: str, **settings: Any) -> Iterator[str]:
        """Generates one text, piece by piece.

        A piece comes as soon as it is sure: with beams, when all that may still win
        have it in common. Together the pieces are the text that a call returns.

        Args:
          text: one text.
          **settings: as in a call.

        Raises:
          ConfigError: as in a call, or more than one sequence is asked for.
        """
        config = self.config(settings)
        if config.num_return_sequences > 1:
            raise ConfigError(
                f"num_return_sequences is {config.num_return_sequences}; a stream is "
                "of one sequence."
            )
        if not isinstance(text, str):
            raise ConfigError(
                f"a stream is of one text; found a {type(text).__name__}."
            )
        (row,) = self._encode([text], config)
        given, tokens = "", []
        for tokens in continuous_batching.stream(self.generator, row, config):
            sure = self._sure_text(tokens)
            if len(sure) > len(given) and sure.startswith(given):
                yield sure[len(given) :]
                given = sure
        whole = self._decode(tokens)
        if not whole.startswith(given):
            _log.warning("the text is %r after all; the stream began otherwise", whole)
        elif whole != given:
            yield whole[len(given) :]

    def config(self, settings: Mapping[str, Any]) -> GenerationConfig:
        """The directory's settings with those of a call in their place.

        Raises:
          ConfigError: an unknown or impossible setting.
        """
        known = {field.name for field in dataclasses.fields(self.generation_config)}
        for name in settings:
            if name not in known:
                raise ConfigError(
                    f"{name} is no generation setting; there are "
                    f"{', '.join(sorted(known))}.{nearest(name, known)}"
                )
        # A length of a call is not to be overruled by another of the directory's.
        for least in ("min", "max"):
            if f"{least}_length" in settings:
                settings = {f"{least}_new_tokens": None, **settings}
            elif f"{least}_new_tokens" in settings:
                settings = {f"{least}_length": None, **settings}
        return dataclasses.replace(self.generation_config, **settings)

    def _encode(
        self, texts: Sequence[str], config: GenerationConfig
    ) -> list[list[int]]:
        """Ids of sources, cut, with the special ids around them that it takes."""
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise ConfigError(
                    f"text {number} is a {type(text).__name__}, {text!r:.40}; expected "
                    "a string."
                )
        tokenizer, generator = self.tokenizers.source, self.generator
        prefix, suffix = tokenizer.source_prefix, tokenizer.source_suffix
        specials = len(prefix) + len(suffix)
        config = generator.for_sources(config)
        generator.check_room(config, source=specials, prompt=1)
        limit = generator.longest_source(config)
        if tokenizer.model_max_length is not None:  # what it was trained on
            limit = min(limit, tokenizer.model_max_length)
        room = max(limit - specials, 0)
        encoded = tokenizer.encode_batch(texts)
        cut = sum(len(ids) > room for ids in encoded)
        if cut:
            _log.warning(
                "%d of %d texts have more than %d tokens, which is all that the model "
                "reads; the rest of them was cut off.",
                cut,
                len(texts),
                room,
            )
        # An empty text is a source of one padding token.
        empty = [tokenizer.special_ids.pad]
        rows = [[*prefix, *ids[:room], *suffix] or empty for ids in encoded]
        size = generator_lib.source_stack(generator.model).vocab_size
        for number, row in enumerate(rows):
            if row and max(row) >= size:  # a special string added to the vocabulary
                id_ = max(row)
                raise ConfigError(
                    f"text {number} has the token {tokenizer.decode([id_])!r} with the "
                    f"id {id_}; the model has embeddings for ids below {size}. "
                    "Expected the tokenizer that it was trained with."
                )
        return rows

    def _results(self, found: Found) -> list[Result]:
        places = range(len(found.scores))
        texts = [self._decode(found.tokens(place)) for place in places]
        return [
            {"generated_text": text, "score": float(score)}
            for text, score in zip(texts, found.scores, strict=True)
        ]

    def _decode(self, tokens: Sequence[int]) -> str:
        return self._spelled(self.tokenizers.generated_text(tokens))

    def _sure_text(self, tokens: Sequence[int]) -> str:
        """What the text of these tokens and any others begins with: whole words."""
        some = self._decode(tokens[: max(0, len(tokens) - _UNSURE_TOKENS)])
        all_ = self._decode(tokens)
        same = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(some, all_, strict=False)
        )
        sure = "".join(letter for letter, _ in same)
        return sure[: sure.rfind(" ") + 1].rstrip(" ")


def _check_at_least_one(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected at least 1.")


@contextlib.contextmanager
def _shown(wanted: bool, total: int) -> Iterator[Any]:
    """A progress bar on standard error; what comes out moves it by one text."""
    if not wanted:
        yield lambda: None
        return
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("generating", total=total)
        yield lambda: bar.advance(task)


def pipeline(
    task: str,
    *,
    model: str | os.PathLike[str],
    dtype: jnp.dtype = jnp.float32,
) -> Pipeline:
    """Makes a function of texts from a model directory.

    Args:
      task: one of `TASKS`.
      model: the directory.
      dtype: of the computation; bfloat16 is for GPU and TPU.

    Raises:
      ConfigError: an unknown task.
      CheckpointError: no model there, or one that cannot do this.
    """
    if task not in TASKS:
        raise ConfigError(
            f"task is {task!r}; expected one of {', '.join(TASKS)}."
            f"{nearest(task, TASKS)}"
        )
    return Pipeline(model, dtype, task)
