"""Computes the next-token logits of a decoder, one token of every row at a time.

`models.bert_generation.BertGenerationDecoder` computes whole sequences; this module
computes the same numbers one step at a time, and
`tests/generation/test_decoder_step.py` proves the two equal for every kind of decoder.
They are separate because a step multiplies a few rows with all the weights, so its time
is the time to read the weights. Here the weights are converted once into the layout
that a step reads: kernels are [outputs, inputs], query, key and value are one kernel,
all in the compute dtype. Hidden states are [D, M] with M = B R columns, so a product is
kernel @ states. On two CPU cores that is 1.4 times as fast as states @ kernel
(docs/generation.md); it has not been measured on a GPU or TPU.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.generation.prefill import PrefillCache
from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.trees import Params


@struct.dataclass
class LinearWeights:
    """A linear map with kernel dtype[N, D] and bias dtype[N]."""

    kernel: jax.Array
    bias: jax.Array | None

    def __call__(self, states: jax.Array, dtype: Any = None) -> jax.Array:
        """Returns kernel @ states + bias: [D, M] -> [N, M], in `dtype` if given."""
        out = jnp.einsum("ND,DM->NM", self.kernel, states, preferred_element_type=dtype)
        return out if self.bias is None else out + self.bias[:, None]


@struct.dataclass
class NormWeights:
    """A LayerNorm over D with scale and bias f32[D]."""

    scale: jax.Array
    bias: jax.Array
    epsilon: float = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """Normalises states [D, M] in f32 and returns their dtype."""
        wide = states.astype(jnp.float32)
        centred = wide - wide.mean(axis=0, keepdims=True)
        variance = jnp.square(centred).mean(axis=0, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.epsilon)
        normed = normed * self.scale[:, None] + self.bias[:, None]
        return normed.astype(states.dtype)


@struct.dataclass
class AttentionWeights:
    """The projections of one attention block and its LayerNorm.

    Attributes:
      inputs: D to 3 H K (query, key, value); in cross-attention D to H K (query).
      output: H K to D.
      norm: before the block with `pre_layer_norm`, after it otherwise.
    """

    inputs: LinearWeights
    output: LinearWeights
    norm: NormWeights


@struct.dataclass
class LayerWeights:
    """The weights of one decoder layer."""

    attention: AttentionWeights
    cross_attention: AttentionWeights | None
    intermediate: LinearWeights
    output: LinearWeights
    norm: NormWeights


@struct.dataclass
class DecoderWeights:
    """The weights of a decoder in the layout that `step` reads.

    Attributes:
      words: dtype[V, D]; positions: dtype[P, D].
      embedding_norm: BERT's LayerNorm before the first layer.
      layers: one for each of the L layers.
      final_norm: GPT-2's LayerNorm after the last layer.
      head_transform: BERT's linear map and LayerNorm between the last layer and `head`.
      head: D to V.
      config: architecture of the decoder.
    """

    words: jax.Array
    positions: jax.Array
    embedding_norm: NormWeights | None
    layers: tuple[LayerWeights, ...]
    final_norm: NormWeights | None
    head_transform: tuple[LinearWeights, NormWeights] | None
    head: LinearWeights
    config: BertGenerationConfig = struct.field(pytree_node=False)


@struct.dataclass
class KVCache:
    """Keys and values of the tokens that the steps have read.

    Unlike `models.cache.Cache` it holds the R rows of a source side by side and is
    written at a position of its own for each source; see `decoding.step_function`.

    Attributes:
      keys: L arrays dtype[B, H, K, C]; values: L arrays dtype[B, H, C, K].
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]

    @classmethod
    def zeros(
        cls, config: BertGenerationConfig, batch: int, capacity: int, dtype: Any
    ) -> "KVCache":
        """Returns an empty cache with C = `capacity` slots for each of B sources."""
        heads, width = config.num_attention_heads, config.head_dim
        layers = range(config.num_hidden_layers)
        # Separate buffers, so that callers can donate them.
        return cls(
            keys=tuple(
                jnp.zeros((batch, heads, width, capacity), dtype) for _ in layers
            ),
            values=tuple(
                jnp.zeros((batch, heads, capacity, width), dtype) for _ in layers
            ),
        )

    @property
    def capacity(self) -> int:
        """Slots C of each source."""
        return self.keys[0].shape[3]

    def extended(self, count: int) -> "KVCache":
        """Returns the cache with `count` more free slots at the end."""
        return KVCache(
            keys=tuple(
                jnp.pad(key, ((0, 0), (0, 0), (0, 0), (0, count))) for key in self.keys
            ),
            values=tuple(
                jnp.pad(value, ((0, 0), (0, 0), (0, count), (0, 0)))
                for value in self.values
            ),
        )


