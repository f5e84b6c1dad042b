"""Defines the modules that a stack consists of, and the head that gives logits.

BERT applies LayerNorm after each residual sum, GPT-2 before each sublayer;
`TransformerLayer` shows the two orders side by side. LayerNorm and softmax are computed
in f32 whatever the compute dtype.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from bertgen_jax import sharding
from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.attention import attend, attention_weights
from bertgen_jax.models.cache import LayerCache
from bertgen_jax.models.dropout import dropout
from bertgen_jax.models.outputs import LogitFactors
from bertgen_jax.models.rematerialization import kept
from bertgen_jax.models.stack_config import BertGenerationConfig

# Letters of shapes, as everywhere: B batch, T positions, D width, F filter width,
# H heads, K head width, V vocabulary.


class Projection(nn.Module):
    """A linear map with bias from the last axes of its inputs to new axes.

    Attributes:
      inputs: sizes of the axes that are mapped.
      outputs: sizes of the axes that take their place.
      stddev: standard deviation of new kernels (truncated normal).
      dtype: compute dtype; the parameters are f32.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    stddev: float
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the kernel f32[*inputs, *outputs] and the bias f32[*outputs]."""
        init = nn.initializers.truncated_normal(self.stddev)
        self.kernel = self.param("kernel", init, (*self.inputs, *self.outputs))
        self.bias = self.param("bias", nn.initializers.zeros_init(), self.outputs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps dtype[B, T, *inputs] to dtype[B, T, *outputs]."""
        batch = inputs.shape[: -len(self.inputs)]
        # A product of two matrices: for products with more axes XLA transposes the
        # kernel and its gradient, which costs a CPU more than the product.
        size = math.prod(self.inputs)
        kernel = self.kernel.astype(self.dtype).reshape(size, -1)
        product = jnp.matmul(inputs.reshape(*batch, size), kernel)
        bias = self.bias.astype(self.dtype)
        return product.reshape(*batch, *self.outputs) + jnp.expand_dims(bias, (0, 1))


def layer_norm(config: BertGenerationConfig) -> nn.LayerNorm:
    """Returns a LayerNorm in f32.

    Two-pass variance: with eps=1e-12 the one-pass form can go negative.
    """
    return nn.LayerNorm(
        epsilon=config.layer_norm_eps, use_fast_variance=False, dtype=jnp.float32
    )


