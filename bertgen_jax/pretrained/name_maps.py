"""Name maps: which foreign tensor is which of our parameters, and how it is laid out.

A map is data: a list of `Weight`s, one a foreign tensor. Loading and saving read the
same list in opposite directions, so that they cannot disagree.
"""

import dataclasses
import enum
import math
from collections.abc import Iterable, Sequence

import numpy as np

from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig


class Layout(enum.Enum):
    """How a file lays out a linear map from `in` to `out` values."""

    OUTPUTS_FIRST = "[out, in]"  # torch's Linear
    INPUTS_FIRST = "[in, out]"  # TensorFlow's kernels, and Conv1D of torch's GPT-2
    CONVOLUTION = "[1, in, out]"  # of openai/gpt-2, one position wide
    OURS = "heads apart"  # [D, H, K] and [H, K, D], as TensorFlow 2's BERT


@dataclasses.dataclass(frozen=True)
class Weight:
    """One foreign tensor, or a part of one, and the parameter of ours that it is.

    Several tensors may be one parameter: then any of them will do, and they are equal.

    Attributes:
      path: the parameter's place in `params`, such as "layer_0/intermediate/kernel"; ""
        for a tensor of zeros that the peer has and we do without.
      shape: its shape there.
      name: the foreign tensor's name.
      inputs: for a linear map, how many of its leading axes are inputs; 0: none.
      layout: how the file lays out linear maps; ours are [*inputs, *outputs].
      part: where the tensor holds several parameters side by side along its outputs,
        which of them this is, and how many there are.
      written: False for one that repeats another, which the peer does not write.
      orphan: the peer wants it, but does not compute with it where its like is present;
        only then may the two differ.
    """

    path: str
    shape: tuple[int, ...]
    name: str
    inputs: int = 0
    layout: Layout = Layout.OUTPUTS_FIRST
    part: tuple[int, int] = (0, 1)
    written: bool = True
    orphan: bool = False

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape of the whole foreign tensor."""
        if self._as_it_is:
            return self.shape
        outputs = math.prod(self.shape[self.inputs :]) * self.part[1]
        if not self.inputs:
            return (outputs,)
        inputs = math.prod(self.shape[: self.inputs])
        if self.layout is Layout.OUTPUTS_FIRST:
            return (outputs, inputs)
        return (
            (inputs, outputs)
            if self.layout is Layout.INPUTS_FIRST
            else (
                1,
                inputs,
                outputs,
            )
        )

    @property
    def source(self) -> str:
        """The tensor's name, and which part of it: "c_attn.weight[1/3]"."""
        part, parts = self.part
        return self.name if parts == 1 else f"{self.name}[{part + 1}/{parts}]"

    def from_foreign(self, tensor: np.ndarray) -> np.ndarray:
        """Foreign layout to ours, without a copy."""
        if self._as_it_is:
            return tensor
        part, parts = self.part
        tensor = self._turned(tensor)
        width = tensor.shape[-1] // parts
        return tensor[..., part * width : (part + 1) * width].reshape(self.shape)

    def _turned(self, tensor: np.ndarray) -> np.ndarray:
        """A foreign tensor with its outputs on the last axis, or the way back."""
        if self.inputs and self.layout is Layout.OUTPUTS_FIRST:
            return tensor.T
        return tensor

    @property
    def _as_it_is(self) -> bool:
        return self.layout is Layout.OURS or self.path.endswith("/embedding")

    def within(self, path: str, name: str) -> "Weight":
        """The same weight below a path of ours and a foreign name prefix."""
        return dataclasses.replace(
            self,
            path=f"{path}/{self.path}" if self.path else "",
            name=f"{name}{self.name}",
        )


def by_name(weights: Iterable[Weight]) -> dict[str, list[Weight]]:
    """The weights of each foreign tensor, in the order of their parts."""
    named: dict[str, list[Weight]] = {}
    for weight in weights:
        named.setdefault(weight.name, []).append(weight)
    return {
        name: sorted(parts, key=lambda weight: weight.part)
        for name, parts in named.items()
    }


def to_foreign(
    weights: Sequence[Weight], parameters: Sequence[np.ndarray]
) -> np.ndarray:
    """Parameters to the foreign tensor that they are the parts of, in its layout.

    Args:
      weights: of one name, in the order of their parts.
      parameters: in our layout.

    Returns:
      A C-contiguous array, as a file holds it.
    """
    first = weights[0]
    if len(weights) != first.part[1]:
        raise ValueError(f"{first.name}: {len(weights)} of {first.part[1]} parts")
    if first._as_it_is:
        return np.ascontiguousarray(parameters[0])
    outputs_last = (
        (math.prod(first.shape[: first.inputs]), -1) if first.inputs else (-1,)
    )
    parts = [parameter.reshape(outputs_last) for parameter in parameters]
    tensor = first._turned(parts[0] if len(parts) == 1 else np.concatenate(parts, -1))
    return np.ascontiguousarray(tensor).reshape(first.foreign_shape)


