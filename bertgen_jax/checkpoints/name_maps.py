"""Name maps: which foreign tensor is which of our parameters, and how it is laid out.

A map is data: a list of `Weight`s, one a foreign tensor. Loading and saving read the
same list in opposite directions, so that they cannot disagree.
"""

import dataclasses
import math

import numpy as np

from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig


@dataclasses.dataclass(frozen=True)
class Weight:
    """One foreign tensor and the parameter of ours that it is.

    Several tensors may be one parameter: then any of them will do, and they are equal.

    Attributes:
      path: the parameter's place in `params`, such as "layer_0/intermediate/kernel"; ""
        for a tensor of zeros that the peer has and we do without.
      shape: its shape there.
      name: the foreign tensor's name.
      inputs: for a linear map, how many of its leading axes are inputs. Foreign linear
        weights are [outputs, inputs]; ours are [*inputs, *outputs]. 0: no linear map.
      written: False for one that repeats another, which the peer does not write.
      orphan: the peer wants it, but does not compute with it where its like is present;
        only then may the two differ.
    """

    path: str
    shape: tuple[int, ...]
    name: str
    inputs: int = 0
    written: bool = True
    orphan: bool = False

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape of the foreign tensor."""
        if self.inputs:
            outputs, inputs = self.shape[self.inputs :], self.shape[: self.inputs]
            return (math.prod(outputs), math.prod(inputs))
        if self.path.endswith("/embedding"):
            return self.shape
        return (math.prod(self.shape),)

    def from_foreign(self, tensor: np.ndarray) -> np.ndarray:
        """Foreign layout to ours; a view where possible."""
        return (tensor.T if self.inputs else tensor).reshape(self.shape)

    def to_foreign(self, parameter: np.ndarray) -> np.ndarray:
        """Our layout to the foreign one, C-contiguous as safetensors needs it."""
        if self.inputs:
            parameter = parameter.reshape(self.foreign_shape[::-1]).T
        return np.ascontiguousarray(parameter.reshape(self.foreign_shape))

    def within(self, path: str, name: str) -> "Weight":
        """The same weight below a path of ours and a foreign name prefix."""
        return dataclasses.replace(
            self,
            path=f"{path}/{self.path}" if self.path else "",
            name=f"{name}{self.name}",
        )


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
    stack = bert_generation_stack(config, config.add_cross_attention)
    weights = [weight.within("bert", "bert.") for weight in stack]
    width, vocabulary = config.hidden_size, config.vocab_size
    tied = config.tie_word_embeddings
    kernel, bias = "lm_head.decoder.weight", "lm_head/bias"
    if tied:
        table = next(w for w in weights if w.path.endswith("word_embeddings/embedding"))
        weights.append(dataclasses.replace(table, name=kernel, written=False))
    else:
        weights.append(Weight("lm_head/kernel", (width, vocabulary), kernel, inputs=1))
    # One bias under two names. Untied, version 5 of the peer adds `lm_head.decoder`'s
    # and leaves the other an orphan; version 4 writes only the other.
    path = bias if config.lm_head_bias else ""
    return [
        *weights,
        Weight(path, (vocabulary,), "lm_head.bias", orphan=not tied),
        Weight(path, (vocabulary,), "lm_head.decoder.bias", written=not tied),
    ]


def encoder_decoder(config: EncoderDecoderConfig) -> list[Weight]:
    """The peer's `EncoderDecoderModel`.

    What is shared here is listed twice: one path, two names. The peer's version 5
    ignores its sharing flag, so it needs both tensors; version 4 writes the decoder's.
    """
    encoder = bert_generation_stack(config.encoder, cross_attention=False)
    weights = []
    for weight in encoder:
        shared = config.share_encoder_decoder or (
            config.share_embeddings and weight.path.startswith("embeddings/")
        )
        path = "decoder/bert" if shared else "encoder"
        weights.append(weight.within(path, "encoder."))
    decoder = bert_generation_decoder(config.decoder)
    weights += [weight.within("decoder", "decoder.") for weight in decoder]
    inputs, outputs = config.encoder.hidden_size, config.decoder.hidden_size
    if inputs != outputs:
        bridge = "enc_to_dec_proj"
        weights += _linear(bridge, bridge, (inputs,), (outputs,))
    return weights


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
