"""A model and source ids in, generated ids out: where a linen module meets a search."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import SearchResult
from bertgen_jax.decoding.search import search
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder


def generate(
    model: EncoderDecoder,
    params: Any,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    config: GenerationConfig,
) -> SearchResult:
    """Generates targets for a batch of sources.

    Compiled once for each model, configuration and shape.

    Args:
      model: an encoder-decoder.
      params: its parameters.
      input_ids: i32[B, S].
      attention_mask: bool[B, S]; a row without any True only fills the batch.
      config: how to search. Special ids that it leaves out are the model's.

    Returns:
      sequences i32[B, N, T] without start token and padded after EOS, scores f32[B, N],
      best first, and lengths i32[B, N].

    Raises:
      ConfigError: more tokens than the decoder has positions, no start token, or a
        model that is no encoder-decoder.
    """
    if not isinstance(model, EncoderDecoder):
        raise ConfigError(
            f"the model is a {type(model).__name__}; expected an EncoderDecoder."
        )
    config = _with_model_ids(config, model.config)
    positions = model.config.decoder.max_position_embeddings
    if config.num_new_tokens > positions:
        raise ConfigError(
            f"{config.num_new_tokens} new tokens are asked for; the decoder has "
            f"{positions} positions (max_position_embeddings). Lower max_new_tokens."
        )
    return _generate(model, params, input_ids, attention_mask, config)


def _with_model_ids(
    config: GenerationConfig, model: EncoderDecoderConfig
) -> GenerationConfig:
    """Fills in the special ids that a config leaves out."""
    missing: dict[str, Any] = {}
    if config.decoder_start_token_id is None:
        missing["decoder_start_token_id"] = model.start_token_id
    if config.eos_token_id is None:
        missing["eos_token_id"] = model.eos_token_id
    if config.pad_token_id is None:
        missing["pad_token_id"] = model.pad_token_id
    return dataclasses.replace(config, **missing)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _generate(
    model: EncoderDecoder,
    params: Any,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    config: GenerationConfig,
) -> SearchResult:
    variables = {"params": params}
    encoded = model.apply(variables, input_ids, attention_mask, method="encode")
    cache = model.apply(
        variables,
        encoded.last_hidden_state,
        config.num_beams * config.num_new_tokens,
        method="init_cache",
    )

    def step(cache, ids, position, ancestors):
        # The R beams are R tokens at one position: docs/architecture.md.
        out = model.apply(
            variables,
            ids,
            None,
            attention_mask,
            decoder_attention_mask=ancestors,
            decoder_position_ids=jnp.broadcast_to(position, (1, ids.shape[1])),
            past_key_values=cache,
            method="decode",
        )
        return out.logits, out.past_key_values

    batch = input_ids.shape[0]
    start_ids = jnp.full((batch,), config.decoder_start_token_id, jnp.int32)
    return search(step, cache, start_ids, config, jnp.any(attention_mask, axis=1))
