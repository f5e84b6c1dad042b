"""Model directories in, models out, and back: `from_pretrained`, `save_pretrained`."""

import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.checkpoints import huggingface
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import EncoderDecoderConfig, read_json
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.tokenizers.interface import Tokenizer

Model = EncoderDecoder | BertGenerationDecoder | BertGenerationEncoder

GENERATION_CONFIG = "generation_config.json"


def from_pretrained(
    directory: str | os.PathLike[str], *, dtype: jnp.dtype = jnp.float32
) -> tuple[Model, dict[str, Any]]:
    """Reads a model directory, ours or Hugging Face's.

    Args:
      directory: holds config.json (`bert-generation` or `encoder-decoder`) and
        model.safetensors.
      dtype: of the computation; parameters are f32.

    Returns:
      The module that config.json asks for, and its params.

    Raises:
      CheckpointError: see `checkpoints.huggingface.load`.
    """
    config, params = huggingface.load(directory)
    params = jax.tree.map(jnp.asarray, params)  # once, not at every call
    if isinstance(config, EncoderDecoderConfig):
        return EncoderDecoder(config, dtype), params
    kind = BertGenerationDecoder if config.is_decoder else BertGenerationEncoder
    return kind(config, dtype), params


def generation_config(directory: str | os.PathLike[str]) -> GenerationConfig:
    """How a model directory wants to be searched.

    From generation_config.json, or else, as older directories have it, from
    config.json.

    Raises:
      CheckpointError: neither file is there, or a setting in it cannot be meant.
    """
    path = pathlib.Path(directory) / GENERATION_CONFIG
    if not path.exists():
        path = path.with_name("config.json")
    try:
        return GenerationConfig.from_dict(read_json(path))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def save_pretrained(
    directory: str | os.PathLike[str],
    model: Model,
    params: Any,
    tokenizer: Tokenizer | None = None,
    generation: GenerationConfig | None = None,
) -> None:
    """Writes a model directory that Hugging Face loads as it is.

    Args:
      directory: made if missing; files in it are overwritten.
      model: its config is written.
      params: its parameters, written as f32 safetensors.
      tokenizer: written beside them.
      generation: written as generation_config.json.

    Raises:
      ConfigError: the params are not the model's.
    """
    directory = pathlib.Path(directory)
    huggingface.save(directory, model.config, params)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    if generation is not None:
        text = json.dumps(generation.to_dict(), indent=2)
        (directory / GENERATION_CONFIG).write_text(text + "\n", encoding="utf-8")
