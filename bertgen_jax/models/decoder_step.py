"""One token of every row through a decoder: the same numbers, arranged for speed.

`BertGenerationDecoder` computes whole sequences, and is what the tests compare this
with. One step is another task: a few rows meet all the weights, so it costs what it
takes to read them. Here the weights are laid out once as a step reads them, rows of
outputs, query, key and value as one product, cast to the compute dtype; and the states
are [D, M], M = B R columns, so that a product is kernel @ states. On two CPU cores that
is 1.4 times as fast as states @ kernel (docs/decoding.md).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.config import BertGenerationConfig


@struct.dataclass
class Linear:
    """A linear map: kernel dtype[N, D] @ states [D, M] + bias dtype[N]."""

    kernel: jax.Array
    bias: jax.Array | None

    def __call__(self, states: jax.Array, dtype: Any = None) -> jax.Array:
        """States [D, M] -> [N, M], as `dtype` if it is given."""
        out = jnp.einsum("ND,DM->NM", self.kernel, states, preferred_element_type=dtype)
        return out if self.bias is None else out + self.bias[:, None]


@struct.dataclass
class Norm:
    """LayerNorm over D; scale and bias f32[D]."""

    scale: jax.Array
    bias: jax.Array
    epsilon: float = struct.field(pytree_node=False)

    def __call__(self, states: jax.Array) -> jax.Array:
        """States [D, M] to normalised ones, computed in f32 and of the same dtype."""
        wide = states.astype(jnp.float32)
        centred = wide - wide.mean(axis=0, keepdims=True)
        variance = jnp.square(centred).mean(axis=0, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.epsilon)
        normed = normed * self.scale[:, None] + self.bias[:, None]
        return normed.astype(states.dtype)


@struct.dataclass
class Attention:
    """Projections of one attention: `inputs` has 3 H K outputs, or H K in `cross`."""

    inputs: Linear
    output: Linear
    norm: Norm


@struct.dataclass
class Layer:
    """The weights of one layer."""

    attention: Attention
    cross: Attention | None
    intermediate: Linear
    output: Linear
    norm: Norm


@struct.dataclass
class Weights:
    """The weights of a decoder as `step` reads them.

    Attributes:
      words: dtype[V, D]; positions: dtype[P, D].
      embedding_norm: BERT's, before the first layer; final_norm: GPT-2's, after the
        last.
      layers: L of them.
      transform, transform_norm: of a head that has one.
      head: D to V.
      config: of the decoder.
    """

    words: jax.Array
    positions: jax.Array
    embedding_norm: Norm | None
    layers: tuple[Layer, ...]
    final_norm: Norm | None
    transform: Linear | None
    transform_norm: Norm | None
    head: Linear
    config: BertGenerationConfig = struct.field(pytree_node=False)


@struct.dataclass
class LayerMemory:
    """Keys and values that one layer has of what was read before the first step.

    Attributes:
      key: dtype[B, H, K, P], value: dtype[B, H, P, K] of a prefix; None without.
      cross_key: dtype[B, H, K, S], cross_value: dtype[B, H, S, K] of a source; None in
        a decoder without cross-attention.
    """

    key: jax.Array | None
    value: jax.Array | None
    cross_key: jax.Array | None
    cross_value: jax.Array | None


@struct.dataclass
class Memory:
    """What a decoder has read of each source; steps do not change it.

    Attributes:
      layers: L of them.
      source_mask: bool[B, S], source positions to attend to; None without a source.
      prefix_mask: bool[B, P], of the decoder's own tokens; None without any.
    """

    layers: tuple[LayerMemory, ...]
    source_mask: jax.Array | None
    prefix_mask: jax.Array | None


@struct.dataclass
class Slots:
    """Keys and values of the tokens that steps have read.

    Attributes:
      keys: L arrays dtype[B, H, K, C]; values: L arrays dtype[B, H, C, K].
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]

    @classmethod
    def empty(
        cls, config: BertGenerationConfig, batch: int, count: int, dtype: Any
    ) -> "Slots":
        """C = `count` slots for each of `batch` sources."""
        heads, width = config.num_attention_heads, config.head_dim
        layers = range(config.num_hidden_layers)
        # Arrays of their own, for who donates them.
        return cls(
            keys=tuple(jnp.zeros((batch, heads, width, count), dtype) for _ in layers),
            values=tuple(
                jnp.zeros((batch, heads, count, width), dtype) for _ in layers
            ),
        )

    def extended(self, count: int) -> "Slots":
        """The same with `count` more free slots at the end."""
        return Slots(
            keys=tuple(
                jnp.pad(key, ((0, 0), (0, 0), (0, 0), (0, count))) for key in self.keys
            ),
            values=tuple(
                jnp.pad(value, ((0, 0), (0, 0), (0, count), (0, 0)))
                for value in self.values
            ),
        )


