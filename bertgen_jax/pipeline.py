"""Text in, text out: a model directory as a function."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bertgen_jax import generation, pretrained
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.suggest import nearest
from bertgen_jax.tokenizers.pair import TokenizerPair

# The task says what the texts mean to the caller; the model was trained for one.
TASKS = (
    "text2text-generation",
    "summarization",
    "sentence-fusion",
    "sentence-splitting",
    "translation",
)
_LENGTH_MULTIPLE = 32  # tokens: few shapes to compile


class Pipeline:
    """Generates a text for each text; made by `pipeline`."""

    def __init__(self, directory: str | os.PathLike[str]):
        model, self.params = pretrained.from_pretrained(directory)
        if not isinstance(model, generation.Seq2Seq):
            raise CheckpointError(
                f"{directory}: holds a {type(model).__name__}; expected an "
                "encoder-decoder, which is what turns a text into another."
            )
        self.model = model
        self.tokenizers = TokenizerPair.from_pretrained(directory)
        self.generation_config = pretrained.generation_config(directory)

    def __call__(
        self, texts: str | Sequence[str], *, batch_size: int = 16, **settings: Any
    ) -> list[dict[str, Any]]:
        """Generates.

        Args:
          texts: one text or several; longer ones than the model has positions are cut.
          batch_size: texts at a time, at most; those of similar length go together.
          **settings: fields of `GenerationConfig` that differ from the directory's.

        Returns:
          For each text, in order, {"generated_text": the best hypothesis, "score": its
          log-probability over the length norm}.

        Raises:
          ConfigError: an unknown or impossible setting.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; expected at least 1.")
        texts = [texts] if isinstance(texts, str) else list(texts)
        config = self._config(settings)
        limit = self._longest_source(config)
        rows = self._encode(texts, limit)
        results: list[dict[str, Any]] = [{}] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        while 1 <= len(rows) <= batch_size // 2:  # halves: few sizes to compile
            batch_size //= 2
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            ids, mask = self._batch([rows[i] for i in chosen], batch_size, limit)
            found = generation.generate(self.model, self.params, ids, mask, config)
            sequences = np.asarray(found.sequences[: len(chosen), 0]).tolist()
            generated = self.tokenizers.target.batch_decode(
                sequences, skip_special_tokens=True
            )
            scores = np.asarray(found.scores[: len(chosen), 0]).tolist()
            for i, text, score in zip(chosen, generated, scores, strict=True):
                results[i] = {"generated_text": text, "score": score}
        return results

    def _config(self, settings: Mapping[str, Any]) -> GenerationConfig:
        """The directory's settings with those of a call in their place."""
        known = {field.name for field in dataclasses.fields(self.generation_config)}
        for name in settings:
            if name not in known:
                raise ConfigError(
                    f"{name} is no generation setting; there are "
                    f"{', '.join(sorted(known))}.{nearest(name, known)}"
                )
        if "max_length" in settings:  # or the directory's max_new_tokens would win
            settings = {"max_new_tokens": None, **settings}
        return dataclasses.replace(self.generation_config, **settings)

    @property
    def _reader(self) -> BertGenerationConfig:
        """The architecture of the stack that reads sources."""
        config = self.model.config
        has_encoder = isinstance(self.model, EncoderDecoder)
        return config.encoder if has_encoder else config.decoder

    def _longest_source(self, config: GenerationConfig) -> int:
        """In tokens, special ids included: of the model, or what it was trained on."""
        limit = self._reader.max_position_embeddings
        if not isinstance(self.model, EncoderDecoder):  # one sequence of both
            limit -= config.num_new_tokens
        trained = self.tokenizers.source.model_max_length
        return limit if trained is None else min(limit, trained)

    def _encode(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Ids of sources, cut, with the special ids around them that it takes."""
        tokenizer = self.tokenizers.source
        prefix, suffix = tokenizer.source_prefix, tokenizer.source_suffix
        room = max(limit - len(prefix) - len(suffix), 0)
        rows = [
            [*prefix, *ids[:room], *suffix] for ids in tokenizer.encode_batch(texts)
        ]
        size = self._reader.vocab_size
        for number, row in enumerate(rows):
            for id_ in row:
                if id_ >= size:  # such as of a special string added to the vocabulary
                    raise ConfigError(
                        f"text {number} has the token {tokenizer.decode([id_])!r} "
                        f"with the id {id_}; the model has embeddings for ids below "
                        f"{size}. Expected the tokenizer that it was trained with."
                    )
        return rows

    def _batch(
        self, rows: Sequence[Sequence[int]], batch_size: int, limit: int
    ) -> tuple[jax.Array, jax.Array]:
        """Rows of ids to i32[B, S] and bool[B, S], B always the same, S a multiple."""
        longest = max(1, *map(len, rows))
        length = min(-(-longest // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE, limit)
        pad_id = self.tokenizers.source.special_ids.pad
        ids = np.full((batch_size, length), pad_id, np.int32)
        mask = np.zeros((batch_size, length), bool)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            # An empty text is a source of one padding token, not a filler row.
            mask[row, : max(len(tokens), 1)] = True
        return jnp.asarray(ids), jnp.asarray(mask)


def pipeline(task: str, *, model: str | os.PathLike[str]) -> Pipeline:
    """Makes a function of texts from a model directory.

    Args:
      task: one of `TASKS`.
      model: the directory.

    Raises:
      ConfigError: an unknown task.
      CheckpointError: no model there, or one that cannot do this.
    """
    if task not in TASKS:
        raise ConfigError(
            f"task is {task!r}; expected one of {', '.join(TASKS)}."
            f"{nearest(task, TASKS)}"
        )
    return Pipeline(model)
