"""Defines `EncoderDecoder`, the sequence-to-sequence model of the paper."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
    check_one_input,
)
from bertgen_jax.models.cache import Cache
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.outputs import (
    DecoderOutput,
    EncoderDecoderOutput,
    LogitFactors,
    StackOutput,
)


class EncoderDecoder(nn.Module):
    """An encoder and a decoder that attends to it (paper, section 2).

    With `share_encoder_decoder` there is one stack, the decoder's; as encoder it runs
    without causal mask and cross-attention (bertShare, section 3). With
    `share_embeddings` the encoder uses the decoder's embedding block, or only its
    tables if just one of the two stacks has a LayerNorm there.

    Attributes:
      config: the pair.
      dtype, scan_layers, remat, mesh: as in `BertGenerationEncoder`.
    """

    config: EncoderDecoderConfig
    dtype: jnp.dtype = jnp.float32
    scan_layers: bool = False
    remat: str = "none"
    mesh: Mesh | None = None

    def setup(self):
        """Declares the stacks, and a bridge between unequal widths."""
        config = self.config
        options = (self.dtype, self.scan_layers, self.remat, self.mesh)
        self.decoder = BertGenerationDecoder(config.decoder, *options)
        if not config.share_encoder_decoder:
            shared = self.decoder.bert.embeddings if config.share_embeddings else None
            self.encoder = BertGenerationEncoder(config.encoder, *options, shared)
        if self._widths_differ:
            self.enc_to_dec_proj = nn.Dense(
                config.decoder.hidden_size,
                dtype=self.dtype,
                kernel_init=nn.initializers.truncated_normal(
                    config.decoder.initializer_range
                ),
            )

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        decoder_input_ids: jax.Array | None = None,
        decoder_attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        decoder_inputs_embeds: jax.Array | None = None,
        encoder_outputs: StackOutput | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> EncoderDecoderOutput:
        """Encodes the source, then decodes the target with teacher forcing.

        Args:
          input_ids: i32[B, S] source (or `inputs_embeds` [B, S, D]).
          attention_mask: [B, S] keep-mask of the source, for both sides. With None,
            padding is attended to as well.
          decoder_input_ids: i32[B, T] target shifted right, the start token first (or
            `decoder_inputs_embeds`); the logits of position t are those of target t.
          decoder_attention_mask: [B, T] or [B, T, T]; not needed for right padding.
          position_ids, decoder_position_ids: by default counted from 0.
          encoder_outputs: result of `encode`, in place of source ids.
          past_key_values: decoder cache.
          output_attentions, output_hidden_states: return these of both sides.
          deterministic: no dropout.

        Raises:
          ConfigError: no target, or see `BertGenerationEncoder`.
        """
        outputs = {
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
            "deterministic": deterministic,
        }
        if encoder_outputs is None:
            encoder_outputs = self.encode(
                input_ids, attention_mask, position_ids, inputs_embeds, **outputs
            )
        decoded = self.decode(
            decoder_input_ids,
            encoder_outputs.last_hidden_state,
            attention_mask,
            decoder_attention_mask,
            decoder_position_ids,
            decoder_inputs_embeds,
            past_key_values,
            **outputs,
        )
        return EncoderDecoderOutput(
            logits=decoded.logits,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )

    def logit_factors(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array | None,
        decoder_input_ids: jax.Array,
        *,
        deterministic: bool = True,
    ) -> LogitFactors:
        """Runs `__call__` without multiplying the logits, for the loss."""
        source = self.encode(
            input_ids, attention_mask, deterministic=deterministic
        ).last_hidden_state
        decoded = self.decoder.bert(
            decoder_input_ids,
            encoder_hidden_states=self.bridge(source),
            encoder_attention_mask=attention_mask,
            deterministic=deterministic,
        )
        return self.decoder.logit_factors(decoded.last_hidden_state)

    def encode(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> StackOutput:
        """Encodes sources i32[B, S] as hidden states [B, S, D of the encoder]."""
        is_shared = self.config.share_encoder_decoder
        stack = self.decoder.bert if is_shared else self.encoder
        hidden = stack.embed(
            input_ids, position_ids, inputs_embeds, deterministic=deterministic
        )
        return stack.transform(
            hidden,
            causal=False,
            attention_mask=attention_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            deterministic=deterministic,
        )

    def decode(
        self,
        decoder_input_ids: jax.Array | None,
        encoder_hidden_states: jax.Array | None,
        encoder_attention_mask: jax.Array | None = None,
        decoder_attention_mask: jax.Array | None = None,
        decoder_position_ids: jax.Array | None = None,
        decoder_inputs_embeds: jax.Array | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> DecoderOutput:
        """Decodes targets i32[B, T] that attend to states [B, S, D of the encoder].

        Raises:
          ConfigError: no target, or no states and no cache of `init_cache` with their
            keys and values.
        """
        check_one_input(decoder_input_ids, decoder_inputs_embeds, "decoder_")
        cached = past_key_values is not None and past_key_values.source_length
        if encoder_hidden_states is None and not cached:
            raise ConfigError(
                "found neither encoder_hidden_states nor a cache with their keys and "
                "values; expected one of them, because the target is decoded from it."
            )
        states = encoder_hidden_states
        if states is not None:
            states = self.bridge(states)
        return self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            position_ids=decoder_position_ids,
            inputs_embeds=decoder_inputs_embeds,
            encoder_hidden_states=states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            deterministic=deterministic,
        )

    def init_cache(self, encoder_hidden_states: jax.Array, capacity: int) -> Cache:
        """Makes a cache of `capacity` slots for sources [B, S, D of the encoder]."""
        states = self.bridge(encoder_hidden_states)
        return self.decoder.init_cache(states.shape[0], capacity, states)

    def bridge(self, states: jax.Array) -> jax.Array:
        """Maps encoder states [B, S, D] to the decoder's width, if widths differ."""
        if not self._widths_differ:
            return states
        return self.enc_to_dec_proj(states)

    @property
    def _widths_differ(self) -> bool:
        return self.config.encoder.hidden_size != self.config.decoder.hidden_size
