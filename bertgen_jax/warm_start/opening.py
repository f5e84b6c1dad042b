"""Opens the checkpoints that a recipe starts from, and chooses their tokenizers."""

import os
import re
from collections.abc import Mapping

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.files.paths import StrPath
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import recipes
from bertgen_jax.warm_start.recipes import Recipe

_EXAMPLES = {  # published checkpoints, for messages
    "bert": "google-bert/bert-base-cased",
    "roberta": "FacebookAI/roberta-base",
    "gpt2": "openai-community/gpt2",
}
# Names of the checkpoints that the same owners have published.
_PUBLISHED = {
    "bert": r"bert-(base|large)-(un)?cased",
    "roberta": r"roberta-(base|large)",
    "gpt2": r"gpt2(-medium|-large|-xl)?",
}


def open_checkpoints(
    recipe: Recipe,
    *,
    encoder: StrPath | None,
    decoder: StrPath | None,
    random_flags: str = "",
) -> dict[str, OpenedCheckpoint]:
    """Opens the checkpoints that a recipe starts from.

    Only headers are read. Call it before any expensive work, so that a missing or
    unfitting checkpoint fails immediately.

    Args:
      recipe: says which side starts from which kind of checkpoint.
      encoder, decoder: see `warm_start`.
      random_flags: for messages to users of the command line, the flags that start
        from random weights instead; "" for users of Python.

    Returns:
      The checkpoint of each side that starts from one, by "encoder" and "decoder". Two
      sides that start from one checkpoint have the same object.

    Raises:
      ConfigError: a checkpoint is named for a side that is random, or two checkpoints
        for sides that share their weights.
      CheckpointError: a checkpoint is missing, damaged or of another kind.
    """
    names = {"encoder": os.fspath(encoder or ""), "decoder": os.fspath(decoder or "")}
    if recipe.encoder == recipe.decoder:
        names["decoder"] = names["decoder"] or names["encoder"]
    prefix = "init." if random_flags else ""  # of a field of the config
    by_name: dict[str, OpenedCheckpoint] = {}
    checkpoints: dict[str, OpenedCheckpoint] = {}
    for side, name in names.items():
        kind = getattr(recipe, side)
        if kind is None:
            if name:
                raise ConfigError(
                    f"{prefix}{side} is {name!r}, but the {side} of the recipe starts "
                    "from random weights; expected no checkpoint for it, or another "
                    "recipe."
                )
            continue
        if name not in by_name:
            by_name[name] = _open(side, kind, name, random_flags)
        checkpoints[side] = by_name[name]
    if recipe.share_stacks:
        _check_one_stack(checkpoints, prefix)
    return checkpoints


def _check_one_stack(checkpoints: Mapping[str, OpenedCheckpoint], prefix: str) -> None:
    """Checks that both sides start from one and the same stack.

    Raises:
      ConfigError: there are two checkpoints.
      CheckpointError: the checkpoint has two stacks.
    """
    files = {side: opened.tensors.path for side, opened in checkpoints.items()}
    if len(set(files.values())) > 1:
        raise ConfigError(
            f"{prefix}encoder is {files['encoder']}, {prefix}decoder is "
            f"{files['decoder']}, but encoder and decoder of the recipe share weights, "
            "which are one set of arrays; expected one checkpoint: leave "
            f"{prefix}decoder empty."
        )
    for opened in checkpoints.values():
        config = opened.config
        if (
            isinstance(config, EncoderDecoderConfig)
            and not config.share_encoder_decoder
        ):
            raise CheckpointError(
                f"{opened.path} holds two stacks ({opened.format}), but encoder and "
                "decoder of the recipe are one stack; expected a checkpoint of one "
                "stack, or of two that share all weights."
            )


def _published(kind: str, name: str) -> str:
    """Returns the published checkpoint that a name means, else an example."""
    example = _EXAMPLES[kind]
    last = name.rstrip("/").rpartition("/")[2]
    if not re.fullmatch(_PUBLISHED[kind], last):
        return example
    return f"{example.partition('/')[0]}/{last}"


def _open(side: str, kind: str, name: str, random_flags: str) -> OpenedCheckpoint:
    """Opens the checkpoint of one side and checks its kind.

    Raises:
      CheckpointError: it is missing, damaged or of another kind.
    """
    example = _published(kind, name)
    field = f"init.{side}" if random_flags else side
    named = f"--config.{field}=DIR" if random_flags else f"{field}=DIR"
    random = random_flags or 'recipe "rnd2rnd" with a tokenizer and no checkpoints'
    advice = (
        f"Expected a {kind} checkpoint. There are three ways to continue: download one "
        f"(`hf download {example} --local-dir {example.rpartition('/')[2]}`); name one "
        f"that you have, {named}, absolute or relative to BERTGEN_DATA_DIR; or start "
        f"from random weights, {random}."
    )
    if not name:
        raise CheckpointError(
            f"{field} is empty, but the {side} of the recipe starts from a {kind} "
            f"checkpoint. {advice}"
        )
    opened = detection.open_checkpoint(name, field, if_missing=advice)
    # Stacks of BertGeneration models, single or in pairs, are BERT's or RoBERTa's.
    pre_layer_norm = stack_config(opened, side).pre_layer_norm
    fits = opened.kind == kind or (
        opened.kind in ("bert-generation", "encoder-decoder")
        and pre_layer_norm == (kind == "gpt2")
    )
    if not fits:
        actual = "gpt2" if pre_layer_norm else opened.kind
        fitting = [n for n, r in recipes.RECIPES.items() if getattr(r, side) == actual]
        raise CheckpointError(
            f"{field}: {opened.path} is of the kind {actual} ({opened.format}), "
            f"but the recipe starts from {kind}. Recipes whose {side} starts from "
            f"{actual}: {', '.join(fitting) or 'none'}."
        )
    return opened


def stack_config(opened: OpenedCheckpoint, side: str) -> BertGenerationConfig:
    """Returns the configuration of the stack that a side takes from a checkpoint."""
    config = opened.config
    return config.source_config if side == "encoder" else config.target_config


def choose_tokenizers(
    checkpoints: Mapping[str, OpenedCheckpoint], tokenizer: Tokenizer | None = None
) -> TokenizerPair:
    """Returns the tokenizers of a model: the given one, or those of its checkpoints.

    A side without a checkpoint gets the tokenizer of the other side.

    Raises:
      ConfigError: there is neither a tokenizer nor a checkpoint.
      TokenizerError: the tokenizer of a checkpoint is missing or corrupt.
    """
    if isinstance(tokenizer, str | os.PathLike):
        raise ConfigError(
            f"tokenizer is {os.fspath(tokenizer)!r}; expected a tokenizer, such as "
            "AutoTokenizer.from_pretrained of this path."
        )
    if tokenizer is not None:
        return TokenizerPair.of(tokenizer)
    if not checkpoints:
        raise ConfigError(
            "a recipe without checkpoints has no vocabulary of its own; expected "
            "tokenizer=, such as AutoTokenizer.from_pretrained(DIR)."
        )
    first = next(iter(checkpoints.values()))
    encoder = checkpoints.get("encoder", first)
    decoder = checkpoints.get("decoder", first)
    return TokenizerPair.of(encoder.tokenizer, decoder.tokenizer)
