"""Reads sources and prompts in one pass, before the first decoder step.

The result is a `PrefillCache`: the keys and values that every step attends to and that
no step changes. The linen modules of `models/` compute them; `decoder_step` continues
from them.
"""

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.masks import token_positions
from bertgen_jax.trees import Params


@struct.dataclass
class LayerPrefillCache:
    """Keys and values of one decoder layer.

    Attributes:
      prefix: keys dtype[B, H, K, P] and values dtype[B, H, P, K] of the prefix; None
        without a prefix.
      source: keys dtype[B, H, K, S] and values dtype[B, H, S, K] of the source; None
        without cross-attention.
    """

    prefix: tuple[jax.Array, jax.Array] | None
    source: tuple[jax.Array, jax.Array] | None


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
    params: Params,
    prefix_ids: jax.Array,
    prefix_mask: jax.Array,
    source: jax.Array | None,
    source_mask: jax.Array | None,
) -> PrefillCache:
    """Reads sources and the prefixes of the targets.

    A prefix is a prompt without its last token, which the first step reads. Padding may
    stand anywhere: it is masked, and positions are counted without it.

    Args:
      model: the module.
      params: the parameters of the module.
      prefix_ids: i32[B, P]; P may be 0.
      prefix_mask: bool[B, P] keep-mask of the prefixes.
      source: ids i32[B, S], no longer than the model has positions. Of a decoder alone,
        the states dtype[B, S, D] that it attends to, or None.
      source_mask: bool[B, S] keep-mask of the source; None without a source.
    """
    module = model.bind({"params": params})
    if isinstance(module, BertGenerationDecoder):
        return prefill_decoder(module, prefix_ids, prefix_mask, source, source_mask)
    assert source is not None
    assert source_mask is not None
    if isinstance(module, EncoderDecoder):
        encoded = module.encode(source, source_mask, token_positions(source_mask))
        states = module.bridge(encoded.last_hidden_state)
        return prefill_decoder(
            module.decoder, prefix_ids, prefix_mask, states, source_mask
        )
    # A prefix language model reads source and target as one text.
    ids = jnp.concatenate([source, prefix_ids], axis=1)
    mask = jnp.concatenate([source_mask, prefix_mask], axis=1)
    return prefill_decoder(module.decoder, ids, mask)


def prefill_decoder(
    decoder: BertGenerationDecoder,
    prefix_ids: jax.Array,
    prefix_mask: jax.Array,
    states: jax.Array | None = None,
    states_mask: jax.Array | None = None,
) -> PrefillCache:
    """Reads prefixes, and projects the states that the decoder attends to.

    Args:
      decoder: a module that is bound to its parameters.
      prefix_ids: i32[B, P]; P may be 0.
      prefix_mask: bool[B, P] keep-mask of the prefixes.
      states: dtype[B, S, D] to attend to; None without cross-attention.
      states_mask: bool[B, S] keep-mask of the states; None keeps all.
    """
    batch, length = prefix_ids.shape
    cache = decoder.init_cache(batch, length, states)
    if length:
        stack_output = decoder.bert(
            prefix_ids,
            prefix_mask,
            token_positions(prefix_mask),
            encoder_attention_mask=states_mask,
            past_key_values=cache,
        )
        assert stack_output.past_key_values is not None
        cache = stack_output.past_key_values
    if states is not None and states_mask is None:
        states_mask = jnp.ones(states.shape[:2], bool)
    return PrefillCache(
        layers=tuple(
            LayerPrefillCache(
                prefix=_transposed(layer.key, layer.value) if length else None,
                source=_transposed(layer.cross_key, layer.cross_value),
            )
            for layer in cache.layers
        ),
        source_mask=states_mask,
        prefix_mask=prefix_mask if length else None,
    )


def _transposed(
    key: jax.Array | None, value: jax.Array | None
) -> tuple[jax.Array, jax.Array] | None:
    """Keys and values [B, H, C, K] -> keys [B, H, K, C], values as they are."""
    if key is None or value is None:
        return None
    return key.swapaxes(2, 3), value
