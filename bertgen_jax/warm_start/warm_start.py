"""A recipe of the paper and its checkpoints in, a model that starts from them out."""

import logging
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.create import Seq2SeqModel, create_model
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import initialization, recipes
from bertgen_jax.warm_start.initialization import Name
from bertgen_jax.warm_start.recipes import Recipe, Selection

_log = logging.getLogger(__name__)


def warm_start(
    recipe: str | Recipe,
    *,
    encoder: Name | None = None,
    decoder: Name | None = None,
    tokenizer: Tokenizer | TokenizerPair | None = None,
    seed: int = 0,
    size: str = "base",
    parts: str = "all",
    layers: Sequence[int] = (),
    mlm_bias: bool = False,
    dtype: jnp.dtype = jnp.float32,
    report_file: Name | None = None,
    **settings: Any,
) -> tuple[Seq2SeqModel, dict[str, Any]]:
    """Makes a model that starts from published checkpoints (paper, section 3).

    What came from where is logged as a summary.

    Args:
      recipe: a name in `recipes.RECIPES`, or one of your own.
      encoder: checkpoint of the encoder, in any format of `formats.detection.TABLE`.
      decoder: likewise. Where both sides start from the same kind, it may be left out,
        and is the encoder's; where only one side is warm, that one may be meant.
      tokenizer: of the model. By default those of the checkpoints; a vocabulary that is
        not a checkpoint's own is matched with it piece by piece.
      seed: of what is random.
      size: a name in `models.presets.SIZES`, where no checkpoint says it.
      parts: "all", "embeddings" or "layers" of the checkpoints.
      layers: numbers, from 1, of the checkpoint's layers to take; () for all.
      mlm_bias: the softmax begins with the output bias of a masked-LM head.
      dtype: of the computation; parameters are f32.
      report_file: where the whole report is written as JSON; None for nowhere.
      **settings: fields of `BertGenerationConfig` in the place of the checkpoint's.

    Returns:
      The model and its params.

    Raises:
      ConfigError: no such recipe, size or field, or checkpoints that it cannot use.
      CheckpointError: a checkpoint is missing, damaged or of another kind.
      TokenizerError: so is its vocabulary.
    """
    recipe = recipes.get(recipe) if isinstance(recipe, str) else recipe
    try:
        numbers = [
            layer if isinstance(layer, bool) else operator.index(layer)
            for layer in layers
        ]
    except TypeError as error:
        raise ConfigError(
            f"layers is {layers!r}; expected numbers of layers, from 1."
        ) from error
    selection = Selection(parts, tuple(numbers), mlm_bias)
    checkpoints = initialization.find(recipe, encoder=encoder, decoder=decoder)
    tokenizers = tokenizer
    if not isinstance(tokenizer, TokenizerPair):
        tokenizers = initialization.tokenizers_of(checkpoints, tokenizer)
    settings = {"lm_head_bias": mlm_bias, **settings}
    config = initialization.model_config(
        recipe, checkpoints, tokenizers, selection, size, settings
    )
    model = create_model(config, dtype=dtype)
    params = initialization.random_params(model, seed)
    params, report = initialization.fill(
        params, config, checkpoints, tokenizers, selection
    )
    _log.info("%s", report)
    if report_file is not None:
        initialization.write_report(report, report_file)
    return model, jax.tree.map(jnp.asarray, params)
