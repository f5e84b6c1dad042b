"""Writes model directories that Hugging Face loads unchanged.

The tensors have the names and memory layouts of Hugging Face (`parameter_maps`). The
reader of such directories is `formats.huggingface`.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files import json_files
from bertgen_jax.models.config import Config
from bertgen_jax.models.create import Model
from bertgen_jax.pretrained import parameter_maps
from bertgen_jax.pretrained.containers import safetensors_file
from bertgen_jax.pretrained.containers.tensor_file import TensorInfo
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
GENERATION_CONFIG = "generation_config.json"

# Hugging Face's classes of stacks that are always decoders.
_LANGUAGE_MODELS = {"gpt2": "GPT2LMHeadModel", "bert": "BertLMHeadModel"}


def save_pretrained(
    directory: str | os.PathLike[str],
    model: Model,
    params: Mapping[str, Any],
    tokenizer: Tokenizer | TokenizerPair | None = None,
    generation: GenerationConfig | None = None,
) -> None:
    """Writes a model directory that Hugging Face loads unchanged.

    Args:
      directory: created if missing; files in it are overwritten.
      model: the module, whose config is written.
      params: the parameters of the module, written as f32 safetensors.
      tokenizer: written beside the weights.
      generation: written as generation_config.json.

    Raises:
      ConfigError: the params do not fit the model, or Hugging Face has no such model.
      CheckpointError: the files cannot be written.
    """
    save(directory, model.config, params, tokenizer, generation)


def save(
    directory: str | os.PathLike[str],
    config: Config,
    params: Mapping[str, Any],
    tokenizer: Tokenizer | TokenizerPair | None = None,
    generation: GenerationConfig | None = None,
) -> None:
    """Does the same as `save_pretrained`, with a config in place of a module.

    One tensor at a time is in memory in addition to the params. config.json, without
    which nothing loads the directory, is removed before the first file is replaced, and
    written last. A save that is killed can therefore not leave a directory that mixes
    two models.
    """
    if isinstance(tokenizer, str | os.PathLike):
        raise ConfigError(
            f"tokenizer is {os.fspath(tokenizer)!r}; expected a tokenizer, such as "
            "AutoTokenizer.from_pretrained of this path."
        )
    parts = _parts(config, params)
    values = {"architectures": [_class_name(config)], **config.to_dict()}
    tensors = {
        name: TensorInfo(weights[0].foreign_shape, np.dtype(np.float32))
        for name, (weights, _) in parts.items()
    }
    directory = pathlib.Path(directory)
    try:
        with safetensors_file.new_safetensors(
            directory / WEIGHTS, tensors, lambda name: _join(*parts[name])
        ):
            (directory / CONFIG).unlink(missing_ok=True)
        if tokenizer is not None:
            tokenizer.save_pretrained(directory)
        if generation is not None:
            json_files.write_object(directory / GENERATION_CONFIG, generation.to_dict())
        json_files.write_object(directory / CONFIG, values)
    except OSError as error:
        raise CheckpointError(
            f"{directory}: the model cannot be written there "
            f"({error.strerror or error})."
        ) from error


def to_tensors(config: Config, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns Hugging Face's f32 tensors; a shared one stands under each of its names.

    Raises:
      ConfigError: the params do not fit the config.
    """
    return {name: _join(*part) for name, part in _parts(config, params).items()}


def _parts(
    config: Config, params: Mapping[str, Any]
) -> dict[str, tuple[list[parameter_maps.Weight], list[Any]]]:
    """Returns the weights and the parameters that each tensor consists of."""
    weights = parameter_maps.weights_of(config)
    parameter_maps.check_params({w.path: w.shape for w in weights if w.path}, params)
    arrays = trees.named(params)
    written = parameter_maps.by_name(weight for weight in weights if weight.written)
    return {
        name: (parts, [arrays.get(weight.path) for weight in parts])
        for name, parts in written.items()
    }


def _join(weights: list[parameter_maps.Weight], parameters: list[Any]) -> np.ndarray:
    """Makes a tensor of its parameters; a parameter that is None is zeros."""
    arrays = [
        np.zeros(weight.shape, np.float32)
        if parameter is None
        else np.asarray(parameter, np.float32)
        for weight, parameter in zip(weights, parameters, strict=True)
    ]
    return parameter_maps.to_foreign(weights, arrays)


def _class_name(config: Config) -> str:
    """Returns the name of Hugging Face's class."""
    if config.architecture == "encoder-decoder":
        return "EncoderDecoderModel"
    stack = config.target_config
    if stack.model_type in _LANGUAGE_MODELS:
        return _LANGUAGE_MODELS[stack.model_type]
    return "BertGenerationDecoder" if stack.is_decoder else "BertGenerationEncoder"