class Embeddings(nn.Module):
    """Maps ids to vectors: drop(LayerNorm(word + position)), GPT-2's without LayerNorm.

    There are no token types.

    Attributes:
      config: the architecture of the stack.
      dtype: the dtype of the result.
      mesh: as in `BertGenerationEncoder`.
      tables: the block whose word and position tables are used; None for its own.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32
    mesh: Mesh | None = None
    tables: "Embeddings | None" = None

    def setup(self):
        """Declares the two tables, and the LayerNorm if the layers come after it."""
        if self.tables is None:
            init = nn.initializers.truncated_normal(self.config.initializer_range)
            self.word_embeddings = nn.Embed(
                self.config.vocab_size, self.config.hidden_size, embedding_init=init
            )
            self.position_embeddings = nn.Embed(
                self.config.max_position_embeddings,
                self.config.hidden_size,
                embedding_init=init,
            )
            # Made once in a call of the model, for all uses of the tables.
            self.word_copies = sharding.copies(
                self.word_embeddings.embedding, self.mesh
            )
            self.position_copies = sharding.copies(
                self.position_embeddings.embedding, self.mesh
            )
        if not self.config.pre_layer_norm:
            self.LayerNorm = layer_norm(self.config)

    def __call__(
        self,
        inputs: jax.Array,
        position_ids: jax.Array,
        dropout_key: jax.Array | None,
    ) -> jax.Array:
        """Embeds ids i32[B, T], or word vectors [B, T, D] in their place."""
        tables = self if self.tables is None else self.tables
        words = tables.word_copies  # even when unused, so that `init` declares it
        if inputs.ndim == 2:
            table = tables.word_embeddings.embedding
            inputs = sharding.look_up(table, words, inputs)  # [B, T] -> [B, T, D]
        hidden = inputs + sharding.look_up(
            tables.position_embeddings.embedding, tables.position_copies, position_ids
        )
        if not self.config.pre_layer_norm:
            hidden = self.LayerNorm(hidden)
        hidden = dropout(hidden, dropout_key, self.config.hidden_dropout_prob)
        return hidden.astype(self.dtype)


class Attention(nn.Module):
    """Multi-head attention with its output projection and dropout.

    Self- and cross-attention differ only in the origin of their keys and values. The
    LayerNorm is declared here because BERT's checkpoints name it so; the layer applies
    it.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the four projections [D, H, K], [H, K, D] and the LayerNorm."""
        width, heads = self.config.hidden_size, self.config.num_attention_heads
        inner = (heads, self.config.head_dim)
        options = {"stddev": self.config.initializer_range, "dtype": self.dtype}
        self.query = Projection((width,), inner, **options)
        self.key = Projection((width,), inner, **options)
        self.value = Projection((width,), inner, **options)
        self.output = Projection(inner, (width,), **options)
        self.LayerNorm = layer_norm(self.config)

    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: jax.Array | None,
        dropout_key: jax.Array | None,
        *,
        output_weights: bool = False,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Attends to the keys, and projects the weighted sums of the values.

        Args:
          query: dtype[B, H, T, K].
          key, value: dtype[B, H, C, K].
          mask: bool, broadcastable to [B, H, T, C], or None.
          dropout_key: the key of this block's dropout, or None for no dropout.
          output_weights: compute the weights too, without dropout.

        Returns:
          The term to add to the residual, dtype[B, T, D]; weights f32[B, H, T, C], or
          None.
        """
        weights_key, output_key = _split(dropout_key, 2)
        query = query * self.config.head_dim**-0.5
        rate = self.config.attention_probs_dropout_prob
        context = attend(query, key, value, mask, weights_key, rate)
        projected = dropout(
            self.output(_swap_heads(context)),
            output_key,
            self.config.hidden_dropout_prob,
        )
        if not output_weights:
            return projected, None
        return projected, attention_weights(query, key, mask)

    def queries(self, hidden: jax.Array) -> jax.Array:
        """[B, T, D] -> queries [B, H, T, K]."""
        return _swap_heads(self.query(hidden.astype(self.dtype)))

    def keys_values(self, states: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, S, D] -> keys and values, each [B, H, S, K]."""
        states = states.astype(self.dtype)
        return _swap_heads(self.key(states)), _swap_heads(self.value(states))


def _swap_heads(values: jax.Array) -> jax.Array:
    """Turns [B, T, H, K] into [B, H, T, K], and back."""
    return jnp.swapaxes(values, 1, 2)


class TransformerLayer(nn.Module):
    """One layer, in BERT's order (paper, section 2) or, `pre_layer_norm`, in GPT-2's:

    h1 = LN(h  + drop(Self(h)))              h1 = h  + drop(Self(LN(h)))
    h2 = LN(h1 + drop(Cross(h1, source)))    h2 = h1 + drop(Cross(LN(h1), source))
    h3 = LN(h2 + drop(W2 act(W1 h2)))        h3 = h2 + drop(W2 act(W1 LN(h2)))

    The second line applies only with a source. The paper does not say where it goes in
    GPT-2's block; this is where Hugging Face has it.

    Generation computes the same layer one token at a time in
    `generation.decoder_step`; `tests/generation/test_decoder_step.py` proves the two
    equal.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the sublayers; cross-attention only if the config has it."""
        width, inner = self.config.hidden_size, self.config.intermediate_size
        options = {"stddev": self.config.initializer_range, "dtype": self.dtype}
        self.attention = Attention(self.config, self.dtype)
        if self.config.add_cross_attention:
            self.crossattention = Attention(self.config, self.dtype)
        self.intermediate = Projection((width,), (inner,), **options)
        self.output = Projection((inner,), (width,), **options)
        self.LayerNorm = layer_norm(self.config)

    def __call__(
        self,
        hidden: jax.Array,
        mask: jax.Array | None,
        *,
        source: jax.Array | None = None,
        source_mask: jax.Array | None = None,
        cache: LayerCache | None = None,
        index: jax.Array | int = 0,
        dropout_key: jax.Array | None = None,
        output_weights: bool = False,
    ) -> tuple[jax.Array, LayerCache | None, jax.Array | None, jax.Array | None]:
        """Runs the layer.

        Args:
          hidden: dtype[B, T, D].
          mask: bool, broadcastable to [B, H, T, C], or None; C is T without a cache.
          source: dtype[B, S, D] encoder states, or None. Not needed with a cache that
            holds the keys and values of the source.
          source_mask: bool, broadcastable to [B, H, T, S], or None.
          cache: this layer's cache, or None.
          index: i32[], slot of the first of the T tokens; with a cache only.
          dropout_key: the key of this layer's dropout, or None for no dropout.
          output_weights: compute the attention weights too, without dropout.

        Returns:
          Hidden states, the written cache, attention weights f32[B, H, T, C] and
          cross-attention weights f32[B, H, T, S] (None if not asked for, or without a
          source).
        """
        self_key, cross_key, feed_forward_key = _split(dropout_key, 3)
        norm = self.attention.LayerNorm
        inputs = self._input(hidden, norm)
        query = kept(self.attention.queries(inputs))
        key, value = map(kept, self.attention.keys_values(inputs))
        if cache is not None:
            key = jax.lax.dynamic_update_slice_in_dim(cache.key, key, index, axis=2)
            value = jax.lax.dynamic_update_slice_in_dim(
                cache.value, value, index, axis=2
            )
            cache = dataclasses.replace(cache, key=key, value=value)
        attended, weights = self.attention(
            query, key, value, mask, self_key, output_weights=output_weights
        )
        hidden = self._add(hidden, attended, norm)

        cross_weights = None
        keys_values = None if cache is None else cache.cross_keys_values
        if keys_values is None and source is not None:
            keys_values = self.crossattention.keys_values(source)
        if keys_values is not None:
            norm = self.crossattention.LayerNorm
            query = kept(self.crossattention.queries(self._input(hidden, norm)))
            attended, cross_weights = self.crossattention(
                query,
                *keys_values,
                source_mask,
                cross_key,
                output_weights=output_weights,
            )
            hidden = self._add(hidden, attended, norm)

        fed = self._feed_forward(self._input(hidden, self.LayerNorm))
        fed = dropout(fed, feed_forward_key, self.config.hidden_dropout_prob)
        hidden = self._add(hidden, fed, self.LayerNorm)
        return hidden, cache, weights, cross_weights

    def source_keys_values(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Projects a source [B, S, D] to keys and values [B, H, S, K]."""
        return self.crossattention.keys_values(source)

    def _input(self, hidden: jax.Array, norm: nn.LayerNorm) -> jax.Array:
        """Returns a sublayer's input: the residual, normalised in GPT-2's order."""
        if self.config.pre_layer_norm:
            return norm(hidden).astype(self.dtype)
        return hidden

    def _add(
        self, hidden: jax.Array, added: jax.Array, norm: nn.LayerNorm
    ) -> jax.Array:
        """Adds a sublayer's output to the residual; normalises it in BERT's order."""
        hidden = kept(hidden + added)
        if self.config.pre_layer_norm:
            return hidden
        return norm(hidden).astype(self.dtype)

    def _feed_forward(self, hidden: jax.Array) -> jax.Array:
        """Returns W2 act(W1 h), dtype[B, T, D]."""
        inner = kept(self.intermediate(hidden))
        return self.output(ACTIVATIONS[self.config.hidden_act](inner))