def bert_generation_stack(
    config: BertGenerationConfig, cross_attention: bool
) -> list[Weight]:
    """The peer's `BertGenerationEncoder`, with or without cross-attention."""
    width, inner = config.hidden_size, config.intermediate_size
    weights = [
        _embedding("word_embeddings", config.vocab_size, width),
        _embedding("position_embeddings", config.max_position_embeddings, width),
        *_layer_norm("embeddings/", "embeddings.", width),
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_attention("attention", config),
            *(_attention("crossattention", config) if cross_attention else []),
            *_linear("intermediate", "intermediate.dense", (width,), (inner,)),
            *_linear("output", "output.dense", (inner,), (width,)),
            *_layer_norm("", "output.", width),
        ]
        weights += [w.within(f"layer_{i}", f"encoder.layer.{i}.") for w in layer]
    return weights


def bert_generation_decoder(config: BertGenerationConfig) -> list[Weight]:
    """The peer's `BertGenerationDecoder`: trunk and head."""
    return [*_trunk(config), *_softmax(config, "lm_head")]


def bert_decoder(config: BertGenerationConfig) -> list[Weight]:
    """The peer's `BertLMHeadModel`: a trunk with segments, and a masked-LM head.

    Args:
      config: of a `BertGenerationDecoder` with `lm_head_transform`.
    """
    width = (config.hidden_size,)
    head, transform = "cls.predictions", "lm_head/transform"
    # A table of two rows, as the peer has by default; those of ours are all in one.
    segments = Weight("", (2, *width), "bert.embeddings.token_type_embeddings.weight")
    return [
        *_trunk(config),
        dataclasses.replace(segments, layout=Layout.OURS),
        *_linear(transform, f"{head}.transform.dense", width, width),
        *_layer_norm(f"{transform}/", f"{head}.transform.", config.hidden_size),
        *_softmax(config, head),
    ]


def encoder_decoder(
    config: EncoderDecoderConfig, decoder: list[Weight] | None = None
) -> list[Weight]:
    """The peer's `EncoderDecoderModel`, with a map of its decoder or BertGeneration's.

    What is shared here is listed twice: one path, two names. The peer's version 5
    ignores its sharing flag, so it needs both tensors; version 4 writes the decoder's.
    """
    encoder = bert_generation_stack(config.encoder, cross_attention=False)
    weights = []
    for weight in encoder:
        path = "decoder/bert" if config.shares(weight.path) else "encoder"
        weights.append(weight.within(path, "encoder."))
    if decoder is None:
        decoder = bert_generation_decoder(config.decoder)
    weights += [weight.within("decoder", "decoder.") for weight in decoder]
    inputs, outputs = config.encoder.hidden_size, config.decoder.hidden_size
    if inputs != outputs:
        bridge = "enc_to_dec_proj"
        weights += _linear(bridge, bridge, (inputs,), (outputs,))
    return weights


def _trunk(config: BertGenerationConfig) -> list[Weight]:
    stack = bert_generation_stack(config, config.add_cross_attention)
    return [weight.within("bert", "bert.") for weight in stack]


def _softmax(config: BertGenerationConfig, name: str) -> list[Weight]:
    """The linear map to logits: the word table, or one of its own; and its bias."""
    width, vocabulary = config.hidden_size, config.vocab_size
    tied = config.tie_word_embeddings
    kernel = Weight("lm_head/kernel", (width, vocabulary), "", inputs=1)
    if tied:
        words = _embedding("word_embeddings", vocabulary, width)
        kernel = dataclasses.replace(words.within("bert", ""), written=False)
    # One bias under two names. Untied, version 5 of the peer adds that of `decoder` and
    # leaves the other an orphan; version 4 writes only the other.
    path = "lm_head/bias" if config.lm_head_bias else ""
    return [
        dataclasses.replace(kernel, name=f"{name}.decoder.weight"),
        Weight(path, (vocabulary,), f"{name}.bias", orphan=not tied),
        Weight(path, (vocabulary,), f"{name}.decoder.bias", written=not tied),
    ]


def _embedding(kind: str, rows: int, width: int) -> Weight:
    path, name = f"embeddings/{kind}/embedding", f"embeddings.{kind}.weight"
    return Weight(path, (rows, width), name)


def _linear(
    path: str, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    return [
        Weight(f"{path}/kernel", inputs + outputs, f"{name}.weight", len(inputs)),
        Weight(f"{path}/bias", outputs, f"{name}.bias"),
    ]


def _layer_norm(path: str, name: str, width: int) -> list[Weight]:
    return [
        Weight(f"{path}LayerNorm/scale", (width,), f"{name}LayerNorm.weight"),
        Weight(f"{path}LayerNorm/bias", (width,), f"{name}LayerNorm.bias"),
    ]


def _attention(kind: str, config: BertGenerationConfig) -> list[Weight]:
    width, inner = config.hidden_size, (config.num_attention_heads, config.head_dim)
    weights = []
    for projection in ("query", "key", "value"):
        path, name = f"{kind}/{projection}", f"{kind}.self.{projection}"
        weights += _linear(path, name, (width,), inner)
    weights += _linear(f"{kind}/output", f"{kind}.output.dense", inner, (width,))
    weights += _layer_norm(f"{kind}/", f"{kind}.output.", width)
    return weights
