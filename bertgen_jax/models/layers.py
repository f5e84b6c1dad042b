"""The parts of a stack: hidden states dtype[B, T, D] in, hidden states out.

BERT's, where LayerNorm comes after each residual, and GPT-2's, where it comes before
each sublayer: `TransformerLayer` has the two orders side by side. LayerNorm and softmax
are computed in f32 whatever the compute dtype.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.cache import LayerCache
from bertgen_jax.models.config import BertGenerationConfig


class Projection(nn.Module):
    """A linear map with bias from `in_shape` to `out_shape`; kernel [*in, *out].

    Only declares the parameters: attention fuses three of them into one product.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    stddev: float

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        """Returns kernel f32[*in, *out] and bias f32[*out]."""
        init = nn.initializers.truncated_normal(self.stddev)
        kernel = self.param("kernel", init, (*self.in_shape, *self.out_shape))
        bias = self.param("bias", nn.initializers.zeros_init(), self.out_shape)
        return kernel, bias


def layer_norm(config: BertGenerationConfig) -> nn.LayerNorm:
    """LayerNorm in f32; the two-pass variance, since eps 1e-12 forgives nothing."""
    return nn.LayerNorm(
        epsilon=config.layer_norm_eps, use_fast_variance=False, dtype=jnp.float32
    )


class Embeddings(nn.Module):
    """Ids to vectors: drop(LayerNorm(word + position)), GPT-2's without LayerNorm.

    No token types.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the two tables, and the LayerNorm where the layers come after it."""
        init = nn.initializers.truncated_normal(self.config.initializer_range)
        self.word_embeddings = nn.Embed(
            self.config.vocab_size, self.config.hidden_size, embedding_init=init
        )
        self.position_embeddings = nn.Embed(
            self.config.max_position_embeddings,
            self.config.hidden_size,
            embedding_init=init,
        )
        if not self.config.pre_layer_norm:
            self.LayerNorm = layer_norm(self.config)
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob)

    def __call__(
        self,
        input_ids: jax.Array | None,
        inputs_embeds: jax.Array | None,
        position_ids: jax.Array,
        deterministic: bool,
        tables: "Embeddings | None" = None,
    ) -> jax.Array:
        """Embeds i32[B, T] ids, or takes word vectors [B, T, D] in their place.

        With `tables`, words and positions are looked up in those of another stack.
        """
        tables = self if tables is None else tables
        words = tables.word_table()  # even when unused: `init` always declares it
        if inputs_embeds is None:
            inputs_embeds = jnp.take(words, input_ids, axis=0)
        hidden = inputs_embeds + tables.position_embeddings(position_ids)
        if not self.config.pre_layer_norm:
            hidden = self.LayerNorm(hidden)
        hidden = self.dropout(hidden, deterministic=deterministic)
        return hidden.astype(self.dtype)

    def word_table(self) -> jax.Array:
        """The word embedding table f32[V, D], which the softmax may share."""
        return self.word_embeddings.embedding


