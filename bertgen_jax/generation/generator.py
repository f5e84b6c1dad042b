"""Generates token ids from token ids: runs a search over the decoder steps of a model.

For each batch, `Generator` checks the arguments and builds the prompts, `prefill`
reads sources and prompts, and a search of `decoding` calls `decoder_step.step` until
all sources have ended.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from bertgen_jax.decoding import search
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import Prompt, SearchResult
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import decoder_step, prompts
from bertgen_jax.generation.arguments import check_rows, checked_ids, checked_mask
from bertgen_jax.generation.decoder_step import DecoderWeights, KVCache
from bertgen_jax.generation.prefill import PrefillCache, prefill
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.trees import Params

Array = jax.Array | np.ndarray

# Target positions that the first KV cache has slots for; it doubles when it is full.
_FIRST_CAPACITY = 32


def generate(
    model: GenerativeModel,
    params: Params,
    input_ids: Array,
    attention_mask: Array | None = None,
    config: GenerationConfig | None = None,
    **prompt: Any,
) -> SearchResult:
    """Generates targets for a batch of sources.

    Compiles once for each model, configuration and shape. For several batches, build
    one `Generator`: it converts the weights once.

    Args:
      model: an encoder-decoder, a prefix language model, or a decoder alone. A decoder
        alone continues its input, from the `decoder_start_token_id` of the config if
        there is one.
      params: the parameters of the model.
      input_ids: i32[B, S]. Padding may stand anywhere: it is masked, and positions are
        counted without it.
      attention_mask: [B, S], non-zero for tokens; a row without any only fills the
        batch. None: all are tokens.
      config: settings of the search; None: greedy search. Special ids that it leaves
        out are the model's.
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
    """A model whose weights are converted for decoding.

    Attributes:
      model: see `generate`.
      params: the parameters of the model.
      weights: the weights of its decoder, in the layout of `decoder_step`.
      decoder: the architecture of the stack that generates.

    Raises:
      ConfigError: the model cannot generate.
    """

    def __init__(self, model: GenerativeModel, params: Params):
        check_generative(model)
        self.model, self.params = model, params
        # It continues its input, and may attend to states that the caller computed.
        self._is_decoder_alone = isinstance(model, BertGenerationDecoder)
        self.weights = _convert_weights(
            params if self._is_decoder_alone else params["decoder"],
            model.config.target_config,
            model.dtype,
        )

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array | None = None,
        config: GenerationConfig | None = None,
        *,
        decoder_input_ids: Array | None = None,
        decoder_attention_mask: Array | None = None,
        encoder_hidden_states: jax.Array | None = None,
        encoder_attention_mask: Array | None = None,
        seeds: Array | None = None,
    ) -> SearchResult:
        """Generates targets for a batch of sources; see `generate`.

        Args:
          input_ids, attention_mask, config: see `generate`.
          decoder_input_ids: i32[B, P], the first tokens of the targets. The start token
            comes before them where no row has it, as in Hugging Face. They are not part
            of the result.
          decoder_attention_mask: [B, P], non-zero for tokens of `decoder_input_ids`.
          encoder_hidden_states: [B, S, D] states that a decoder alone attends to.
          encoder_attention_mask: [B, S], non-zero for the states to attend to.
          seeds: i32[B], which tell the sources apart when tokens are drawn; by default
            their numbers in the batch.

        Raises:
          ConfigError: an invalid setting, an id outside the vocabulary, more tokens
            than the model has positions, no start token, or an argument that this
            kind of model does not take.
        """
        config = config or GenerationConfig()
        source_ids = checked_ids(
            "input_ids", input_ids, self.model.config.source_config.vocab_size
        )
        batch, source_length = source_ids.shape
        source_mask = checked_mask("attention_mask", attention_mask, source_ids.shape)
        _check_is_masked(
            "encoder_attention_mask",
            encoder_attention_mask,
            "encoder_hidden_states",
            encoder_hidden_states,
        )
        _check_is_masked(
            "decoder_attention_mask",
            decoder_attention_mask,
            "decoder_input_ids",
            decoder_input_ids,
        )
        prompt_ids, prompt_mask = self._prompts(
            config, source_ids, source_mask, decoder_input_ids, decoder_attention_mask
        )
        states_mask = self._checked_states_mask(
            encoder_hidden_states, encoder_attention_mask, batch
        )
        if seeds is None:
            seeds = np.arange(batch, dtype=np.int32)
        check_rows("seeds", len(seeds), batch)
        config = self.resolve(
            config, source_length=source_length, prompt_length=prompt_ids.shape[1]
        )
        source, mask = source_ids, source_mask
        if self._is_decoder_alone:  # the input is its prompt
            source, mask = encoder_hidden_states, states_mask
        return _generate(
            self.model,
            config,
            self.params,
            self.weights,
            prompt_ids,
            prompt_mask,
            source,
            mask,
            seeds,
        )

    def resolve(
        self,
        config: GenerationConfig,
        *,
        source_length: int = 1,
        prompt_length: int = 1,
    ) -> GenerationConfig:
        """Fills in the settings of a search that depend on the model and the prompt.

        Special ids that the config leaves out become the model's, and limits of the
        length become numbers of new tokens.

        Args:
          config: the settings that the caller gave.
          source_length: tokens of the longest source.
          prompt_length: tokens of the longest prompt, the start token included. Of a
            decoder alone its input is part of the prompt.

        Raises:
          ConfigError: an id outside the vocabulary, no start token, or more tokens than
            the model has positions.
        """
        own_ids = {
            "eos_token_id": self.model.config.eos_token_id,
            "pad_token_id": self.model.config.pad_token_id,
            "decoder_start_token_id": _start_token_id(self.model, config),
        }
        missing = {
            name: id_ for name, id_ in own_ids.items() if getattr(config, name) is None
        }
        config = dataclasses.replace(config, **missing)
        config.check_vocabulary(self.model.config.target_config.vocab_size)
        config = config.for_prompt(prompt_length)

        # The last new token is not read.
        target_length = prompt_length - 1 + config.num_new_tokens
        if self._is_decoder_alone:
            target_length -= source_length
        after = f" after a prompt of {prompt_length}" if prompt_length > 1 else ""
        self.model.config.check_lengths(
            source_length,
            target_length,
            target_advice=f"{config.num_new_tokens} new tokens are asked for{after}; "
            "lower max_new_tokens.",
        )
        return config

    @property
    def decoder(self) -> BertGenerationConfig:
        """The architecture of the stack that generates."""
        return self.model.config.target_config

    def longest_source(self, config: GenerationConfig) -> int:
        """Returns how many tokens a source may have.

        Args:
          config: as `resolve` returns it, for a prompt of the start token.
        """
        positions = self.model.config.source_config.max_position_embeddings
        if self.model.config.architecture != "encoder-decoder":
            positions -= config.num_new_tokens  # source and target are one sequence
        return positions

    def _prompts(
        self,
        config: GenerationConfig,
        source_ids: Array,
        source_mask: Array,
        decoder_input_ids: Array | None,
        decoder_attention_mask: Array | None,
    ) -> tuple[Array, Array]:
        """Returns the first tokens of the targets i32[B, P] and their mask."""
        start = _start_token_id(self.model, config)
        if self._is_decoder_alone:
            if decoder_input_ids is not None:
                raise ConfigError(
                    "decoder_input_ids were given to a decoder alone; expected "
                    "input_ids, which it continues."
                )
            return prompts.continuing(start, source_ids, source_mask)
        assert start is not None  # other models raise an error without one
        if decoder_input_ids is None:
            return prompts.start_tokens(start, source_mask)
        vocab_size = self.model.config.target_config.vocab_size
        ids = checked_ids("decoder_input_ids", decoder_input_ids, vocab_size)
        check_rows("decoder_input_ids", len(ids), len(source_ids))
        mask = checked_mask("decoder_attention_mask", decoder_attention_mask, ids.shape)
        return prompts.with_start_token(start, ids, mask, source_mask)

    def _checked_states_mask(
        self, states: jax.Array | None, mask: Array | None, batch: int
    ) -> Array | None:
        """Returns the mask bool[B, S] of states that a decoder alone attends to."""
        if states is None:
            return None
        if not self._is_decoder_alone:
            raise ConfigError(
                "encoder_hidden_states were given to a model that computes its own "
                f"({type(self.model).__name__}); expected input_ids only."
            )
        if not self.model.config.target_config.add_cross_attention:
            raise ConfigError(
                "encoder_hidden_states were given to a decoder with "
                "add_cross_attention=False, which would ignore them."
            )
        check_rows("encoder_hidden_states", len(states), batch)
        return checked_mask("encoder_attention_mask", mask, states.shape[:2])


