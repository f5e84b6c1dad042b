"""Name maps: which foreign tensor is which of our parameters, and how it is laid out.

A map is data: a list of `Weight`s, one a parameter. Loading and saving read the same list
in opposite directions, so that they cannot disagree.
"""

import dataclasses
import math

import numpy as np

from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig


@dataclasses.dataclass(frozen=True)
class Weight:
    """One parameter and its foreign counterpart.

    Attributes:
      path: its place in `params`, such as ("layer_0", "intermediate", "kernel").
      shape: its shape there.
      name: the foreign tensor's name.
      inputs: for a linear map, how many of its leading axes are inputs. Foreign linear
        weights are [outputs, inputs]; ours are [*inputs, *outputs]. 0: no transposition.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    name: str
    inputs: int = 0

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape of the foreign tensor."""
        if self.inputs:
            outputs, inputs = self.shape[self.inputs :], self.shape[: self.inputs]
            return (math.prod(outputs), math.prod(inputs))
        return self.shape if self.path[-1] == "embedding" else (math.prod(self.shape),)

    def from_foreign(self, tensor: np.ndarray) -> np.ndarray:
        """Foreign layout to ours; a view where possible."""
        return (tensor.T if self.inputs else tensor).reshape(self.shape)

    def to_foreign(self, parameter: np.ndarray) -> np.ndarray:
        """Our layout to the foreign one, C-contiguous as safetensors needs it."""
        if self.inputs:
            parameter = parameter.reshape(self.foreign_shape[::-1]).T
        return np.ascontiguousarray(parameter.reshape(self.foreign_shape))

    def within(self, path: tuple[str, ...], name: str) -> "Weight":
        """The same weight below a path of ours and a foreign name prefix."""
        return dataclasses.replace(
            self, path=(*path, *self.path), name=f"{name}{self.name}"
        )


def bert_generation_stack(
    config: BertGenerationConfig, cross_attention: bool
) -> list[Weight]:
    """The peer's `BertGenerationEncoder`, with or without cross-attention."""
    width, vocabulary = config.hidden_size, config.vocab_size
    positions = config.max_position_embeddings
    weights = [
        Weight(
            ("embeddings", "word_embeddings", "embedding"),
            (vocabulary, width),
            "embeddings.word_embeddings.weight",
        ),
        Weight(
            ("embeddings", "position_embeddings", "embedding"),
            (positions, width),
            "embeddings.position_embeddings.weight",
        ),
        *_layer_norm(("embeddings",), "embeddings.", width),
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_attention("attention", config),
            *(_attention("crossattention", config) if cross_attention else []),
            *_linear("intermediate", "intermediate.dense", (width,), (_inner(config),)),
            *_linear("output", "output.dense", (_inner(config),), (width,)),
            *_layer_norm((), "output.", width),
        ]
        weights += [w.within((f"layer_{i}",), f"encoder.layer.{i}.") for w in layer]
    return weights


def bert_generation_decoder(config: BertGenerationConfig) -> list[Weight]:
    """The peer's `BertGenerationDecoder`: trunk and head, tied tensors once."""
    stack = bert_generation_stack(config, config.add_cross_attention)
    weights = [weight.within(("bert",), "bert.") for weight in stack]
    width, vocabulary = config.hidden_size, config.vocab_size
    head, biases = "lm_head.decoder", ["lm_head.bias"]
    if not config.tie_word_embeddings:
        kernel = ("lm_head", "kernel")
        weights.append(Weight(kernel, (width, vocabulary), f"{head}.weight", inputs=1))
        # Untied, the peer adds this one and leaves `lm_head.bias` an orphan: the first
        # name of a path is the one that is loaded.
        biases = [f"{head}.bias", *biases]
    if config.lm_head_bias:
        path = ("lm_head", "bias")
        weights += [Weight(path, (vocabulary,), name) for name in biases]
    return weights


def encoder_decoder(config: EncoderDecoderConfig) -> list[Weight]:
    """The peer's `EncoderDecoderModel`.

    What is shared here is listed twice: one path, two names. The peer's version 5 ignores
    its sharing flag, so it needs both tensors.
    """
    encoder = bert_generation_stack(config.encoder, cross_attention=False)
    weights = []
    for weight in encoder:
        shared = config.share_encoder_decoder or (
            config.share_embeddings and weight.path[0] == "embeddings"
        )
        path = ("decoder", "bert") if shared else ("encoder",)
        weights.append(weight.within(path, "encoder."))
    decoder = bert_generation_decoder(config.decoder)
    weights += [weight.within(("decoder",), "decoder.") for weight in decoder]
    inputs, outputs = config.encoder.hidden_size, config.decoder.hidden_size
    if inputs != outputs:
        bridge = "enc_to_dec_proj"
        weights += [
            Weight((bridge, "kernel"), (inputs, outputs), f"{bridge}.weight", inputs=1),
            Weight((bridge, "bias"), (outputs,), f"{bridge}.bias"),
        ]
    return weights


def _inner(config: BertGenerationConfig) -> int:
    return config.intermediate_size


def _linear(
    path: str, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    keys = tuple(path.split("/"))
    return [
        Weight((*keys, "kernel"), inputs + outputs, f"{name}.weight", len(inputs)),
        Weight((*keys, "bias"), outputs, f"{name}.bias"),
    ]


def _layer_norm(path: tuple[str, ...], name: str, width: int) -> list[Weight]:
    return [
        Weight((*path, "LayerNorm", "scale"), (width,), f"{name}LayerNorm.weight"),
        Weight((*path, "LayerNorm", "bias"), (width,), f"{name}LayerNorm.bias"),
    ]


def _attention(kind: str, config: BertGenerationConfig) -> list[Weight]:
    width, inner = config.hidden_size, (config.num_attention_heads, config.head_dim)
    weights = []
    for projection in ("query", "key", "value"):
        path, name = f"{kind}/{projection}", f"{kind}.self.{projection}"
        weights += _linear(path, name, (width,), inner)
    weights += _linear(f"{kind}/output", f"{kind}.output.dense", inner, (width,))
    weights += _layer_norm((kind,), f"{kind}.output.", width)
    return weights