def prepare(params: Any, config: BertGenerationConfig, dtype: Any) -> Weights:
    """Lays out the parameters of a `BertGenerationDecoder`.

    Args:
      params: its parameters, nested dicts.
      config: its architecture.
      dtype: of the computation; LayerNorms stay f32.
    """
    width, trunk, head = config.hidden_size, params["bert"], params.get("lm_head", {})

    def norm(values: Any) -> Norm:
        return Norm(values["scale"], values["bias"], config.layer_norm_eps)

    def linear(*projections: Any, inputs: int = width) -> Linear:
        kernels = [p["kernel"].reshape(inputs, -1).T for p in projections]
        biases = [p["bias"].reshape(-1) for p in projections]
        return Linear(
            jnp.concatenate(kernels, axis=0).astype(dtype),
            jnp.concatenate(biases, axis=0).astype(dtype),
        )

    def attention(values: Any, *names: str) -> Attention:
        return Attention(
            inputs=linear(*(values[name] for name in names)),
            output=linear(values["output"]),
            norm=norm(values["LayerNorm"]),
        )

    def layer(values: Any) -> Layer:
        crosses = config.add_cross_attention
        return Layer(
            attention=attention(values["attention"], "query", "key", "value"),
            cross=attention(values["crossattention"], "query") if crosses else None,
            intermediate=linear(values["intermediate"]),
            output=linear(values["output"], inputs=config.intermediate_size),
            norm=norm(values["LayerNorm"]),
        )

    embeddings = trunk["embeddings"]
    words = embeddings["word_embeddings"]["embedding"].astype(dtype)
    transform = head.get("transform")
    return Weights(
        words=words,
        positions=embeddings["position_embeddings"]["embedding"].astype(dtype),
        embedding_norm=None if config.pre_layer_norm else norm(embeddings["LayerNorm"]),
        layers=tuple(
            layer(trunk[f"layer_{i}"]) for i in range(config.num_hidden_layers)
        ),
        final_norm=norm(trunk["LayerNorm"]) if config.pre_layer_norm else None,
        transform=None if transform is None else linear(transform),
        transform_norm=None if transform is None else norm(transform["LayerNorm"]),
        head=Linear(
            words if config.tie_word_embeddings else head["kernel"].T.astype(dtype),
            head["bias"] if config.lm_head_bias else None,  # added in f32
        ),
        config=config,
    )