def check_generative(model: Any) -> None:
    """Checks that a model can generate.

    Raises:
      ConfigError: the model is an encoder, or not a model of this package.
    """
    if not isinstance(model, GenerativeModel):
        raise ConfigError(
            f"the model is a {type(model).__name__}; expected an EncoderDecoder, a "
            "PrefixLanguageModel or a BertGenerationDecoder."
        )


def _start_token_id(model: GenerativeModel, config: GenerationConfig) -> int | None:
    if config.decoder_start_token_id is not None:
        return config.decoder_start_token_id
    return model.config.start_token_id


def _check_is_masked(
    mask_name: str, mask: Array | None, array_name: str, array: Array | None
) -> None:
    """Checks that a mask comes with the array that it masks."""
    if mask is not None and array is None:
        raise ConfigError(f"{mask_name} was given without {array_name}; expected both.")


@functools.partial(jax.jit, static_argnums=(1, 2))
def _convert_weights(
    params: Params, config: BertGenerationConfig, dtype: Any
) -> DecoderWeights:
    return decoder_step.convert_weights(params, config, dtype)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    model: GenerativeModel,
    config: GenerationConfig,
    params: Params,
    weights: DecoderWeights,
    prompt_ids: jax.Array,
    prompt_mask: jax.Array,
    source: jax.Array | None,
    source_mask: jax.Array | None,
    seeds: jax.Array,
) -> SearchResult:
    prefill_cache, state = start(
        model, config, params, prompt_ids, prompt_mask, source, source_mask, seeds
    )
    capacity = min(_FIRST_CAPACITY, config.num_new_tokens)
    cache = new_cache(model, config, len(prompt_ids), capacity)
    while True:  # unrolled, so that a step attends only to the slots of its capacity
        step = functools.partial(decoder_step.step, weights, prefill_cache)
        state, cache = search.advance(step, cache, state, config, capacity=capacity)
        if capacity == config.num_new_tokens:
            return search.result(state, config)
        more = min(capacity, config.num_new_tokens - capacity)
        cache = cache.extended(more * config.num_rows)
        capacity += more


