"""Reads sources and prompts in one pass, before the first decoder step.

The result is a `PrefillCache`: the keys and values that every step attends to and that
no step changes. It is computed by the linen modules of `models/`; `decoder_step`
continues from it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.masks import token_positions


@struct.dataclass
class LayerPrefillCache:
    """Keys and values of one decoder layer.

    Attributes:
      key, value: dtype[B, H, K, P] and dtype[B, H, P, K] of the decoder's own prefix;
        None without a prefix.
      cross_key, cross_value: dtype[B, H, K, S] and dtype[B, H, S, K] of the source;
        None in a decoder without cross-attention.
    """

    key: jax.Array | None
    value: jax.Array | None
    cross_key: jax.Array | None
    cross_value: jax.Array | None


@struct.dataclass
class PrefillCache:
    """Keys and values of all tokens that were read before the first step.

    Attributes:
      layers: one for each of the L decoder layers.
      source_mask: bool[B, S] keep-mask of the source; None without cross-attention.
      prefix_mask: bool[B, P] keep-mask of the prefix; None without a prefix.
    """

    layers: tuple[LayerPrefillCache, ...]
    source_mask: jax.Array | None
    prefix_mask: jax.Array | None


def prefill(
    model: GenerativeModel,
    params: Any,
    prefix_ids: jax.Array,
    prefix_mask: jax.Array,
    *,
    source_ids: jax.Array | None = None,
    source_mask: jax.Array | None = None,
    source_states: jax.Array | None = None,
) -> PrefillCache:
    """Reads sources and the first tokens of the targets.

    Padding may stand anywhere: it is masked, and positions are counted without it.

    Args:
      model: the module.
      params: its parameters.
      prefix_ids: i32[B, P] first tokens of the targets, all but the last; P may be 0.
      prefix_mask: bool[B, P] keep-mask of the prefix.
      source_ids: i32[B, S]; None for a decoder alone.
      source_mask: bool[B, S] keep-mask of the source.
      source_states: dtype[B, S, D] that a decoder alone attends to.

    Raises:
      ConfigError: the sources are longer than the encoder's position table.
    """
    run = functools.partial(model.apply, {"params": params})
    if isinstance(model, EncoderDecoder):
        arguments = (source_ids, source_mask, prefix_ids, prefix_mask)
        return run(*arguments, method=_prefill_encoder_decoder)
    if isinstance(model, BertGenerationDecoder):
        arguments = (prefix_ids, prefix_mask, source_states, source_mask)
        return run(*arguments, method=prefill_decoder)
    # A prefix language model reads source and target as one text.
    ids = jnp.concatenate([source_ids, prefix_ids], axis=1)
    mask = jnp.concatenate([source_mask, prefix_mask], axis=1)
    return run(
        ids, mask, method=lambda module, *xs: prefill_decoder(module.decoder, *xs)
    )


def prefill_decoder(
    decoder: BertGenerationDecoder,
    prefix_ids: jax.Array,
    prefix_mask: jax.Array,
    encoder_hidden_states: jax.Array | None = None,
    encoder_attention_mask: jax.Array | None = None,
) -> PrefillCache:
    """Reads a prefix and projects the states that the decoder attends to.

    Args:
      decoder: a bound module; `decoder.apply(variables, ..., method=prefill_decoder)`.
      prefix_ids: i32[B, P]; P may be 0.
      prefix_mask: bool[B, P] keep-mask of the prefix.
      encoder_hidden_states: [B, S, D] to attend to.
      encoder_attention_mask: bool[B, S] keep-mask of these; None keeps all.
    """
    batch, length = prefix_ids.shape
    cache = decoder.init_cache(batch, length, encoder_hidden_states)
    if length:
        cache = decoder.bert(
            prefix_ids,
            prefix_mask,
            token_positions(prefix_mask),
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=cache,
        ).past_key_values
    has_source = encoder_hidden_states is not None
    if has_source and encoder_attention_mask is None:
        encoder_attention_mask = jnp.ones(encoder_hidden_states.shape[:2], bool)
    return PrefillCache(
        layers=tuple(
            LayerPrefillCache(
                key=layer.key.swapaxes(2, 3) if length else None,
                value=layer.value if length else None,
                cross_key=layer.cross_key.swapaxes(2, 3) if has_source else None,
                cross_value=layer.cross_value,
            )
            for layer in cache.layers
        ),
        source_mask=encoder_attention_mask,
        prefix_mask=prefix_mask if length else None,
    )


def _prefill_encoder_decoder(
    model: EncoderDecoder,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    prefix_ids: jax.Array,
    prefix_mask: jax.Array,
) -> PrefillCache:
    """Encodes sources i32[B, S], then reads prefixes i32[B, P] as `prefill_decoder`."""
    model.config.encoder.check_positions(input_ids.shape[1], "the source")
    source_positions = token_positions(attention_mask)
    states = model.encode(input_ids, attention_mask, source_positions).last_hidden_state
    return prefill_decoder(
        model.decoder, prefix_ids, prefix_mask, model.bridge(states), attention_mask
    )
