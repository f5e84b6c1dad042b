"""A model and source ids in, generated ids out: where a linen module meets a search."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.decoding import search
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import Prompt, SearchResult
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import decoder_step
from bertgen_jax.generation.decoder_step import DecoderWeights, KVCache
from bertgen_jax.generation.prefill import PrefillCache, prefill
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel

# Positions that the first cache has slots for; then twice as many, and so on.
_FIRST_ROOM = 32


@struct.dataclass
class Inputs:
    """Sources, and what their targets begin with.

    Attributes:
      source_ids: i32[B, S], source_mask: bool[B, S]; None for a decoder alone.
      source_states: dtype[B, S, D] in place of `source_ids`, for a decoder alone with
        cross-attention; None otherwise.
      prompt: first tokens of the targets.
    """

    source_ids: jax.Array | None
    source_mask: jax.Array | None
    source_states: jax.Array | None
    prompt: Prompt


def generate(
    model: GenerativeModel,
    params: Any,
    input_ids: jax.Array | np.ndarray,
    attention_mask: jax.Array | np.ndarray | None = None,
    config: GenerationConfig | None = None,
    **prompt: Any,
) -> SearchResult:
    """Generates targets for a batch of sources.

    Compiled once for each model, configuration and shape. Who generates for several
    batches makes a `Generator`, which lays out the weights once.

    Args:
      model: an encoder-decoder or a prefix language model. A decoder alone continues
        its input; where the config has a `decoder_start_token_id`, from there.
      params: its parameters.
      input_ids: i32[B, S]. Padding may stand anywhere: it is not seen, and positions
        are counted without it.
      attention_mask: [B, S], non-zero for tokens; a row without any only fills the
        batch. None: all are tokens.
      config: how to search; None: greedily. Special ids that it leaves out are the
        model's.
      **prompt: see `Generator.__call__`.

    Returns:
      sequences i32[B, N, T] of new tokens, padded after EOS, scores f32[B, N], best
      first, and lengths i32[B, N].

    Raises:
      ConfigError: see `Generator`.
    """
    generator = Generator(model, params)
    return generator(input_ids, attention_mask, config, **prompt)


class Generator:
    """A model whose weights are laid out for decoding.

    Attributes:
      model: see `generate`.
      params: its parameters.
      decoder: architecture of the stack that generates.
      weights: its weights, as `decoder_step` reads them.

    Raises:
      ConfigError: the model has no targets.
    """

    def __init__(self, model: GenerativeModel, params: Any):
        self.decoder = target_stack(model)
        self.model, self.params = model, params
        is_alone = isinstance(model, BertGenerationDecoder)
        self.weights = _prepare(
            params if is_alone else params["decoder"], self.decoder, model.dtype
        )

    def __call__(
        self,
        input_ids: jax.Array | np.ndarray,
        attention_mask: jax.Array | np.ndarray | None = None,
        config: GenerationConfig | None = None,
        *,
        decoder_input_ids: jax.Array | np.ndarray | None = None,
        decoder_attention_mask: jax.Array | np.ndarray | None = None,
        encoder_hidden_states: jax.Array | None = None,
        encoder_attention_mask: jax.Array | np.ndarray | None = None,
        seeds: jax.Array | np.ndarray | None = None,
    ) -> SearchResult:
        """Generates targets for a batch of sources; see `generate`.

        Args:
          input_ids, attention_mask, config: see `generate`.
          decoder_input_ids: i32[B, P], what the targets begin with. The start token
            comes before it where no row has it, as with the peer. Not part of the
            result.
          decoder_attention_mask: [B, P], non-zero for tokens of it.
          encoder_hidden_states: [B, S, D] that a decoder alone attends to.
          encoder_attention_mask: [B, S], non-zero for those to attend to.
          seeds: i32[B], tell the sources apart when tokens are drawn; by default their
            numbers in the batch.

        Raises:
          ConfigError: a setting that cannot be meant, an id outside the vocabulary,
            more tokens than the decoder has positions, no start token, arguments that
            the model has no use for.
        """
        config = self.complete(config or GenerationConfig())
        input_ids = checked_ids(
            "input_ids", input_ids, source_stack(self.model).vocab_size
        )
        mask = checked_mask("attention_mask", attention_mask, input_ids.shape)
        is_alone = isinstance(self.model, BertGenerationDecoder)
        if not is_alone and encoder_hidden_states is not None:
            raise ConfigError(
                f"encoder_hidden_states were given to a {type(self.model).__name__}, "
                "which makes its own; expected input_ids only."
            )
        if is_alone and decoder_input_ids is not None:
            raise ConfigError(
                "decoder_input_ids were given to a decoder alone; expected input_ids, "
                "which it continues."
            )
        states_mask = None
        for given, masked, mask_name in (
            (encoder_hidden_states, encoder_attention_mask, "encoder_attention_mask"),
            (decoder_input_ids, decoder_attention_mask, "decoder_attention_mask"),
        ):
            if given is None and masked is not None:
                raise ConfigError(f"{mask_name} was given without what it masks.")
        if encoder_hidden_states is not None:
            if not self.decoder.add_cross_attention:
                raise ConfigError(
                    "encoder_hidden_states were given to a decoder with "
                    "add_cross_attention=False, which would ignore them."
                )
            shape = encoder_hidden_states.shape[:2]
            check_rows("encoder_hidden_states", shape[0], len(input_ids))
            states_mask = checked_mask(
                "encoder_attention_mask", encoder_attention_mask, shape
            )
        prompt_ids, prompt_mask = self._prompt(
            config, input_ids, mask, decoder_input_ids, decoder_attention_mask
        )
        if seeds is None:
            seeds = np.arange(len(input_ids), dtype=np.int32)
        check_rows("seeds", len(seeds), len(input_ids))
        inputs = Inputs(
            source_ids=None if is_alone else input_ids,
            source_mask=states_mask if is_alone else mask,
            source_states=encoder_hidden_states,
            prompt=Prompt(prompt_ids, prompt_mask, seeds),
        )
        config = config.for_prompt(prompt_ids.shape[1])
        self.check_room(config, input_ids.shape[1], prompt_ids.shape[1])
        return _generate(self.model, config, self.params, self.weights, inputs)

    def complete(self, config: GenerationConfig) -> GenerationConfig:
        """The same with the model's special ids where it has none.

        Raises:
          ConfigError: an id outside the vocabulary, or no start token.
        """
        own = {
            "eos_token_id": self.model.config.eos_token_id,
            "pad_token_id": self.model.config.pad_token_id,
        }
        is_alone = isinstance(self.model, BertGenerationDecoder)
        if not is_alone and config.decoder_start_token_id is None:
            own["decoder_start_token_id"] = self.model.config.start_token_id
        missing = {
            name: id_ for name, id_ in own.items() if getattr(config, name) is None
        }
        config = dataclasses.replace(config, **missing)
        config.check_vocabulary(self.decoder.vocab_size)
        return config

    def for_sources(self, config: GenerationConfig) -> GenerationConfig:
        """`complete`, for targets that begin with the start token only.

        Raises:
          ConfigError: see `complete`; or there is no room even for a short source.
        """
        config = self.complete(config).for_prompt(1)
        self.check_room(config, source=1, prompt=1)
        return config

    def longest_source(self, config: GenerationConfig) -> int:
        """Tokens of a source that there are positions for; see `for_sources`."""
        positions = source_stack(self.model).max_position_embeddings
        if isinstance(self.model, PrefixLanguageModel):  # one sequence of both
            positions -= config.num_new_tokens
        return positions

    def check_room(self, config: GenerationConfig, source: int, prompt: int) -> None:
        """Refuses more tokens than the decoder has positions.

        Args:
          config: of `GenerationConfig.for_prompt`.
          source: tokens of the longest source.
          prompt: tokens that targets begin with.

        Raises:
          ConfigError: names both numbers.
        """
        steps = prompt - 1 + config.num_new_tokens  # the last one is not read
        positions = self.decoder.max_position_embeddings
        is_prefix = isinstance(self.model, PrefixLanguageModel)
        if steps + (source if is_prefix else 0) <= positions:
            return
        if is_prefix:
            raise ConfigError(
                f"the source has {source} tokens and the target up to {steps}; "
                f"together they may have {positions} (max_position_embeddings). "
                "Truncate the source when tokenizing, or lower max_new_tokens."
            )
        after = f" after a prompt of {prompt}" if prompt > 1 else ""
        raise ConfigError(
            f"{config.num_new_tokens} new tokens are asked for{after}; the decoder has "
            f"{positions} positions (max_position_embeddings). Lower max_new_tokens."
        )

    def _prompt(
        self,
        config: GenerationConfig,
        input_ids: jax.Array,
        mask: jax.Array,
        decoder_input_ids: jax.Array | None,
        decoder_attention_mask: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        """What the targets begin with: ids i32[B, P], their mask bool[B, P]."""
        start = config.decoder_start_token_id
        is_real = mask.any(axis=1, keepdims=True)
        if isinstance(self.model, BertGenerationDecoder):
            if start is None:
                return input_ids, mask
            return _with_start(start, input_ids, mask, is_real, at_end=True)
        if decoder_input_ids is None:
            empty = np.zeros((len(input_ids), 0), np.int32)
            return _with_start(start, empty, empty.astype(bool), is_real)
        ids = checked_ids(
            "decoder_input_ids", decoder_input_ids, self.decoder.vocab_size
        )
        check_rows("decoder_input_ids", len(ids), len(input_ids))
        given = checked_mask(
            "decoder_attention_mask", decoder_attention_mask, ids.shape
        )
        given = given & is_real  # a filler row stays one
        first = np.asarray(ids)[np.arange(len(ids)), np.asarray(given).argmax(axis=1)]
        has_some = np.asarray(given).any(axis=1)
        if ((first == start) & has_some).any():
            if (np.asarray(is_real)[:, 0] & ~has_some).any():
                raise ConfigError(
                    "decoder_attention_mask has a row without any token, and others "
                    "begin with the start token; expected it in each of them."
                )
            return ids, given
        return _with_start(start, ids, given, is_real)


def _with_start(
    start: int,
    ids: jax.Array,
    mask: jax.Array,
    is_real: jax.Array,
    at_end: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Puts the start token before ids i32[B, P], or after them."""
    column = jnp.full((len(ids), 1), start, jnp.int32)
    parts = [(column, is_real), (ids, mask)]
    ids, masks = zip(*(parts[::-1] if at_end else parts), strict=True)
    return jnp.concatenate(ids, axis=1), jnp.concatenate(masks, axis=1)


