"""The parameter map of CTranslate2: which of its variables is which parameter.

CTranslate2 stores linear maps as [out, in], fuses those with the same input, and has no
projection between stacks of unequal widths.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import (
    POSITION_TABLE,
    WORD_TABLE,
    BertGenerationConfig,
)
from bertgen_jax.pretrained.parameter_maps import Weight

# The projections that are fused in linear_0, linear_1, ...
_SELF_ATTENTION = (("query", "key", "value"), ("output",))
_CROSS_ATTENTION = (("query",), ("key", "value"), ("output",))

_BRIDGE = "enc_to_dec_proj"

# The variables whose results are added to the residual of GPT-2's blocks. With the
# words, the residual is the sum of these.
RESIDUAL = re.compile(
    r"\w+/(position_encodings/encodings|"
    r"layer_\d+/(self_attention/linear_1|attention/linear_2|ffn/linear_1)/\w+)"
)


def decoder(config: BertGenerationConfig) -> list[Weight]:
    """Returns the map of `TransformerDecoderModelSpec`, without cross-attention."""
    return _decoder(config, source_width=None)


def encoder_decoder(config: EncoderDecoderConfig) -> list[Weight]:
    """Returns the map of `TransformerSpec`, for the params of `without_bridge`.

    A shared parameter is listed for both sides: one path, two names.
    """
    return _encoder_decoder(config, source_width=config.encoder.hidden_size)


def parameter_shapes(
    config: BertGenerationConfig | EncoderDecoderConfig,
) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the parameters of a model by their paths."""
    if isinstance(config, BertGenerationConfig):
        weights = decoder(config)
    else:
        inputs, outputs = config.encoder.hidden_size, config.decoder.hidden_size
        weights = _encoder_decoder(config, source_width=outputs)
        if inputs != outputs:
            weights += _linear(_BRIDGE, _BRIDGE, (inputs,), (outputs,))
    return {weight.path: weight.shape for weight in weights}


def without_bridge(config: EncoderDecoderConfig, params: Any) -> Any:
    """Folds the projection between unequal widths into cross-attention.

    Keys and values are linear in its result: (h P + b) W + c = h (P W) + (b W + c).

    Args:
      config: of the pair.
      params: its parameters.

    Returns:
      Params that compute the same. If the widths differ, they are a copy in which the
      kernels of cross-attention keys and values are [D of the encoder, H, K].
    """
    if config.encoder.hidden_size == config.decoder.hidden_size:
        return params
    flat = trees.named(params)
    kernel, bias = (_f32(flat.pop(f"{_BRIDGE}/{leaf}")) for leaf in ("kernel", "bias"))
    for i in range(config.decoder.num_hidden_layers):
        for projection in ("key", "value"):
            path = f"decoder/bert/layer_{i}/crossattention/{projection}"
            inner, added = _f32(flat[f"{path}/kernel"]), _f32(flat[f"{path}/bias"])
            flat[f"{path}/kernel"] = np.tensordot(kernel, inner, axes=1)
            flat[f"{path}/bias"] = np.tensordot(bias, inner, axes=1) + added
    return trees.nested(flat)


def _encoder_decoder(config: EncoderDecoderConfig, source_width: int) -> list[Weight]:
    weights = []
    for weight in _stack(config.encoder, "embeddings_0", source_width=None):
        path = "decoder/bert" if config.shares(weight.path) else "encoder"
        weights.append(weight.within(path, "encoder/"))
    for weight in _decoder(config.decoder, source_width):
        weights.append(weight.within("decoder", ""))
    return weights


def _f32(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32)


def _decoder(config: BertGenerationConfig, source_width: int | None) -> list[Weight]:
    stack = _stack(config, "embeddings", source_width)
    weights = [weight.within("bert", "decoder/") for weight in stack]
    width, vocabulary = config.hidden_size, config.vocab_size
    kernel = Weight("lm_head/kernel", (width, vocabulary), "", inputs=1)
    if config.tie_word_embeddings:
        kernel = next(w for w in weights if w.path.endswith(WORD_TABLE))
    weights.append(dataclasses.replace(kernel, name="decoder/projection/weight"))
    if config.lm_head_bias:
        bias = "decoder/projection/bias"
        weights.append(Weight("lm_head/bias", (vocabulary,), bias))
    return weights


def _stack(
    config: BertGenerationConfig, embeddings: str, source_width: int | None
) -> list[Weight]:
    """Returns embeddings and layers.

    Args:
      config: of the stack.
      embeddings: the name of the word table.
      source_width: the width of the states that cross-attention reads; None for a
        stack without cross-attention.
    """
    width, inner = config.hidden_size, config.intermediate_size
    weights = [
        Weight(WORD_TABLE, (config.vocab_size, width), f"{embeddings}/weight"),
        Weight(
            POSITION_TABLE,
            (config.max_position_embeddings, width),
            "position_encodings/encodings",
        ),
        # GPT-2 normalises the output of the stack, BERT its input.
        *(
            _layer_norm("LayerNorm", "layer_norm", width)
            if config.pre_layer_norm
            else _layer_norm("embeddings/LayerNorm", "layernorm_embedding", width)
        ),
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_attention(config, "attention", "self_attention", _SELF_ATTENTION, width),
            *_linear("intermediate", "ffn/linear_0", (width,), (inner,)),
            *_linear("output", "ffn/linear_1", (inner,), (width,)),
            *_layer_norm("LayerNorm", "ffn/layer_norm", width),
        ]
        if source_width is not None:
            layer += _attention(
                config, "crossattention", "attention", _CROSS_ATTENTION, source_width
            )
        weights += [weight.within(f"layer_{i}", f"layer_{i}/") for weight in layer]
    return weights


def _attention(
    config: BertGenerationConfig,
    path: str,
    name: str,
    groups: tuple[tuple[str, ...], ...],
    source_width: int,
) -> list[Weight]:
    """Returns projections and LayerNorm; keys and values read [..., source_width]."""
    width, inner = config.hidden_size, (config.num_attention_heads, config.head_dim)
    shapes = {
        "query": ((width,), inner),
        "key": ((source_width,), inner),
        "value": ((source_width,), inner),
        "output": (inner, (width,)),
    }
    weights = []
    for number, group in enumerate(groups):
        for index, projection in enumerate(group):
            weights += [
                dataclasses.replace(weight, part=(index, len(group)))
                for weight in _linear(
                    f"{path}/{projection}",
                    f"{name}/linear_{number}",
                    *shapes[projection],
                )
            ]
    return weights + _layer_norm(f"{path}/LayerNorm", f"{name}/layer_norm", width)


def _linear(
    path: str, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    return [
        Weight(f"{path}/kernel", inputs + outputs, f"{name}/weight", len(inputs)),
        Weight(f"{path}/bias", outputs, f"{name}/bias"),
    ]


def _layer_norm(path: str, name: str, width: int) -> list[Weight]:
    return [
        Weight(f"{path}/scale", (width,), f"{name}/gamma"),
        Weight(f"{path}/bias", (width,), f"{name}/beta"),
    ]