def convert_weights(
    params: Params, config: BertGenerationConfig, dtype: Any
) -> DecoderWeights:
    """Converts the parameters of a `BertGenerationDecoder` to the layout of `step`.

    Args:
      params: the decoder's parameters, nested dicts.
      config: the decoder's architecture.
      dtype: the compute dtype; LayerNorms stay f32.
    """
    width, trunk, head = config.hidden_size, params["bert"], params.get("lm_head", {})

    def norm(values: Params) -> NormWeights:
        return NormWeights(values["scale"], values["bias"], config.layer_norm_eps)

    def linear(*projections: Params, inputs: int = width) -> LinearWeights:
        kernels = [p["kernel"].reshape(inputs, -1).T for p in projections]
        biases = [p["bias"].reshape(-1) for p in projections]
        return LinearWeights(
            jnp.concatenate(kernels, axis=0).astype(dtype),
            jnp.concatenate(biases, axis=0).astype(dtype),
        )

    def attention(values: Params, *names: str) -> AttentionWeights:
        return AttentionWeights(
            inputs=linear(*(values[name] for name in names)),
            output=linear(values["output"]),
            norm=norm(values["LayerNorm"]),
        )

    def layer(values: Params) -> LayerWeights:
        cross_attention = None
        if config.add_cross_attention:
            cross_attention = attention(values["crossattention"], "query")
        return LayerWeights(
            attention=attention(values["attention"], "query", "key", "value"),
            cross_attention=cross_attention,
            intermediate=linear(values["intermediate"]),
            output=linear(values["output"], inputs=config.intermediate_size),
            norm=norm(values["LayerNorm"]),
        )

    embeddings = trunk["embeddings"]
    words = embeddings["word_embeddings"]["embedding"].astype(dtype)
    head_transform = None
    if "transform" in head:
        transform = head["transform"]
        head_transform = linear(transform), norm(transform["LayerNorm"])
    return DecoderWeights(
        words=words,
        positions=embeddings["position_embeddings"]["embedding"].astype(dtype),
        embedding_norm=None if config.pre_layer_norm else norm(embeddings["LayerNorm"]),
        layers=tuple(
            layer(trunk[f"layer_{i}"]) for i in range(config.num_hidden_layers)
        ),
        final_norm=norm(trunk["LayerNorm"]) if config.pre_layer_norm else None,
        head_transform=head_transform,
        head=LinearWeights(
            words if config.tie_word_embeddings else head["kernel"].T.astype(dtype),
            head["bias"] if config.lm_head_bias else None,  # added in f32
        ),
        config=config,
    )


