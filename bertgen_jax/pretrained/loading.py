"""Checkpoints of any format in, models out, and back as Hugging Face directories."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import BertgenError, CheckpointError, ConfigError
from bertgen_jax.files import paths
from bertgen_jax.models.config import read_json
from bertgen_jax.models.create import Model, create_model
from bertgen_jax.pretrained import checkpoint, saving
from bertgen_jax.pretrained.checkpoint import Checkpoint
from bertgen_jax.pretrained.containers import archives
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair

Name = str | os.PathLike[str]

GENERATION_CONFIG = "generation_config.json"


def from_pretrained(
    source: Name,
    *,
    architecture: str | None = None,
    mlm_bias: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> tuple[Model, dict[str, Any]]:
    """Reads a checkpoint of any format, which is recognised by its files.

    Args:
      source: of a format in `detection.TABLE`; also a .zip or .tar.gz of one.
      architecture: "encoder", "decoder" or "encoder-decoder" where it is not to be what
        the files say: an encoder becomes a causal decoder, a pair gives one side.
      mlm_bias: such a decoder keeps the output bias of the encoder's masked-LM head.
      dtype: of the computation; parameters are f32.

    Returns:
      The module, and its params.

    Raises:
      ConfigError: an architecture that cannot be made of it.
      CheckpointError: it is missing, damaged, or of no known format.
    """
    with opened(source, architecture, mlm_bias=mlm_bias) as found:
        # Copies, so that nothing depends on the file any more.
        params = jax.tree.map(lambda x: jnp.array(x, jnp.float32), found.params)
    return create_model(found.config, dtype=dtype), params


@contextlib.contextmanager
def opened(
    source: Name, architecture: str | None = None, *, mlm_bias: bool = False
) -> Iterator[Checkpoint]:
    """A checkpoint as views of its files, which are there as long as the context is.

    Arguments and errors are those of `from_pretrained`.
    """
    try:
        path = paths.find(os.fspath(source), "checkpoint")
    except (ConfigError, OSError):
        path = None  # there is nothing; what opens it says so
    if path is None or not archives.is_archive(path):
        yield _open(source, architecture, mlm_bias)
        return
    with archives.unpacked(path) as folder:
        try:
            found = _open(folder, architecture, mlm_bias)
        except BertgenError as error:  # in the user's words
            raise type(error)(str(error).replace(str(folder), str(path))) from error
        yield found


def _open(source: Name, architecture: str | None, mlm_bias: bool) -> Checkpoint:
    found = checkpoint.load(detection.open_checkpoint(source))
    return checkpoint.as_architecture(found, architecture, mlm_bias=mlm_bias)


def generation_config(directory: Name) -> GenerationConfig:
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
    directory: Name,
    model: Model,
    params: Any,
    tokenizer: Tokenizer | TokenizerPair | None = None,
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
    save(directory, model.config, params, tokenizer, generation)


def save(
    directory: Name,
    config: Any,
    params: Any,
    tokenizer: Tokenizer | TokenizerPair | None = None,
    generation: GenerationConfig | None = None,
) -> None:
    """As `save_pretrained`, of a config instead of a module."""
    if isinstance(tokenizer, str | os.PathLike):
        raise ConfigError(
            f"tokenizer is {os.fspath(tokenizer)!r}; expected a tokenizer, such as "
            "AutoTokenizer.from_pretrained of it."
        )
    directory = pathlib.Path(directory)
    saving.save(directory, config, params)
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
    if generation is not None:
        text = json.dumps(generation.to_dict(), indent=2)
        (directory / GENERATION_CONFIG).write_text(text + "\n", encoding="utf-8")