def start(
    model: GenerativeModel,
    config: GenerationConfig,
    params: Params,
    prompt_ids: jax.Array,
    prompt_mask: jax.Array,
    source: jax.Array | None,
    source_mask: jax.Array | None,
    seeds: jax.Array,
) -> tuple[PrefillCache, search.State]:
    """Reads sources and prompts, and starts a search.

    Args:
      model: see `generate`.
      config: as `Generator.resolve` returns it.
      params: the model's parameters.
      prompt_ids: i32[B, P] first tokens of the targets, padded anywhere.
      prompt_mask: bool[B, P] keep-mask of the prompts.
      source, source_mask: see `prefill`.
      seeds: i32[B], which tell the sources apart when tokens are drawn.

    Returns:
      The keys and values that the decoder attends to, and the state of a new search.
    """
    ids, mask = prompts.right_aligned(prompt_ids, prompt_mask)
    prefill_cache = prefill(
        model, params, ids[:, :-1], mask[:, :-1], source, source_mask
    )
    return prefill_cache, search.start(Prompt(ids, mask, seeds), config)


def new_cache(
    model: GenerativeModel, config: GenerationConfig, batch: int, capacity: int
) -> KVCache:
    """Returns an empty cache for `capacity` tokens of each row of `batch` sources."""
    decoder, slots = model.config.target_config, capacity * config.num_rows
    return KVCache.zeros(decoder, batch, slots, model.dtype)