def step(
    weights: DecoderWeights,
    prefill: PrefillCache,
    cache: KVCache,
    ids: jax.Array,
    positions: jax.Array,
    ancestors: jax.Array,
) -> tuple[jax.Array, KVCache]:
    """Reads one more token of each row: a step function of `decoding`.

    The forward pass of training is `models.layers.TransformerLayer`.

    Args:
      weights: the result of `convert_weights`.
      prefill: keys and values of the source and the prefix.
      cache: C = R * T' slots a source.
      ids: i32[B, R].
      positions: i32[B], the positions of `ids`, counted from the first step.
      ancestors: bool[B, R, C], the slots that each row sees, its own new one included.

    Returns:
      Logits f32[V, B, R] of the next tokens, and the cache with the new tokens.
    """
    config, (batch, rows) = weights.config, ids.shape
    mask = ancestors[:, None]  # [B, 1, R, C]
    table_positions = positions
    if prefill.prefix_mask is not None:
        table_positions = table_positions + prefill.prefix_mask.sum(axis=1)
        prefix = prefill.prefix_mask[:, None, None]
        prefix = jnp.broadcast_to(prefix, (batch, 1, rows, prefix.shape[-1]))
        mask = jnp.concatenate([prefix, mask], axis=3)
    source_mask = None
    if prefill.source_mask is not None:
        source_mask = prefill.source_mask[:, None, None]  # [B, 1, 1, S]

    hidden = jnp.take(weights.words, ids, axis=0)  # [B, R, D]
    # A source that has ended may stand one beyond the last position.
    hidden += jnp.take(weights.positions, table_positions, axis=0, mode="clip")[:, None]
    hidden = hidden.reshape(batch * rows, -1).T  # [B, R, D] -> [D, M]
    if weights.embedding_norm is not None:
        hidden = weights.embedding_norm(hidden)

    keys, values = [], []
    for i, (layer, past) in enumerate(zip(weights.layers, prefill.layers, strict=True)):
        block = layer.attention
        inputs = block.inputs(_norm_before(block.norm, hidden, config))
        query, key, value = _split_heads(inputs, 3, batch, rows, config)
        start = positions * rows
        keys.append(_write(cache.keys[i], key.swapaxes(2, 3), start, axis=2))
        values.append(_write(cache.values[i], value, start, axis=1))
        pairs = [(keys[-1], values[-1])]
        if past.prefix is not None:
            pairs = [past.prefix, *pairs]
        attended = block.output(_attend(query, pairs, mask))
        hidden = _add_and_norm(block.norm, hidden, attended, config)

        if layer.cross_attention is not None and past.source is not None:
            block = layer.cross_attention
            inputs = block.inputs(_norm_before(block.norm, hidden, config))
            (query,) = _split_heads(inputs, 1, batch, rows, config)
            attended = block.output(_attend(query, [past.source], source_mask))
            hidden = _add_and_norm(block.norm, hidden, attended, config)

        inner = layer.intermediate(_norm_before(layer.norm, hidden, config))
        inner = ACTIVATIONS[config.hidden_act](inner)
        hidden = _add_and_norm(layer.norm, hidden, layer.output(inner), config)

    if weights.final_norm is not None:
        hidden = weights.final_norm(hidden)
    if weights.head_transform is not None:
        transform, norm = weights.head_transform
        hidden = norm(ACTIVATIONS[config.hidden_act](transform(hidden)))
    # In f32, because sums of D products are exponentiated next.
    logits = weights.head(hidden, jnp.float32)  # [V, M]
    return logits.reshape(-1, batch, rows), KVCache(tuple(keys), tuple(values))


def _norm_before(
    norm: NormWeights, hidden: jax.Array, config: BertGenerationConfig
) -> jax.Array:
    """Returns the input of a sublayer, made from the residual [D, M]."""
    return norm(hidden) if config.pre_layer_norm else hidden


def _add_and_norm(
    norm: NormWeights,
    hidden: jax.Array,
    added: jax.Array,
    config: BertGenerationConfig,
) -> jax.Array:
    """Returns the residual [D, M] after a sublayer."""
    return hidden + added if config.pre_layer_norm else norm(hidden + added)


def _split_heads(
    states: jax.Array, count: int, batch: int, rows: int, config: BertGenerationConfig
) -> list[jax.Array]:
    """[n H K, M] -> n arrays [B, H, R, K]."""
    heads, width = config.num_attention_heads, config.head_dim
    states = states.reshape(count, heads, width, batch, rows)
    return [part.transpose(2, 0, 3, 1) for part in states]


def _write(cache: jax.Array, new: jax.Array, starts: jax.Array, axis: int) -> jax.Array:
    """Writes `new` into the slots of each source, from slot `starts` i32[B] on.

    `axis` is the axis of the slots in the arrays of one source.
    """

    def write_one(cache: jax.Array, new: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(cache, new, start, axis)

    return jax.vmap(write_one)(cache, new, starts)


def _attend(
    query: jax.Array, pairs: list[tuple[jax.Array, jax.Array]], mask: jax.Array | None
) -> jax.Array:
    """Attends to one or two sets of keys and values as if they were concatenated.

    Args:
      query: dtype[B, H, R, K].
      pairs: keys dtype[B, H, K, C] and values dtype[B, H, C, K].
      mask: bool, broadcastable to [B, H, R, sum of C]; None keeps all.

    Returns:
      dtype[H K, M].
    """
    batch, heads, rows, width = query.shape
    query = query * width**-0.5
    scores = [
        jnp.einsum("BHRK,BHKC->BHRC", query, key, preferred_element_type=jnp.float32)
        for key, _ in pairs
    ]
    scores = scores[0] if len(scores) == 1 else jnp.concatenate(scores, axis=3)
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1)
    if mask is not None:
        weights = jnp.where(mask, weights, 0.0)  # zeros for a row that sees nothing
    weights, context, first = weights.astype(query.dtype), [], 0
    for _, value in pairs:
        part = weights[..., first : first + value.shape[2]]
        context.append(jnp.einsum("BHRC,BHCK->BHRK", part, value))
        first += value.shape[2]
    context = context[0] if len(context) == 1 else context[0] + context[1]
    # [B, H, R, K] -> [H K, M]
    return context.transpose(1, 3, 0, 2).reshape(heads * width, batch * rows)