def softmax(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Softmax over the last axis; a row that sees nothing gives zeros, not NaN.

    Args:
      scores: f32[B, H, T, C].
      mask: bool, broadcastable to it, or None.

    Returns:
      f32[B, H, T, C].
    """
    if mask is None:
        return jax.nn.softmax(scores, axis=-1)
    weights = jax.nn.softmax(
        jnp.where(mask, scores, jnp.finfo(scores.dtype).min), axis=-1
    )
    return jnp.where(mask, weights, 0.0)


class Attention(nn.Module):
    """Multi-head attention with its output projection and dropout.

    One class for self- and cross-attention, which differ in whose keys and values they
    are. The LayerNorm is declared here, where BERT's checkpoints name it; the layer
    says when it is applied.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the four projections [D, H, K], [H, K, D] and the LayerNorm."""
        width, heads = self.config.hidden_size, self.config.num_attention_heads
        inner = (heads, self.config.head_dim)
        stddev = self.config.initializer_range
        self.query = Projection((width,), inner, stddev)
        self.key = Projection((width,), inner, stddev)
        self.value = Projection((width,), inner, stddev)
        self.output = Projection(inner, (width,), stddev)
        self.LayerNorm = layer_norm(self.config)
        self.attention_dropout = nn.Dropout(self.config.attention_probs_dropout_prob)
        self.output_dropout = nn.Dropout(self.config.hidden_dropout_prob)

    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: jax.Array | None,
        deterministic: bool,
    ) -> tuple[jax.Array, jax.Array]:
        """Attends.

        Args:
          query: dtype[B, H, T, K].
          key, value: dtype[B, H, C, K].
          mask: bool, broadcastable to [B, H, T, C], or None.
          deterministic: no dropout.

        Returns:
          What is added to the residual, dtype[B, T, D]; weights f32[B, H, T, C].
        """
        scale = self.config.head_dim**-0.5
        scores = jnp.einsum(
            "BHTK,BHCK->BHTC", query * scale, key, preferred_element_type=jnp.float32
        )
        weights = softmax(scores, mask)
        dropped = self.attention_dropout(weights, deterministic=deterministic)
        context = jnp.einsum("BHTC,BHCK->BHTK", dropped.astype(self.dtype), value)
        kernel, bias = self.output()
        projected = jnp.einsum("BHTK,HKD->BTD", context, kernel.astype(self.dtype))
        projected = projected + bias.astype(self.dtype)[None, None, :]
        return self.output_dropout(projected, deterministic=deterministic), weights

    def queries(self, hidden: jax.Array) -> jax.Array:
        """[B, T, D] -> queries [B, H, T, K]."""
        return self._project(hidden, self.query)[0]

    def keys_values(self, states: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[B, S, D] -> keys and values, each [B, H, S, K]."""
        return self._project(states, self.key, self.value)

    def queries_keys_values(self, hidden: jax.Array) -> tuple[jax.Array, ...]:
        """[B, T, D] -> queries, keys and values, each [B, H, T, K]."""
        return self._project(hidden, self.query, self.key, self.value)

    def _project(
        self, hidden: jax.Array, *projections: Projection
    ) -> tuple[jax.Array, ...]:
        # One product for all: the parameters stay apart, as checkpoints name them.
        kernels, biases = zip(
            *(projection() for projection in projections), strict=True
        )
        kernel = jnp.concatenate(kernels, axis=1).astype(self.dtype)  # [D, nH, K]
        bias = jnp.concatenate(biases, axis=0).astype(self.dtype)  # [nH, K]
        # A source may come in another dtype than the stack computes in.
        projected = jnp.einsum("BTD,DHK->BHTK", hidden.astype(self.dtype), kernel)
        projected = projected + bias[None, :, None, :]
        return tuple(jnp.split(projected, len(projections), axis=1))


class TransformerLayer(nn.Module):
    """One layer, in BERT's order (paper, section 2) or, `pre_layer_norm`, in GPT-2's:

    h1 = LN(h  + drop(Self(h)))              h1 = h  + drop(Self(LN(h)))
    h2 = LN(h1 + drop(Cross(h1, source)))    h2 = h1 + drop(Cross(LN(h1), source))
    h3 = LN(h2 + drop(W2 act(W1 h2)))        h3 = h2 + drop(W2 act(W1 LN(h2)))

    The second line only with a source. Where it goes in GPT-2's block the paper does
    not say; this is the peer's place.

    Generation computes the same layer one token at a time in
    `generation.decoder_step`; `tests/generation/test_decoder_step.py` proves the two
    equal.
    """

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the sublayers; cross-attention only if the config has it."""
        width, inner = self.config.hidden_size, self.config.intermediate_size
        stddev = self.config.initializer_range
        self.attention = Attention(self.config, self.dtype)
        if self.config.add_cross_attention:
            self.crossattention = Attention(self.config, self.dtype)
        self.intermediate = Projection((width,), (inner,), stddev)
        self.output = Projection((inner,), (width,), stddev)
        self.LayerNorm = layer_norm(self.config)
        self.dropout = nn.Dropout(self.config.hidden_dropout_prob)

    def __call__(
        self,
        hidden: jax.Array,
        mask: jax.Array | None,
        source: jax.Array | None,
        source_mask: jax.Array | None,
        cache: LayerCache | None,
        index: jax.Array | None,
        deterministic: bool = True,
    ) -> tuple[jax.Array, LayerCache | None, jax.Array, jax.Array | None]:
        """Runs the layer.

        Args:
          hidden: dtype[B, T, D].
          mask: bool, broadcastable to [B, H, T, C], or None; C is T without a cache.
          source: dtype[B, S, D] encoder states, or None. With a cache that holds the
            source's keys and values they are not needed.
          source_mask: bool, broadcastable to [B, H, T, S], or None.
          cache: this layer's cache, or None.
          index: i32[], slot in which the first of the T tokens goes.
          deterministic: no dropout.

        Returns:
          hidden states, the written cache, attention weights f32[B, H, T, C] and
          cross-attention weights f32[B, H, T, S] (None without a source).
        """
        norm = self.attention.LayerNorm
        query, key, value = self.attention.queries_keys_values(
            self._input(hidden, norm)
        )
        if cache is not None:
            key = jax.lax.dynamic_update_slice_in_dim(cache.key, key, index, axis=2)
            value = jax.lax.dynamic_update_slice_in_dim(
                cache.value, value, index, axis=2
            )
            cache = cache.replace(key=key, value=value)
        attended, weights = self.attention(query, key, value, mask, deterministic)
        hidden = self._add(hidden, attended, norm)

        cross_weights = None
        cached = cache is not None and cache.cross_key is not None
        if source is not None or cached:
            norm = self.crossattention.LayerNorm
            query = self.crossattention.queries(self._input(hidden, norm))
            if cached:
                key, value = cache.cross_key, cache.cross_value
            else:
                key, value = self.crossattention.keys_values(source)
            attended, cross_weights = self.crossattention(
                query, key, value, source_mask, deterministic
            )
            hidden = self._add(hidden, attended, norm)

        fed = self._feed_forward(self._input(hidden, self.LayerNorm), deterministic)
        hidden = self._add(hidden, fed, self.LayerNorm)
        return hidden, cache, weights, cross_weights

    def source_keys_values(self, source: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cross-attention keys and values [B, H, S, K] of a source [B, S, D]."""
        return self.crossattention.keys_values(source)

    def _input(self, hidden: jax.Array, norm: nn.LayerNorm) -> jax.Array:
        """What a sublayer reads of the residual."""
        if self.config.pre_layer_norm:
            return norm(hidden).astype(self.dtype)
        return hidden

    def _add(
        self, hidden: jax.Array, added: jax.Array, norm: nn.LayerNorm
    ) -> jax.Array:
        """The residual after a sublayer."""
        if self.config.pre_layer_norm:
            return hidden + added
        return norm(hidden + added).astype(self.dtype)

    def _feed_forward(self, hidden: jax.Array, deterministic: bool) -> jax.Array:
        """drop(W2 act(W1 h)), dtype[B, T, D]."""
        kernel, bias = (x.astype(self.dtype) for x in self.intermediate())
        inner = jnp.einsum("BTD,DF->BTF", hidden, kernel) + bias[None, None, :]
        inner = ACTIVATIONS[self.config.hidden_act](inner)
        kernel, bias = (x.astype(self.dtype) for x in self.output())
        outer = jnp.einsum("BTF,FD->BTD", inner, kernel) + bias[None, None, :]
        return self.dropout(outer, deterministic=deterministic)
