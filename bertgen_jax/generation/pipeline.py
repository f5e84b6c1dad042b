"""Generates texts from texts with the model of a directory: `bg.pipeline`."""

import contextlib
import dataclasses
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress

from bertgen_jax import normalization
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError, check_choice, nearest
from bertgen_jax.generation import continuous_batching
from bertgen_jax.generation.continuous_batching import Hypotheses
from bertgen_jax.generation.generator import Generator
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.pretrained import loading
from bertgen_jax.tokenizers.pair import TokenizerPair

_log = logging.getLogger(__name__)

# A task tells readers of the code what the texts mean. Only sentence-splitting changes
# the results: its separator is written " <::::> ".
TASKS = (
    "text2text-generation",
    "summarization",
    "sentence-fusion",
    "sentence-splitting",
    "translation",
)
_LONG_LIST = 100  # texts; on a terminal, longer lists get a progress bar
# More tokens may change how the last tokens are decoded: "do" "n" "'" "t".
_UNCERTAIN_TOKENS = 4


class GeneratedText(TypedDict):
    """A hypothesis, and its log-probability over the length norm."""

    generated_text: str
    score: float


class Pipeline:
    """Generates a text for each text; made by `pipeline`.

    Attributes:
      generator: the model, with its weights converted for decoding.
      tokenizers: the tokenizers of sources and targets.
      generation_config: the settings of the directory.
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
                "encoder-decoder, because it turns one text into another."
            )
        self.generator = Generator(model, params)
        self.tokenizers = TokenizerPair.from_pretrained(directory)
        self.generation_config = loading.generation_config(directory)
        # Tokenizers split WikiSplit's separator, or join it to its neighbours.
        is_splitting = task == "sentence-splitting"
        self._postprocess = normalization.separator if is_splitting else str

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 16,
        progress: bool | None = None,
        **settings: Any,
    ) -> list[GeneratedText] | list[list[GeneratedText]]:
        """Generates a text for each text.

        Args:
          texts: one text or several. A text with more tokens than the model has
            positions is truncated, and a warning counts such texts.
          batch_size: texts that are generated for at a time, at most.
          progress: whether to show a progress bar; None: for long lists, on a terminal.
          **settings: fields of `GenerationConfig` that differ from the directory's.

        Returns:
          {"generated_text": a hypothesis, "score": its log-probability over the length
          norm} for each text, in order. With `num_return_sequences` above 1, a list of
          so many for each text, best first. For a single text, only that list.

        Raises:
          ConfigError: an unknown or invalid setting, or a text that is not a string.
        """
        is_single = isinstance(texts, str)
        texts = [texts] if is_single else list(texts)
        results: list[list[GeneratedText]] = [[] for _ in texts]
        is_shown = progress
        if is_shown is None:
            is_shown = len(texts) >= _LONG_LIST and sys.stderr.isatty()
        config = self.config(settings)
        each = self._generate_each(texts, config, batch_size, seeds=None)
        with _progress_bar(is_shown, len(texts)) as advance:
            for index, hypotheses in each:
                results[index] = hypotheses
                advance()
        if is_single:
            return results[0]
        if config.num_return_sequences == 1:
            return [hypotheses[0] for hypotheses in results]
        return results

    def each(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 16,
        seeds: Sequence[int] | None = None,
        **settings: Any,
    ) -> Iterator[tuple[int, list[GeneratedText]]]:
        """Generates a text for each text of a list, and yields them as they are ready.

        Args:
          texts, batch_size, **settings: as in a call.
          seeds: which tell the texts apart when tokens are drawn; by default their
            indices in the list.

        Yields:
          The index of a text, and its hypotheses, best first; in no particular order.

        Raises:
          ConfigError: as in a call.
        """
        config = self.config(settings)
        yield from self._generate_each(texts, config, batch_size, seeds)

    def stream(self, text: str, **settings: Any) -> Iterator[str]:
        """Generates for one text, and yields the result piece by piece.

        A piece is yielded as soon as it is certain: with beams, when all hypotheses
        that may still win share it. Joined, the pieces are the text that a call
        returns.

        Args:
          text: one text.
          **settings: as in a call.

        Raises:
          ConfigError: as in a call, or `num_return_sequences` is above 1.
        """
        config = self.config(settings)
        if config.num_return_sequences > 1:
            raise ConfigError(
                f"num_return_sequences is {config.num_return_sequences}; expected "
                "1, because a stream yields one sequence."
            )
        if not isinstance(text, str):
            raise ConfigError(
                f"a stream takes one text; found a {type(text).__name__}."
            )
        config = self._resolve(config)
        (ids,) = self._encode([text], config)
        streamed, tokens = "", []
        for tokens in continuous_batching.stream(self.generator, ids, config):
            certain = self._certain_text(tokens)
            if len(certain) > len(streamed) and certain.startswith(streamed):
                yield certain[len(streamed) :]
                streamed = certain
        text = self._decode(tokens)
        if not text.startswith(streamed):
            _log.warning("the text is %r; the stream began differently", text)
        elif text != streamed:
            yield text[len(streamed) :]

    def config(self, settings: Mapping[str, Any]) -> GenerationConfig:
        """Returns the directory's settings, overridden by the settings of a call.

        Raises:
          ConfigError: an unknown or invalid setting.
        """
        known = {field.name for field in dataclasses.fields(self.generation_config)}
        for name in settings:
            if name not in known:
                raise ConfigError(
                    f"{name} is not a generation setting; expected one of "
                    f"{', '.join(sorted(known))}.{nearest(name, known)}"
                )
        # A length of the call overrides both fields of the directory for that length.
        for bound in ("min", "max"):
            if f"{bound}_length" in settings:
                settings = {f"{bound}_new_tokens": None, **settings}
            elif f"{bound}_new_tokens" in settings:
                settings = {f"{bound}_length": None, **settings}
        return dataclasses.replace(self.generation_config, **settings)

    def unknown_token(self, text: str, settings: Mapping[str, Any]) -> str | None:
        """Describes a token of a text that the model has no embedding for.

        Args:
          text: the text; tokens that are truncated do not count.
          settings: as in a call.

        Returns:
          "the token ... with the id ... . Expected ..."; None if the model has
          embeddings for all tokens.
        """
        limit = self._longest_text(self._resolve(self.config(settings)))
        ids = self.tokenizers.source.encode(text)
        return self._unknown_id(self._as_source(ids, limit))

    def _generate_each(
        self,
        texts: Sequence[str],
        config: GenerationConfig,
        batch_size: int,
        seeds: Sequence[int] | None,
    ) -> Iterator[tuple[int, list[GeneratedText]]]:
        _check_at_least_one("batch_size", batch_size)
        config = self._resolve(config)
        sources = self._encode(texts, config)
        for hypotheses in continuous_batching.generate_each(
            self.generator, sources, config, batch_size, seeds
        ):
            yield hypotheses.index, self._generated_texts(hypotheses)

    def _resolve(self, config: GenerationConfig) -> GenerationConfig:
        """Resolves settings for sources that have at least their special ids."""
        return self.generator.resolve(config, source_length=max(1, self._num_specials))

    @property
    def _num_specials(self) -> int:
        """The number of special ids around each source."""
        tokenizer = self.tokenizers.source
        return len(tokenizer.source_prefix) + len(tokenizer.source_suffix)

    def _encode(
        self, texts: Sequence[str], config: GenerationConfig
    ) -> list[list[int]]:
        """Returns the ids of sources, truncated, with special ids around them."""
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise ConfigError(
                    f"text {number} is a {type(text).__name__}, {text!r:.40}; expected "
                    "a string."
                )
        limit = self._longest_text(config)
        encoded = self.tokenizers.source.encode_batch(texts)
        num_truncated = sum(len(ids) > limit for ids in encoded)
        if num_truncated:
            _log.warning(
                "%d of %d texts have more than %d tokens, the limit of the model; the "
                "rest of these texts was cut off.",
                num_truncated,
                len(texts),
                limit,
            )
        sources = [self._as_source(ids, limit) for ids in encoded]
        for number, ids in enumerate(sources):
            unknown = self._unknown_id(ids)
            if unknown is not None:
                raise ConfigError(f"text {number} has {unknown}")
        return sources

    def _longest_text(self, config: GenerationConfig) -> int:
        """Returns how many tokens of a text the model reads, without special ids."""
        limit = self.generator.longest_source(config)
        trained_limit = self.tokenizers.source.model_max_length
        if trained_limit is not None:
            limit = min(limit, trained_limit)
        return max(limit - self._num_specials, 0)

    def _as_source(self, ids: Sequence[int], limit: int) -> list[int]:
        """Truncates the ids of a text, and puts the special ids around them."""
        tokenizer = self.tokenizers.source
        source = [*tokenizer.source_prefix, *ids[:limit], *tokenizer.source_suffix]
        return source or [tokenizer.special_ids.pad]  # for an empty text

    def _unknown_id(self, ids: Sequence[int]) -> str | None:
        """Describes an id without embedding, of a string added to the vocabulary."""
        id_ = max(ids, default=0)
        vocab_size = self.generator.model.config.source_config.vocab_size
        if id_ < vocab_size:
            return None
        return (
            f"the token {self.tokenizers.source.decode([id_])!r} with the id {id_}; "
            f"the model has embeddings for ids below {vocab_size}. Expected the "
            "tokenizer that it was trained with."
        )

    def _generated_texts(self, hypotheses: Hypotheses) -> list[GeneratedText]:
        return [
            {
                "generated_text": self._decode(hypotheses.tokens(rank)),
                "score": float(score),
            }
            for rank, score in enumerate(hypotheses.scores)
        ]

    def _decode(self, tokens: Sequence[int]) -> str:
        return self._postprocess(self.tokenizers.generated_text(tokens))

    def _certain_text(self, tokens: Sequence[int]) -> str:
        """Returns the words that the text begins with whatever tokens follow."""
        without_last = self._decode(tokens[: max(0, len(tokens) - _UNCERTAIN_TOKENS)])
        letters = itertools.takewhile(
            lambda pair: pair[0] == pair[1],
            zip(without_last, self._decode(tokens), strict=False),
        )
        certain = "".join(letter for letter, _ in letters)
        return certain[: certain.rfind(" ") + 1].rstrip(" ")


def _check_at_least_one(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected at least 1.")


@contextlib.contextmanager
def _progress_bar(is_shown: bool, total: int) -> Iterator[Callable[[], object]]:
    """Shows a progress bar on standard error; yields a function that advances it."""
    if not is_shown:
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
    """Creates a pipeline that generates texts with the model of a directory.

    Args:
      task: one of `TASKS`.
      model: the directory.
      dtype: the compute dtype; bfloat16 is for GPU and TPU.

    Raises:
      ConfigError: an unknown task.
      CheckpointError: the directory holds no model, or a model of another kind.
    """
    check_choice("task", task, TASKS)
    return Pipeline(model, dtype, task)