def target_stack(model: GenerativeModel) -> BertGenerationConfig:
    """The architecture of the stack that reads targets.

    Raises:
      ConfigError: the model has none.
    """
    if not isinstance(model, GenerativeModel):
        raise ConfigError(
            f"the model is a {type(model).__name__}; expected an EncoderDecoder, a "
            "PrefixLanguageModel or a BertGenerationDecoder."
        )
    is_alone = isinstance(model, BertGenerationDecoder)
    return model.config if is_alone else model.config.decoder


def source_stack(model: GenerativeModel) -> BertGenerationConfig:
    """The architecture of the stack that reads sources."""
    if isinstance(model, EncoderDecoder):
        return model.config.encoder
    return target_stack(model)


def check_rows(name: str, found: int, expected: int) -> None:
    """Refuses arrays of another batch.

    Raises:
      ConfigError: names both numbers.
    """
    if found != expected:
        raise ConfigError(
            f"{name} has {found} rows and input_ids has {expected}; expected one for "
            "each source."
        )


def checked_ids(name: str, ids: Any, size: int) -> jax.Array | np.ndarray:
    """Checked ids i32[B, S].

    Raises:
      ConfigError: another shape, or an id outside the vocabulary.
    """
    if not isinstance(ids, jax.Array):
        ids = np.asarray(ids, np.int32)
    if ids.ndim != 2 or 0 in ids.shape:
        raise ConfigError(
            f"{name} has the shape {ids.shape}; expected [B, S], at least one row of "
            "one token."
        )
    # What other hosts hold is for them to check.
    for shard in ids.addressable_shards if isinstance(ids, jax.Array) else [ids]:
        values = np.asarray(getattr(shard, "data", shard))
        if values.size and not 0 <= values.min() <= values.max() < size:
            worst = values.min() if values.min() < 0 else values.max()
            raise ConfigError(
                f"{name} has the id {worst}; expected ids from 0 to {size - 1}, the "
                "model's vocabulary."
            )
    return ids


