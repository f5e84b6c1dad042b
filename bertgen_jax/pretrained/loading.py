"""Loads published checkpoints of any format as models with their parameters."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from bertgen_jax import errors
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.files import json_files, paths
from bertgen_jax.models.create import Model, create_model
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.checkpoint import Checkpoint
from bertgen_jax.pretrained.containers import archives
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.pretrained.saving import GENERATION_CONFIG
from bertgen_jax.trees import Params


def from_pretrained(
    source: str | os.PathLike[str],
    *,
    architecture: str | None = None,
    mlm_bias: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> tuple[Model, Params]:
    """Loads a checkpoint of any format, which is recognised by its files.

    Args:
      source: a checkpoint in a format of `detection.TABLE`, or its .zip or .tar.gz.
      architecture: "encoder", "decoder" or "encoder-decoder", if it should differ from
        the files: an encoder becomes a causal decoder, a pair gives one side.
      mlm_bias: whether such a decoder keeps the output bias of the encoder's masked-LM
        head.
      dtype: the type of the computation. Parameters are f32.

    Returns:
      The module and its params.

    Raises:
      ConfigError: the checkpoint cannot become this architecture.
      CheckpointError: the checkpoint is missing, damaged, or of an unknown format.
    """
    with opened(source, architecture, mlm_bias=mlm_bias) as loaded:
        # Copy the views, so that the params outlive the opened file.
        params = jax.tree.map(lambda x: jnp.array(x, jnp.float32), loaded.params)
    return create_model(loaded.config, dtype=dtype), params


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    architecture: str | None = None,
    *,
    mlm_bias: bool = False,
) -> Iterator[Checkpoint]:
    """Loads a checkpoint as views of its files, which exist as long as the context.

    For the arguments and errors, see `from_pretrained`.
    """
    try:
        archive = paths.find(os.fspath(path), "checkpoint")
    except (ConfigError, OSError):
        archive = None  # opening the checkpoint reports what is wrong
    with contextlib.ExitStack() as stack:
        if archive is not None and archives.is_archive(archive):
            path = stack.enter_context(archives.unpacked(archive))
        loaded = checkpoint.load(detection.open_checkpoint(path))
        yield checkpoint.as_architecture(loaded, architecture, mlm_bias=mlm_bias)


def generation_config(directory: str | os.PathLike[str]) -> GenerationConfig:
    """Reads the search settings of a model directory.

    They are in generation_config.json, or in config.json of older directories.

    Raises:
      CheckpointError: both files are missing, or a setting is invalid.
    """
    path = pathlib.Path(directory) / GENERATION_CONFIG
    if not path.exists():
        path = path.with_name("config.json")
    with errors.in_file(path):
        return GenerationConfig.from_dict(json_files.read_object(path))
