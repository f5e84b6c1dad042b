"""Defines `BertGenerationEncoder`, a stack of layers, and `BertGenerationDecoder`.

As in Hugging Face, the encoder class is also the stack of the decoder: `is_decoder` in
its config makes it causal. The letters of shapes are defined in docs/architecture.md.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from bertgen_jax import sharding
from bertgen_jax.errors import ConfigError, check_choice
from bertgen_jax.models import layer_loop, masks, rematerialization
from bertgen_jax.models.cache import Cache, LayerCache
from bertgen_jax.models.layers import (
    Embeddings,
    LanguageModelHead,
    TransformerLayer,
    layer_norm,
)
from bertgen_jax.models.outputs import DecoderOutput, LogitFactors, StackOutput
from bertgen_jax.models.stack_config import BertGenerationConfig


def check_one_input(
    input_ids: jax.Array | None, inputs_embeds: jax.Array | None, prefix: str = ""
) -> jax.Array:
    """Returns the ids or the word vectors, whichever is given.

    Raises:
      ConfigError: names the two arguments, which begin with `prefix`.
    """
    if input_ids is not None and inputs_embeds is None:
        return input_ids
    if inputs_embeds is None or input_ids is not None:
        count = "neither" if input_ids is None else "both"
        raise ConfigError(
            f"found {count} of {prefix}input_ids and {prefix}inputs_embeds; expected "
            "exactly one of them."
        )
    return inputs_embeds


class BertGenerationEncoder(nn.Module):
    """A stack of Transformer layers over embeddings.

    Attributes:
      config: the architecture of the stack.
      dtype: compute dtype; parameters, LayerNorm and softmax stay f32.
      scan_layers: compile one layer and loop over it, in calls without a cache that
        return only the last hidden state. Only these calls accept stacked layers
        (`stacked_layers`).
      remat: a name in `rematerialization.POLICIES`; applies to the same calls as
        `scan_layers`.
      mesh: the devices over which a train state is split; None for one device, or to
        leave the distribution to XLA.
      shared_embeddings: the embedding block of another stack, of which this one uses
        the tables, and the LayerNorm if both blocks have one.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32
    scan_layers: bool = False
    remat: str = "none"
    mesh: Mesh | None = None
    shared_embeddings: Embeddings | None = None

    def setup(self):
        """Declares the embeddings, L layers, and GPT-2's LayerNorm after the last."""
        check_choice("remat", self.remat, rematerialization.POLICIES)
        shared = self.shared_embeddings
        if shared is None or self.config.pre_layer_norm or shared.config.pre_layer_norm:
            self.embeddings = Embeddings(self.config, self.dtype, self.mesh, shared)
        else:
            self.embeddings = shared
        self.layer = [
            TransformerLayer(self.config, self.dtype)
            for _ in range(self.config.num_hidden_layers)
        ]
        if self.config.pre_layer_norm:
            self.LayerNorm = layer_norm(self.config)

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        encoder_hidden_states: jax.Array | None = None,
        encoder_attention_mask: jax.Array | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> StackOutput:
        """Runs the stack.

        Args:
          input_ids: i32[B, T].
          inputs_embeds: [B, T, D] word vectors, in place of ids.
          attention_mask: None; [B, C] keep-mask over past and new tokens; or [B, T, C],
            to which causality is not added (see `masks.attention_mask`).
          position_ids: i32[B, T]; by default they continue from the cache.
          encoder_hidden_states: [B, S, D] states of the source to attend to. Not needed
            if the cache holds their keys and values.
          encoder_attention_mask: [B, S] or [B, T, S] keep-mask over the source.
          past_key_values: a cache of `init_cache`, which is returned with the new
            tokens in it.
          output_attentions, output_hidden_states: return these as well.
          deterministic: no dropout; otherwise `apply` needs a "dropout" key.

        Raises:
          ConfigError: both or neither of `input_ids` and `inputs_embeds`; a sequence
            longer than the position table; a cache or a source given to an encoder; a
            full cache; an invalid mask.
        """
        hidden = self.embed(
            input_ids, position_ids, inputs_embeds, past_key_values, deterministic
        )
        return self.transform(
            hidden,
            causal=self.config.is_decoder,
            attention_mask=attention_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            deterministic=deterministic,
        )

    def embed(
        self,
        input_ids: jax.Array | None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        past_key_values: Cache | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Embeds ids i32[B, T] or word vectors [B, T, D] for the first layer."""
        inputs = check_one_input(input_ids, inputs_embeds)
        if position_ids is None:
            length = inputs.shape[1]
            start, last = 0, length
            if past_key_values is not None:
                start = past_key_values.index
                last = past_key_values.known_index + length
            self.config.check_positions(last)
            position_ids = (start + jnp.arange(length))[None, :]
        return self.embeddings(inputs, position_ids, self._dropout_key(deterministic))

    def transform(
        self,
        hidden: jax.Array,
        *,
        causal: bool,
        attention_mask: jax.Array | None = None,
        encoder_hidden_states: jax.Array | None = None,
        encoder_attention_mask: jax.Array | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> StackOutput:
        """Runs the layers over the result of `embed`, [B, T, D].

        With `causal=False` a shared stack runs as encoder. For the other arguments,
        see `__call__`.
        """
        cache, source = past_key_values, encoder_hidden_states
        self._check(causal, cache, source, encoder_attention_mask)
        if causal and self.config.add_cross_attention and self.is_initializing():
            # Cross-attention is declared even if `init` is called without a source.
            source = jnp.zeros_like(hidden) if source is None else source

        batch, queries, _ = hidden.shape
        num_keys, start, least_keys = queries, 0, queries
        if cache is not None:
            cache.check_free(queries)
            num_keys, start = cache.capacity, cache.index
            least_keys = cache.known_index + queries
        mask = masks.attention_mask(
            attention_mask,
            (batch, queries, num_keys),
            causal=causal,
            start=start,
            least_keys=least_keys,
        )
        source_mask = None
        if encoder_attention_mask is not None:
            source_length = None if cache is None else cache.source_length
            if source_length is None:
                assert source is not None  # because of `_check`
                source_length = source.shape[1]
            source_mask = masks.attention_mask(
                encoder_attention_mask,
                (batch, queries, source_length),
                causal=False,
                name="encoder_attention_mask",
            )

        dropout_key = self._dropout_key(deterministic)
        dropout_keys = None
        if dropout_key is not None:
            dropout_keys = [
                jax.random.fold_in(dropout_key, i) for i in range(len(self.layer))
            ]
        uses_layer_loop = (
            self.scan_layers
            or self.remat != "none"
            or sharding.splits_params(self.mesh)
        )
        needs_each_layer = (
            cache is not None
            or output_attentions
            or output_hidden_states
            or self.is_initializing()
        )
        if uses_layer_loop and not needs_each_layer:
            hidden = layer_loop.run_layers(
                TransformerLayer(self.config, self.dtype, parent=None),
                self.variables["params"],
                hidden,
                dropout_keys,
                scan=self.scan_layers,
                remat=self.remat,
                mesh=self.mesh,
                mask=mask,
                source=source,
                source_mask=source_mask,
            )
            return StackOutput(self._finish(hidden))

        states, attentions, cross_attentions, layers = [], [], [], []
        for i, layer in enumerate(self.layer):
            states.append(hidden)
            hidden, layer_cache, weights, cross_weights = layer(
                hidden,
                mask,
                source=source,
                source_mask=source_mask,
                cache=None if cache is None else cache.layers[i],
                index=0 if cache is None else cache.index,
                dropout_key=None if dropout_keys is None else dropout_keys[i],
                output_weights=output_attentions,
            )
            layers.append(layer_cache)
            attentions.append(weights)
            cross_attentions.append(cross_weights)
        hidden = self._finish(hidden)
        states.append(hidden)
        if cache is not None:
            cache = Cache(layers=tuple(layers), index=cache.index + queries)
        crossed = output_attentions and cross_attentions[0] is not None
        return StackOutput(
            last_hidden_state=hidden,
            past_key_values=cache,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
            cross_attentions=tuple(cross_attentions) if crossed else None,
        )

    def init_cache(
        self,
        batch_size: int,
        capacity: int,
        encoder_hidden_states: jax.Array | None = None,
    ) -> Cache:
        """Makes an empty cache of `capacity` slots a row.

        Args:
          batch_size: B.
          capacity: C, the number of tokens that will be written.
          encoder_hidden_states: [B, S, D] states of the source, whose keys and values
            are computed here, once for each layer.

        Raises:
          ConfigError: a source is given to a stack without cross-attention.
        """
        config = self.config
        self._check(config.is_decoder, None, encoder_hidden_states, None)
        empty = jnp.zeros(
            (batch_size, config.num_attention_heads, capacity, config.head_dim),
            self.dtype,
        )
        layers = []
        for layer in self.layer:
            cross = (None, None)
            if encoder_hidden_states is not None:
                cross = layer.source_keys_values(encoder_hidden_states)
            layers.append(LayerCache(empty, empty, *cross))
        return Cache(layers=tuple(layers), index=jnp.zeros((), jnp.int32))

    def _finish(self, hidden: jax.Array) -> jax.Array:
        """Normalises the states after the last layer, if the order is GPT-2's."""
        if self.config.pre_layer_norm:
            return self.LayerNorm(hidden).astype(self.dtype)
        return hidden

    def _dropout_key(self, deterministic: bool) -> jax.Array | None:
        """Returns a new key of the "dropout" stream; None for no dropout."""
        return None if deterministic else self.make_rng("dropout")

    def _check(
        self,
        causal: bool,
        cache: Cache | None,
        source: jax.Array | None,
        source_mask: jax.Array | None,
    ) -> None:
        if cache is not None and not causal:
            raise ConfigError(
                "past_key_values were given to a bidirectional stack; only a causal "
                "one (is_decoder=True) can continue from a cache."
            )
        crosses = causal and self.config.add_cross_attention
        if source is not None and not crosses:
            raise ConfigError(
                "encoder_hidden_states were given to a stack with is_decoder="
                f"{causal} and add_cross_attention={self.config.add_cross_attention}; "
                "expected both to be True, because otherwise the source is ignored."
            )
        cached = cache is not None and cache.source_length is not None
        if source_mask is not None and source is None and not cached:
            raise ConfigError(
                "encoder_attention_mask was given without encoder_hidden_states; "
                "expected the states that it masks."
            )


class BertGenerationDecoder(nn.Module):
    """A causal stack with a language-model head.

    Attributes:
      config: the architecture; `is_decoder` must be set.
      dtype, scan_layers, remat, mesh: as in `BertGenerationEncoder`.
      allow_bidirectional: accept `is_decoder=False`, as Hugging Face does with a
        warning, because some published configs lack the flag. Every position then sees
        the tokens after it.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32
    scan_layers: bool = False
    remat: str = "none"
    mesh: Mesh | None = None
    allow_bidirectional: bool = False

    def setup(self):
        """Declares the stack and the head."""
        if not (self.config.is_decoder or self.allow_bidirectional):
            raise ConfigError(
                "is_decoder is False in the config of a BertGenerationDecoder; "
                "expected True: without the causal mask every position sees the tokens "
                "that it predicts. Use dataclasses.replace(config, "
                "is_decoder=True), or allow_bidirectional=True if you mean it."
            )
        self.bert = BertGenerationEncoder(
            self.config, self.dtype, self.scan_layers, self.remat, self.mesh
        )
        self.lm_head = LanguageModelHead(self.config, self.dtype, self.mesh)

    def __call__(
        self,
        input_ids: jax.Array | None = None,
        attention_mask: jax.Array | None = None,
        position_ids: jax.Array | None = None,
        inputs_embeds: jax.Array | None = None,
        encoder_hidden_states: jax.Array | None = None,
        encoder_attention_mask: jax.Array | None = None,
        past_key_values: Cache | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        deterministic: bool = True,
    ) -> DecoderOutput:
        """Runs stack and head; arguments and errors as in `BertGenerationEncoder`.

        The logits of position t predict token t + 1. For the loss see
        `bertgen_jax.models.losses`.
        """
        out = self.bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past_key_values,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            deterministic=deterministic,
        )
        return DecoderOutput(
            logits=self.logits(out.last_hidden_state),
            past_key_values=out.past_key_values,
            hidden_states=out.hidden_states,
            attentions=out.attentions,
            cross_attentions=out.cross_attentions,
        )

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Computes logits f32[B, T, V] of states [B, T, D] of the stack."""
        return self.logit_factors(hidden).logits()

    def logit_factors(self, hidden: jax.Array) -> LogitFactors:
        """Returns the factors of the logits of states [B, T, D] of the stack."""
        return self.lm_head(hidden, self.bert.embeddings.word_copies)

    def init_cache(
        self,
        batch_size: int,
        capacity: int,
        encoder_hidden_states: jax.Array | None = None,
    ) -> Cache:
        """Makes an empty cache; see `BertGenerationEncoder.init_cache`."""
        return self.bert.init_cache(batch_size, capacity, encoder_hidden_states)