def step(
    weights: Weights,
    memory: Memory,
    slots: Slots,
    ids: jax.Array,
    positions: jax.Array,
    ancestors: jax.Array,
) -> tuple[jax.Array, Slots]:
    """Reads one more token of each row; a step function of `decoding`.

    Args:
      weights: of `prepare`.
      memory: what was read of each source.
      slots: C = R * T' of them a source.
      ids: i32[B, R].
      positions: i32[B], of these among the tokens that steps read.
      ancestors: bool[B, R, C], the slots that each row sees, its own new one included.

    Returns:
      Logits f32[V, B, R] of the next tokens, and the slots with the new tokens in them.
    """
    config, (batch, rows) = weights.config, ids.shape
    sees = ancestors[:, None]  # [B, 1, R, C]
    places = positions
    if memory.prefix_mask is not None:
        places = places + memory.prefix_mask.sum(axis=1)
        prefix = memory.prefix_mask[:, None, None]
        prefix = jnp.broadcast_to(prefix, (batch, 1, rows, prefix.shape[-1]))
        sees = jnp.concatenate([prefix, sees], axis=3)
    source_mask = None
    if memory.source_mask is not None:
        source_mask = memory.source_mask[:, None, None]  # [B, 1, 1, S]

    hidden = jnp.take(weights.words, ids, axis=0)  # [B, R, D]
    # A source that has ended may stand one beyond the last position.
    hidden += jnp.take(weights.positions, places, axis=0, mode="clip")[:, None]
    hidden = hidden.reshape(batch * rows, -1).T  # [D, M]
    if weights.embedding_norm is not None:
        hidden = weights.embedding_norm(hidden)

    keys, values = [], []
    for i, (layer, past) in enumerate(zip(weights.layers, memory.layers, strict=True)):
        attention = layer.attention
        inputs = attention.inputs(_before(attention.norm, hidden, config))
        query, key, value = _heads(inputs, 3, batch, rows, config)
        keys.append(_write(slots.keys[i], key.swapaxes(2, 3), positions * rows, 2))
        values.append(_write(slots.values[i], value, positions * rows, 1))
        pairs = [(keys[-1], values[-1])]
        if past.key is not None:
            pairs = [(past.key, past.value), *pairs]
        attended = _attend(query, pairs, sees)
        hidden = _after(attention.norm, hidden, attention.output(attended), config)

        if layer.cross is not None and past.cross_key is not None:
            attention = layer.cross
            inputs = attention.inputs(_before(attention.norm, hidden, config))
            (query,) = _heads(inputs, 1, batch, rows, config)
            pairs = [(past.cross_key, past.cross_value)]
            attended = _attend(query, pairs, source_mask)
            hidden = _after(attention.norm, hidden, attention.output(attended), config)

        inner = layer.intermediate(_before(layer.norm, hidden, config))
        inner = ACTIVATIONS[config.hidden_act](inner)
        hidden = _after(layer.norm, hidden, layer.output(inner), config)

    if weights.final_norm is not None:
        hidden = weights.final_norm(hidden)
    if weights.transform is not None:
        hidden = ACTIVATIONS[config.hidden_act](weights.transform(hidden))
        hidden = weights.transform_norm(hidden)
    logits = weights.head(hidden, jnp.float32)  # [V, M]; sums of D products, then exp
    return logits.reshape(-1, batch, rows), Slots(tuple(keys), tuple(values))


def _before(norm: Norm, hidden: jax.Array, config: BertGenerationConfig) -> jax.Array:
    """What a sublayer reads of the residual [D, M]; see `layers.TransformerLayer`."""
    return norm(hidden) if config.pre_layer_norm else hidden


def _after(
    norm: Norm, hidden: jax.Array, added: jax.Array, config: BertGenerationConfig
) -> jax.Array:
    """The residual [D, M] after a sublayer."""
    return hidden + added if config.pre_layer_norm else norm(hidden + added)


def _heads(
    states: jax.Array, count: int, batch: int, rows: int, config: BertGenerationConfig
) -> list[jax.Array]:
    """[n H K, M] -> n arrays [B, H, R, K]."""
    heads, width = config.num_attention_heads, config.head_dim
    states = states.reshape(count, heads, width, batch, rows)
    return [part.transpose(2, 0, 3, 1) for part in states]


def _write(slots: jax.Array, new: jax.Array, starts: jax.Array, axis: int) -> jax.Array:
    """Puts `new` into each source's slots, from i32[B] `starts` on along `axis`."""

    def put(slots: jax.Array, new: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(slots, new, start, axis)

    return jax.vmap(put)(slots, new, starts)


def _attend(
    query: jax.Array, pairs: list[tuple[jax.Array, jax.Array]], mask: jax.Array | None
) -> jax.Array:
    """Attends to one or two sets of keys and values as if they were one.

    Args:
      query: dtype[B, H, R, K].
      pairs: keys dtype[B, H, K, C] and values dtype[B, H, C, K].
      mask: bool, broadcastable to [B, H, R, all C], or None.

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
        weights = jnp.where(mask, weights, 0.0)  # a row that sees nothing gives zeros
    weights, context, first = weights.astype(query.dtype), 0.0, 0
    for _, value in pairs:
        part = weights[..., first : first + value.shape[2]]
        context += jnp.einsum("BHRC,BHCK->BHRK", part, value)
        first += value.shape[2]
    return context.transpose(1, 3, 0, 2).reshape(heads * width, batch * rows)
