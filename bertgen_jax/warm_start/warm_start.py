"""`warm_start`: makes a model that starts from published checkpoints, in one call."""

import logging
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax import rng
from bertgen_jax.errors import ConfigError
from bertgen_jax.files.paths import StrPath
from bertgen_jax.models import initialization
from bertgen_jax.models.create import Seq2SeqModel, create_model
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.trees import Params
from bertgen_jax.warm_start import architecture, opening, recipes
from bertgen_jax.warm_start.recipes import Recipe, Selection
from bertgen_jax.warm_start.report import Report
from bertgen_jax.warm_start.transfer import transfer

_log = logging.getLogger(__name__)


def warm_start(
    recipe: str | Recipe,
    *,
    encoder: StrPath | None = None,
    decoder: StrPath | None = None,
    tokenizer: Tokenizer | TokenizerPair | None = None,
    seed: int = 0,
    size: str = "base",
    parts: str = "all",
    layers: Sequence[int] = (),
    mlm_bias: bool = False,
    dtype: jnp.dtype = jnp.float32,
    report_file: StrPath | None = None,
    **settings: Any,
) -> tuple[Seq2SeqModel, Params]:
    """Makes a model that starts from published checkpoints (paper, section 3).

    A summary of what came from where is logged.

    Args:
      recipe: a name in `recipes.RECIPES`, or a recipe of your own.
      encoder: the checkpoint of the encoder, of a format in `formats.detection.TABLE`.
      decoder: the checkpoint of the decoder. May be left out if both sides start from
        the same kind; it is then the encoder's.
      tokenizer: the tokenizer of the model; by default those of the checkpoints. A
        vocabulary other than a checkpoint's own is matched with it piece by piece.
      seed: for the random parameters.
      size: a name in `models.presets.SIZES`, for a recipe without checkpoints.
      parts: "all", "embeddings" or "layers" of the checkpoints.
      layers: the layers of the checkpoint to use, numbered from 1; () for all.
      mlm_bias: whether the softmax starts with the output bias of a masked-LM head.
      dtype: of the computation; parameters are f32.
      report_file: where to write the whole report as JSON; None for nowhere.
      **settings: fields of `BertGenerationConfig` that override the checkpoints'.

    Returns:
      The model and its params.

    Raises:
      ConfigError: an unknown recipe, size or setting, or checkpoints that the recipe
        cannot use.
      CheckpointError: a checkpoint is missing, damaged or of another kind, or the
        report cannot be written.
      TokenizerError: a vocabulary is missing or damaged.
    """
    recipe = recipes.get(recipe) if isinstance(recipe, str) else recipe
    selection = Selection(parts, _layer_numbers(layers), mlm_bias)
    checkpoints = opening.open_checkpoints(recipe, encoder=encoder, decoder=decoder)
    if isinstance(tokenizer, TokenizerPair):
        tokenizers = tokenizer
    else:
        tokenizers = opening.choose_tokenizers(checkpoints, tokenizer)
    settings = {"lm_head_bias": mlm_bias, **settings}
    config = architecture.model_config(
        recipe, checkpoints, tokenizers, selection, size, settings
    )
    model = create_model(config, dtype=dtype)
    params, report = initial_params(model, checkpoints, tokenizers, selection, seed)
    _log.info("%s", report)
    if report_file is not None:
        report.write(report_file)
    return model, jax.tree.map(jnp.asarray, params)


def initial_params(
    model: Seq2SeqModel,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
    seed: int,
) -> tuple[Params, Report]:
    """Returns the parameters before step 1: random, then warm from the checkpoints.

    Args:
      model: the model whose parameters are made.
      checkpoints: by side, see `opening.open_checkpoints`.
      tokenizers: the tokenizers of the model.
      selection: which part of the checkpoints is used.
      seed: for the random parameters.

    Returns:
      The params, in which warm leaves are numpy arrays; and what came from where.

    Raises:
      ConfigError, CheckpointError, TokenizerError: see `transfer`.
    """
    params = random_params(model, seed)
    return transfer(params, model.config, checkpoints, tokenizers, selection)


def random_params(model: Seq2SeqModel, seed: int) -> Params:
    """Draws the parameters of a new model, from the stream "init" of a seed."""
    return initialization.draw_params(model, rng.key(seed, "init"))


def _layer_numbers(layers: Sequence[int]) -> tuple[int, ...]:
    """Returns layer numbers as Python integers; `Selection` refuses booleans."""
    try:
        return tuple(
            layer if isinstance(layer, bool) else operator.index(layer)
            for layer in layers
        )
    except TypeError as error:
        raise ConfigError(
            f"layers is {layers!r}; expected numbers of layers, from 1."
        ) from error
