"""Describes a model to CTranslate2's library, which writes the files.

The library is an optional dependency. Only this module imports it, and only `export`
imports this module, when a model is exported.
"""

import math
from collections.abc import Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from ctranslate2.specs import common_spec, model_spec, transformer_spec

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import parameter_maps
from bertgen_jax.pretrained.ctranslate2 import parameter_map

QUANTIZATIONS = model_spec.ACCEPTED_MODEL_TYPES

_ACTIVATIONS = {
    "gelu": common_spec.Activation.GELU,
    "gelu_new": common_spec.Activation.GELUTanh,
    "gelu_pytorch_tanh": common_spec.Activation.GELUTanh,
    "relu": common_spec.Activation.RELU,
    "silu": common_spec.Activation.SWISH,
    "swish": common_spec.Activation.SWISH,
    "tanh": common_spec.Activation.Tanh,
}


def build(
    config: BertGenerationConfig | EncoderDecoderConfig,
    params: Any,
    source: list[str],
    target: list[str],
) -> model_spec.ModelSpec:
    """Returns the specification of an encoder-decoder, or of a decoder alone.

    Args:
      config: of the model.
      params: its parameters.
      source, target: the piece of each row of the encoder's and of the decoder's table.

    Raises:
      ConfigError: the library does not have the activation function.
    """
    if isinstance(config, BertGenerationConfig):
        stack = _stack(
            transformer_spec.TransformerDecoderSpec,
            config,
            with_encoder_attention=False,
        )
        spec: Any = transformer_spec.TransformerDecoderModelSpec(stack)
        spec.register_vocabulary(target)
        spec.config.layer_norm_epsilon = config.layer_norm_eps
        return _filled(spec, parameter_map.decoder(config), params)

    spec = transformer_spec.TransformerSpec(
        _stack(transformer_spec.TransformerEncoderSpec, config.encoder),
        _stack(transformer_spec.TransformerDecoderSpec, config.decoder),
    )
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    # The library has one epsilon for both stacks. LN(s h, eps) = LN(h, eps / s^2), and
    # only LayerNorms read the residual h of GPT-2's blocks. So scaling h by s gives the
    # decoder its own epsilon.
    spec.config.layer_norm_epsilon = config.encoder.layer_norm_eps
    scale = math.sqrt(config.encoder.layer_norm_eps / config.decoder.layer_norm_eps)
    if scale != 1:
        spec.decoder.scale_embeddings = np.float32(scale)
    params = parameter_map.without_bridge(config, params)
    return _filled(spec, parameter_map.encoder_decoder(config), params, scale)


def _stack(kind: type, config: BertGenerationConfig, **fields: Any) -> Any:
    if config.hidden_act not in _ACTIVATIONS:
        raise ConfigError(
            f"hidden_act is {config.hidden_act!r}, which CTranslate2 does not have; "
            f"expected one of {', '.join(_ACTIVATIONS)}."
        )
    spec = kind(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=config.pre_layer_norm,
        activation=_ACTIVATIONS[config.hidden_act],
        layernorm_embedding=not config.pre_layer_norm,
        **fields,
    )
    spec.scale_embeddings = False
    return spec


def _filled(
    spec: Any,
    weights: Sequence[parameter_maps.Weight],
    params: Any,
    decoder_scale: float = 1.0,
) -> Any:
    """Sets the variables of a specification to the tensors of a parameter map."""
    parameters = trees.named(params)
    for name, parts in parameter_maps.by_name(weights).items():
        scaled = name.startswith("decoder/") and parameter_map.RESIDUAL.match(name)
        tensor = _Tensor(
            parts,
            [parameters[part.path] for part in parts],
            scale=decoder_scale if scaled else 1.0,
        )
        scope, _, leaf = name.rpartition("/")
        setattr(model_spec.index_spec(spec, scope), leaf, tensor)
    spec.validate()
    return spec


class _Tensor(model_spec.Variable):
    """A tensor that is computed each time it is read.

    The library collects a whole model before it writes the first byte. With arrays in
    place of these, the model would be in memory twice.
    """

    def __init__(
        self,
        weights: Sequence[parameter_maps.Weight],
        parameters: Sequence[Any],
        scale: float,
        dtype: str = "float32",
    ):
        self._weights, self._parameters = weights, parameters
        self._scale, self._dtype = scale, dtype

    @property
    def shape(self) -> list[int]:
        return list(self._weights[0].foreign_shape)

    @property
    def dtype(self) -> str:
        return self._dtype

    def numpy(self) -> np.ndarray:
        # Always a copy, because the library quantizes in place.
        return np.array(self._laid_out())

    def num_bytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self._dtype).itemsize

    def to_bytes(self) -> bytes:
        return self._laid_out().tobytes()

    def _to(self, dtype: str) -> Self:
        return type(self)(self._weights, self._parameters, self._scale, dtype)

    def _equal(self, other: Self) -> bool:
        """Whether both are the same parameters, which the file then stores once."""
        return self._identity == other._identity

    @property
    def _identity(self) -> tuple[Any, ...]:
        return (self._scale, *(weight.path for weight in self._weights))

    def _laid_out(self) -> np.ndarray:
        parameters = [np.asarray(array, np.float32) for array in self._parameters]
        tensor = parameter_maps.to_foreign(self._weights, parameters)
        if self._scale != 1:
            tensor = tensor * np.float32(self._scale)
        return tensor.astype(jnp.dtype(self._dtype), copy=False)