def checked_mask(
    name: str, mask: Any, shape: tuple[int, ...]
) -> jax.Array | np.ndarray:
    """A mask as bool[B, S], all True for None.

    Raises:
      ConfigError: it has another shape.
    """
    if mask is None:
        return np.ones(shape, bool)
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    if mask.shape != tuple(shape):
        raise ConfigError(
            f"{name} has the shape {mask.shape}; expected {tuple(shape)}, as the ids."
        )
    return mask != 0


@functools.partial(jax.jit, static_argnums=(1, 2))
def _prepare(params: Any, config: BertGenerationConfig, dtype: Any) -> DecoderWeights:
    return decoder_step.convert_weights(params, config, dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    model: GenerativeModel,
    config: GenerationConfig,
    params: Any,
    weights: DecoderWeights,
    inputs: Inputs,
) -> SearchResult:
    prefill_cache, state = begin(model, config, params, inputs)
    room = min(_FIRST_ROOM, config.num_new_tokens)
    cache = new_cache(model, config, len(inputs.prompt.ids), room)
    while True:  # unrolled: a step attends to as many slots as may be filled
        step = functools.partial(decoder_step.step, weights, prefill_cache)
        state, cache = search.advance(step, cache, state, config, room=room)
        if room == config.num_new_tokens:
            return search.result(state, config)
        more = min(room, config.num_new_tokens - room)
        cache, room = cache.extended(more * config.num_rows), room + more


