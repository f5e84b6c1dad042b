"""Defines the outputs of the models, with the field names of Hugging Face."""

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.cache import Cache


@struct.dataclass
class StackOutput:
    """Output of one stack.

    Attributes:
      last_hidden_state: dtype[B, T, D].
      past_key_values: the cache with the new tokens in it, if one was passed.
      hidden_states: L + 1 arrays dtype[B, T, D], the embeddings first, if requested.
      attentions: L arrays f32[B, H, T, C], if requested.
      cross_attentions: L arrays f32[B, H, T, S], if requested and there is a source.
    """

    last_hidden_state: jax.Array
    past_key_values: Cache | None = None
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None
    cross_attentions: tuple[jax.Array, ...] | None = None


@struct.dataclass
class DecoderOutput:
    """Output of a decoder: logits f32[B, T, V], other fields as in `StackOutput`."""

    logits: jax.Array
    past_key_values: Cache | None = None
    hidden_states: tuple[jax.Array, ...] | None = None
    attentions: tuple[jax.Array, ...] | None = None
    cross_attentions: tuple[jax.Array, ...] | None = None


@struct.dataclass
class EncoderDecoderOutput:
    """Output of an encoder-decoder: logits f32[B, T, V] and the states of each side."""

    logits: jax.Array
    past_key_values: Cache | None = None
    decoder_hidden_states: tuple[jax.Array, ...] | None = None
    decoder_attentions: tuple[jax.Array, ...] | None = None
    cross_attentions: tuple[jax.Array, ...] | None = None
    encoder_last_hidden_state: jax.Array | None = None
    encoder_hidden_states: tuple[jax.Array, ...] | None = None
    encoder_attentions: tuple[jax.Array, ...] | None = None


@struct.dataclass
class LogitFactors:
    """Logits that are not multiplied yet: states @ table^T + bias.

    The logits of a training batch are gigabytes, so the loss multiplies them in parts.

    Attributes:
      states: dtype[B, T, D]; the product is computed in their dtype and summed in f32.
      table: f32[G, V, D], a copy for each of the devices over which B is split, see
        `sharding.copies`.
      bias: f32[V], or None.
    """

    states: jax.Array
    table: jax.Array
    bias: jax.Array | None

    def logits(self) -> jax.Array:
        """Multiplies: f32[B, T, V]."""
        groups = self.table.shape[0]
        if self.states.shape[0] % groups:
            groups = 1
        states = self.states.reshape(groups, -1, *self.states.shape[1:])
        logits = jnp.einsum(
            "GBTD,GVD->GBTV",
            states,
            self.table[:groups].astype(self.states.dtype),
            preferred_element_type=jnp.float32,  # sums of D products, then softmax
        ).reshape(*self.states.shape[:2], -1)
        return logits if self.bias is None else logits + self.bias[None, None, :]
