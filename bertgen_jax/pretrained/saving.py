"""Params in; config.json and model.safetensors that Hugging Face loads as it is out.

The tensors are the peer's, name by name and layout by layout (`name_maps`). The way in
is `formats`, as for every other kind of file.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    Config,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.pretrained import name_maps
from bertgen_jax.pretrained.containers import safetensors_file
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo

WEIGHTS = "model.safetensors"

# The peer's classes of stacks that are always decoders.
_LANGUAGE_MODELS = {"gpt2": "GPT2LMHeadModel", "bert": "BertLMHeadModel"}


def save(
    directory: str | os.PathLike[str], config: Config, params: Mapping[str, Any]
) -> None:
    """Writes config.json and model.safetensors that the peer loads as they are.

    One tensor at a time is in memory beside the params.

    Args:
      directory: made if missing.
      config: the model's.
      params: nested dicts of arrays; written as f32.

    Raises:
      ConfigError: the params are not those of such a model, or the peer has none such.
      CheckpointError: the files cannot be written.
    """
    parts = _parts(config, params)
    directory = pathlib.Path(directory)
    values = {"architectures": [_architecture(config)], **config.to_dict()}
    text = json.dumps(values, indent=2) + "\n"
    tensors = {
        name: TensorInfo(weights[0].foreign_shape, np.dtype(np.float32))
        for name, (weights, _) in parts.items()
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        safetensors_file.write(
            directory / WEIGHTS, tensors, lambda name: _join(*parts[name])
        )
        (directory / "config.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"{directory}: the model cannot be written there ({error.strerror})."
        ) from error


def to_tensors(config: Config, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Params to the peer's f32 tensors; what is shared stands under each of its names.

    Raises:
      ConfigError: the params are not those of such a model.
    """
    parts = _parts(config, params)
    return {name: _join(*found) for name, found in parts.items()}


def _parts(
    config: Config, params: Mapping[str, Any]
) -> dict[str, tuple[list[name_maps.Weight], list[Any]]]:
    """For each of the peer's tensors the parameters that it consists of."""
    weights = name_maps.weights_of(config)
    found = trees.named(params)
    wanted = {w.path: tuple(w.shape) for w in weights if w.path}
    shapes = {path: tuple(array.shape) for path, array in found.items()}
    if shapes != wanted:
        differences = trees.differences(*map(_described, (wanted, shapes)))
        raise ConfigError(
            "the params do not fit the model's config (- expected, + found):\n"
            f"{differences}"
        )
    written = name_maps.by_name(weight for weight in weights if weight.written)
    return {
        name: (parts, [found.get(weight.path) for weight in parts])
        for name, parts in written.items()
    }


def _join(weights: list[name_maps.Weight], parameters: list[Any]) -> np.ndarray:
    """One tensor of its parameters; where there is none, of zeros."""
    arrays = [
        np.zeros(weight.shape, np.float32)
        if parameter is None
        else np.asarray(parameter, np.float32)
        for weight, parameter in zip(weights, parameters, strict=True)
    ]
    return name_maps.to_foreign(weights, arrays)


def _described(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {
        path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()
    }


def _architecture(config: Config) -> str:
    if isinstance(config, EncoderDecoderConfig):
        return "EncoderDecoderModel"
    if isinstance(config, PrefixLanguageModelConfig):
        config = config.decoder
    if config.model_type in _LANGUAGE_MODELS:
        return _LANGUAGE_MODELS[config.model_type]
    return "BertGenerationDecoder" if config.is_decoder else "BertGenerationEncoder"