def begin(
    model: GenerativeModel,
    config: GenerationConfig,
    params: Any,
    inputs: Inputs,
) -> tuple[PrefillCache, search.State]:
    """Reads sources and prompts.

    Args:
      model: see `generate`.
      config: of `GenerationConfig.for_prompt`.
      params: the model's.
      inputs: what is read.

    Returns:
      What the decoder remembers of them, and a search that has found nothing yet.
    """
    ids, mask = right_aligned(inputs.prompt.ids, inputs.prompt.mask)
    prompt = inputs.prompt.replace(ids=ids, mask=mask)
    cache = prefill(
        model,
        params,
        prompt.ids[:, :-1],
        prompt.mask[:, :-1],
        source_ids=inputs.source_ids,
        source_mask=inputs.source_mask,
        source_states=inputs.source_states,
    )
    return cache, search.start(prompt, config)


def new_cache(
    model: GenerativeModel,
    config: GenerationConfig,
    batch: int,
    room: int,
) -> KVCache:
    """Returns an empty cache for `room` tokens of each row of `batch` sources."""
    return KVCache.zeros(
        target_stack(model), batch, room * config.num_rows, model.dtype
    )


def right_aligned(ids: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same with all padding on the left.

    ```
    ids 5 6 0    mask 1 1 0    0 5 6    0 1 1
        7 8 9         1 1 1    7 8 9    1 1 1
    ```
    """
    order = jnp.argsort(mask, axis=1, stable=True)
    return tuple(jnp.take_along_axis(x, order, axis=1) for x in (ids, mask))
