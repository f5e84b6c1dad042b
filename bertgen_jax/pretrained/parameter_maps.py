"""Maps the tensors of published models to the parameters of our models.

A parameter map is data: a list of `Weight`s, one for each tensor or part of a tensor.
Loading and saving read the same list in opposite directions, so they cannot disagree.
The maps here have Hugging Face's names; `key_maps` translates the names of other files
to them.
"""

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import (
    Config,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.stack_config import (
    POSITION_TABLE,
    WORD_TABLE,
    BertGenerationConfig,
)


class LinearLayout(enum.Enum):
    """The axes in which a file stores a linear map from `in` to `out` values."""

    OUTPUTS_FIRST = "[out, in]"  # torch's Linear
    INPUTS_FIRST = "[in, out]"  # TensorFlow's kernels, and Conv1D of Hugging Face GPT-2
    CONVOLUTION = "[1, in, out]"  # openai/gpt-2: a convolution of width 1
    OURS = "separate heads"  # [D, H, K] and [H, K, D], also in TensorFlow 2's BERT


@dataclasses.dataclass(frozen=True)
class Weight:
    """Pairs a foreign tensor, or a part of one, with the parameter that it holds.

    "Foreign" means: in a published file, as opposed to our `params`. Several tensors
    may hold the same parameter; then they are equal, and any of them gives its values.

    Attributes:
      path: the path of the parameter, such as "layer_0/intermediate/kernel"; "" for a
        tensor of zeros that Hugging Face stores and our model does not have.
      shape: the shape of the parameter.
      name: the name of the foreign tensor.
      inputs: how many leading axes of the parameter are inputs of a linear map; 0 if it
        is not a linear map.
      layout: how the file stores linear maps; our parameters are [*inputs, *outputs].
      part: (index, count) if the tensor holds several parameters side by side along its
        outputs.
      written: False for a tensor that repeats another one and that Hugging Face does
        not write.
      orphan: Hugging Face stores this tensor but ignores it when its tied twin is
        present. Only then may the two differ.
    """

    path: str
    shape: tuple[int, ...]
    name: str
    inputs: int = 0
    layout: LinearLayout = LinearLayout.OUTPUTS_FIRST
    part: tuple[int, int] = (0, 1)
    written: bool = True
    orphan: bool = False

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape of the whole foreign tensor."""
        if self.is_unchanged:
            return self.shape
        outputs = math.prod(self.shape[self.inputs :]) * self.part[1]
        if not self.inputs:
            return (outputs,)
        inputs = math.prod(self.shape[: self.inputs])
        if self.layout is LinearLayout.OUTPUTS_FIRST:
            return (outputs, inputs)
        if self.layout is LinearLayout.INPUTS_FIRST:
            return (inputs, outputs)
        return (1, inputs, outputs)

    @property
    def label(self) -> str:
        """The name of the tensor, and which part of it: "c_attn.weight[1/3]"."""
        index, count = self.part
        return self.name if count == 1 else f"{self.name}[{index + 1}/{count}]"

    @property
    def is_unchanged(self) -> bool:
        """Whether the foreign tensor has the axes of the parameter."""
        return self.layout is LinearLayout.OURS or self.path.endswith("/embedding")

    def from_foreign(self, tensor: np.ndarray) -> np.ndarray:
        """Returns the parameter as a view of the foreign tensor."""
        if self.is_unchanged:
            return tensor
        index, count = self.part
        tensor = self.swap_axes(tensor)
        width = tensor.shape[-1] // count
        return tensor[..., index * width : (index + 1) * width].reshape(self.shape)

    def swap_axes(self, tensor: np.ndarray) -> np.ndarray:
        """Moves the outputs of a foreign linear map to the last axis, or back."""
        if self.inputs and self.layout is LinearLayout.OUTPUTS_FIRST:
            return tensor.T
        return tensor

    def within(self, path: str, name: str) -> "Weight":
        """Returns the weight below a parameter path and a prefix of foreign names."""
        return dataclasses.replace(
            self,
            path=f"{path}/{self.path}" if self.path else "",
            name=f"{name}{self.name}",
        )


def by_name(weights: Iterable[Weight]) -> dict[str, list[Weight]]:
    """Groups weights by foreign tensor; the parts of a tensor are in order."""
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
    """Makes a foreign tensor of the parameters that are its parts.

    Args:
      weights: all weights of one name, in the order of their parts.
      parameters: the values of each, in our layout.

    Returns:
      A C-contiguous array, as a file stores it.
    """
    first = weights[0]
    if len(weights) != first.part[1]:
        raise ValueError(f"{first.name}: {len(weights)} of {first.part[1]} parts")
    if first.is_unchanged:
        return np.ascontiguousarray(parameters[0])
    # Two axes of a linear map, one axis of any other parameter.
    axes = (math.prod(first.shape[: first.inputs]), -1) if first.inputs else (-1,)
    parts = [parameter.reshape(axes) for parameter in parameters]
    tensor = first.swap_axes(parts[0] if len(parts) == 1 else np.concatenate(parts, -1))
    return np.ascontiguousarray(tensor).reshape(first.foreign_shape)


def check_params(
    shapes: Mapping[str, tuple[int, ...]], params: Mapping[str, Any]
) -> None:
    """Checks that a model's params have the expected paths and shapes.

    Raises:
      ConfigError: they differ; the message lists the differences.
    """
    param_shapes = {path: array.shape for path, array in trees.named(params).items()}
    expected, actual = (
        {path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in paths.items()}
        for paths in (shapes, param_shapes)
    )
    differences = trees.differences(expected, actual)
    if differences:
        raise ConfigError(
            "the params do not fit the model's config (- expected, + found):\n"
            f"{differences}"
        )


def weights_of(config: Config) -> list[Weight]:
    """Returns the parameter map of a model, with the names of Hugging Face's class.

    Raises:
      ConfigError: Hugging Face has no such class.
    """
    if isinstance(config, EncoderDecoderConfig):
        weights_of(config.encoder)  # raises if Hugging Face has no such encoder
        return encoder_decoder(config, weights_of(config.decoder))
    if isinstance(config, PrefixLanguageModelConfig):
        return [weight.within("decoder", "") for weight in weights_of(config.decoder)]
    if config.model_type == "gpt2":
        return gpt2(config)
    if config.model_type == "bert":
        return bert_decoder(config)
    if config.is_decoder:
        return bert_generation_decoder(config)
    return bert_generation_stack(config, cross_attention=False)


# BERT, RoBERTa and BertGeneration.


def bert_generation_stack(
    config: BertGenerationConfig, cross_attention: bool
) -> list[Weight]:
    """Returns the map of `BertGenerationEncoder`, with or without cross-attention."""
    width, inner = config.hidden_size, config.intermediate_size
    weights = [
        _embedding("word_embeddings", config.vocab_size, width),
        _embedding("position_embeddings", config.max_position_embeddings, width),
        *_layer_norm("embeddings/LayerNorm", "embeddings.LayerNorm", width),
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_attention("attention", config),
            *(_attention("crossattention", config) if cross_attention else []),
            *_linear("intermediate", "intermediate.dense", (width,), (inner,)),
            *_linear("output", "output.dense", (inner,), (width,)),
            *_layer_norm("LayerNorm", "output.LayerNorm", width),
        ]
        weights += [w.within(f"layer_{i}", f"encoder.layer.{i}.") for w in layer]
    return weights


def bert_generation_decoder(config: BertGenerationConfig) -> list[Weight]:
    """Returns the map of `BertGenerationDecoder`: a stack and its head."""
    return [*_decoder_stack(config), *_softmax(config, "lm_head")]


def bert_decoder(config: BertGenerationConfig) -> list[Weight]:
    """Returns the map of `BertLMHeadModel`: a stack with segments, a masked-LM head.

    Args:
      config: an architecture with `is_decoder` and `lm_head_transform`.
    """
    width = (config.hidden_size,)
    head, transform = "cls.predictions", "lm_head/transform"
    # Two rows, Hugging Face's default. Zeros: our tokens are all in one segment.
    segments = Weight("", (2, *width), "bert.embeddings.token_type_embeddings.weight")
    return [
        *_decoder_stack(config),
        dataclasses.replace(segments, layout=LinearLayout.OURS),
        *_linear(transform, f"{head}.transform.dense", width, width),
        *_layer_norm(
            f"{transform}/LayerNorm", f"{head}.transform.LayerNorm", config.hidden_size
        ),
        *_softmax(config, head),
    ]


def encoder_decoder(
    config: EncoderDecoderConfig, decoder: list[Weight] | None = None
) -> list[Weight]:
    """Returns the map of `EncoderDecoderModel`.

    A shared parameter is listed twice: one path, two names. Version 5 of Hugging Face
    ignores its sharing flag and needs both tensors; version 4 writes the decoder's.

    Args:
      config: the architecture of the pair.
      decoder: the map of the decoder; by default, `bert_generation_decoder`.
    """
    weights = []
    for weight in bert_generation_stack(config.encoder, cross_attention=False):
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


def _decoder_stack(config: BertGenerationConfig) -> list[Weight]:
    stack = bert_generation_stack(config, config.add_cross_attention)
    return [weight.within("bert", "bert.") for weight in stack]


def _softmax(config: BertGenerationConfig, name: str) -> list[Weight]:
    """Returns the linear map to logits, tied to the word table or not, and its bias."""
    width, vocabulary = config.hidden_size, config.vocab_size
    is_tied = config.tie_word_embeddings
    kernel = Weight("lm_head/kernel", (width, vocabulary), "", inputs=1)
    if is_tied:
        words = _embedding("word_embeddings", vocabulary, width)
        kernel = dataclasses.replace(words.within("bert", ""), written=False)
    # One bias under two names. If untied, version 5 of Hugging Face adds the one of
    # `decoder` and ignores the other; version 4 writes only the other.
    path = "lm_head/bias" if config.lm_head_bias else ""
    return [
        dataclasses.replace(kernel, name=f"{name}.decoder.weight"),
        Weight(path, (vocabulary,), f"{name}.bias", orphan=not is_tied),
        Weight(path, (vocabulary,), f"{name}.decoder.bias", written=not is_tied),
    ]


def _embedding(kind: str, rows: int, width: int) -> Weight:
    path, name = f"embeddings/{kind}/embedding", f"embeddings.{kind}.weight"
    return Weight(path, (rows, width), name)


def _attention(kind: str, config: BertGenerationConfig) -> list[Weight]:
    width, heads = (config.hidden_size,), (config.num_attention_heads, config.head_dim)
    weights = []
    for projection in ("query", "key", "value"):
        path, name = f"{kind}/{projection}", f"{kind}.self.{projection}"
        weights += _linear(path, name, width, heads)
    weights += _linear(f"{kind}/output", f"{kind}.output.dense", heads, width)
    name = f"{kind}.output.LayerNorm"
    return weights + _layer_norm(f"{kind}/LayerNorm", name, config.hidden_size)


# GPT-2. Its attention projects to queries, keys and values by one fused linear map, and
# all linear maps of its layers are [in, out] (openai/gpt-2, src/model.py).


def gpt2(config: BertGenerationConfig) -> list[Weight]:
    """Returns the map of `GPT2LMHeadModel`, with or without cross-attention.

    Args:
      config: an architecture with `is_decoder`, `pre_layer_norm` and no output bias.
    """
    width, inner = config.hidden_size, config.intermediate_size
    positions = config.max_position_embeddings
    weights = [
        Weight(WORD_TABLE, (config.vocab_size, width), "wte.weight"),
        Weight(POSITION_TABLE, (positions, width), "wpe.weight"),
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_layer_norm("attention/LayerNorm", "ln_1", width),
            *_gpt2_attention(config),
            *(_gpt2_cross_attention(config) if config.add_cross_attention else []),
            *_layer_norm("LayerNorm", "ln_2", width),
            *_fused(["intermediate"], "mlp.c_fc", (width,), (inner,)),
            *_fused(["output"], "mlp.c_proj", (inner,), (width,)),
        ]
        weights += [weight.within(f"layer_{i}", f"h.{i}.") for weight in layer]
    weights += _layer_norm("LayerNorm", "ln_f", width)
    weights = [weight.within("bert", "transformer.") for weight in weights]
    head = "lm_head.weight"
    if config.tie_word_embeddings:
        return [*weights, dataclasses.replace(weights[0], name=head, written=False)]
    kernel = (width, config.vocab_size)
    return [*weights, Weight("lm_head/kernel", kernel, head, inputs=1)]  # a Linear


def _gpt2_attention(config: BertGenerationConfig) -> list[Weight]:
    width, heads = (config.hidden_size,), (config.num_attention_heads, config.head_dim)
    paths = [f"attention/{kind}" for kind in ("query", "key", "value")]
    return [
        *_fused(paths, "attn.c_attn", width, heads),
        *_fused(["attention/output"], "attn.c_proj", heads, width),
    ]


def _gpt2_cross_attention(config: BertGenerationConfig) -> list[Weight]:
    width, heads = (config.hidden_size,), (config.num_attention_heads, config.head_dim)
    path, name = "crossattention/", "crossattention."
    return [
        *_layer_norm(f"{path}LayerNorm", "ln_cross_attn", config.hidden_size),
        *_fused([f"{path}query"], f"{name}q_attn", width, heads),
        *_fused([f"{path}key", f"{path}value"], f"{name}c_attn", width, heads),
        *_fused([f"{path}output"], f"{name}c_proj", heads, width),
    ]


def _fused(
    paths: Sequence[str], name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    """Returns a linear map [in, out] that holds one parameter for each path."""
    return [
        dataclasses.replace(
            weight, layout=LinearLayout.INPUTS_FIRST, part=(index, len(paths))
        )
        for index, path in enumerate(paths)
        for weight in _linear(path, name, inputs, outputs)
    ]


# Of both families.


def _linear(
    path: str, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    return [
        Weight(f"{path}/kernel", inputs + outputs, f"{name}.weight", len(inputs)),
        Weight(f"{path}/bias", outputs, f"{name}.bias"),
    ]


def _layer_norm(path: str, name: str, width: int) -> list[Weight]:
    return [
        Weight(f"{path}/scale", (width,), f"{name}.weight"),
        Weight(f"{path}/bias", (width,), f"{name}.bias"),
    ]