def _split(key: jax.Array | None, count: int) -> tuple[jax.Array | None, ...]:
    """Derives `count` keys; None for each if there is none."""
    if key is None:
        return (None,) * count
    return tuple(jax.random.fold_in(key, i) for i in range(count))


class HeadTransform(nn.Module):
    """LayerNorm(act(h W + b)): what a masked-LM head computes before its softmax."""

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the kernel f32[D, D], its bias and the LayerNorm."""
        width = self.config.hidden_size
        init = nn.initializers.truncated_normal(self.config.initializer_range)
        self.kernel = self.param("kernel", init, (width, width))
        self.bias = self.param("bias", nn.initializers.zeros_init(), (width,))
        self.LayerNorm = layer_norm(self.config)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Transforms states dtype[B, T, D]."""
        kernel, bias = self.kernel.astype(self.dtype), self.bias.astype(self.dtype)
        hidden = hidden @ kernel + bias[None, None, :]
        hidden = ACTIVATIONS[self.config.hidden_act](hidden)
        return self.LayerNorm(hidden).astype(self.dtype)


class LanguageModelHead(nn.Module):
    """Maps states to logits: h E^T + b, or h W + b if the embeddings are not tied."""

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32
    mesh: Mesh | None = None

    def setup(self):
        """Declares the transform, the kernel f32[D, V] and the bias f32[V], if any."""
        config = self.config
        if config.lm_head_transform:
            self.transform = HeadTransform(config, self.dtype)
        if not config.tie_word_embeddings:
            init = nn.initializers.truncated_normal(config.initializer_range)
            shape = (config.hidden_size, config.vocab_size)
            self.kernel = self.param("kernel", init, shape)
        if config.lm_head_bias:
            zeros = nn.initializers.zeros_init()
            self.bias = self.param("bias", zeros, (config.vocab_size,))

    def __call__(self, hidden: jax.Array, words: jax.Array) -> LogitFactors:
        """Maps [B, T, D] states to the factors of their logits.

        Args:
          hidden: dtype[B, T, D].
          words: f32[G, V, D], the word embeddings, see `sharding.copies`.
        """
        config = self.config
        if config.lm_head_transform:
            hidden = self.transform(hidden)
        table = words
        if not config.tie_word_embeddings:
            table = sharding.copies(self.kernel.T, self.mesh)
        bias = self.bias if config.lm_head_bias else None
        return LogitFactors(hidden.astype(self.dtype), table, bias)
