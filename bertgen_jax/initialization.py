"""A recipe and its checkpoints in; architecture, first params and a report out."""

import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bertgen_jax import randomness, recipes, transfer
from bertgen_jax.checkpoints import checkpoint
from bertgen_jax.checkpoints.checkpoint import Checkpoint
from bertgen_jax.checkpoints.formats import detection
from bertgen_jax.checkpoints.source import Source
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.presets import SIZES
from bertgen_jax.recipes import Recipe, Selection
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start_report import Report

Name = str | os.PathLike[str]
Model = EncoderDecoder | PrefixLanguageModel
ModelConfig = EncoderDecoderConfig | PrefixLanguageModelConfig

POSITIONS = 512  # the longest text of the paper (section 2)

_EXAMPLES = {  # published checkpoints, for messages
    "bert": "google-bert/bert-base-cased",
    "roberta": "FacebookAI/roberta-base",
    "gpt2": "openai-community/gpt2",
}
# What the parameters were trained with, so that they compute what they did.
_NUMERICS = ("hidden_act", "layer_norm_eps", "pre_layer_norm")

_log = logging.getLogger(__name__)


def find(
    recipe: Recipe, *, encoder: Name | None, decoder: Name | None
) -> dict[str, Source]:
    """Opens the checkpoints of a recipe; of these, only headers are read.

    Made to be called before hours of work: what is missing shows in no time.

    Args:
      recipe: says which side starts from which kind of checkpoint.
      encoder, decoder: see `warm_start`.

    Returns:
      What each side starts from.

    Raises:
      ConfigError: a checkpoint for a side that is random; two for sides that share.
      CheckpointError: a checkpoint is missing, damaged or of another kind.
    """
    given = {"encoder": os.fspath(encoder or ""), "decoder": os.fspath(decoder or "")}
    if recipe.encoder == recipe.decoder:
        given["decoder"] = given["decoder"] or given["encoder"]
    opened: dict[str, Source] = {}
    found = {}
    for side, name in given.items():
        kind = getattr(recipe, side)
        if kind is None:
            if name:
                raise ConfigError(
                    f"init.{side} is {name!r}, but the {side} of the recipe starts "
                    "from random weights; expected no checkpoint for it, or another "
                    "recipe."
                )
            continue
        if name not in opened:
            opened[name] = _open(side, kind, name)
        found[side] = opened[name]
    if recipe.share_stacks and len({source.path for source in found.values()}) > 1:
        raise ConfigError(
            f"init.encoder is {found['encoder'].path}, init.decoder is "
            f"{found['decoder'].path}, but in the recipe encoder and decoder share "
            "weights, which are one set of arrays; expected one checkpoint: leave "
            "init.decoder empty."
        )
    return found


def _open(side: str, kind: str, name: str) -> Source:
    ways = (
        f"Expected a {kind} checkpoint. Three ways to go on: download one (`hf "
        f"download {_EXAMPLES[kind]} --local-dir "
        f"{_EXAMPLES[kind].rpartition('/')[2]}`); name one that you have, "
        f"--config.init.{side}=DIR, absolute or relative to BERTGEN_DATA_DIR; or start "
        "from random weights, --config.init.recipe=rnd2rnd."
    )
    if not name:
        raise CheckpointError(
            f"init.{side} is empty, but the {side} of the recipe starts from a {kind} "
            f"checkpoint. {ways}"
        )
    try:
        detection.locate(name, f"init.{side}")
    except CheckpointError as error:
        raise CheckpointError(f"{error} {ways}") from error
    source = detection.open_source(name, f"init.{side}")
    # BertGeneration's stacks, and those of a pair, are BERT's or RoBERTa's.
    config = stack_config(source, side)
    fits = source.kind == kind or (
        source.kind in ("bert-generation", "encoder-decoder")
        and config.pre_layer_norm == (kind == "gpt2")
    )
    if not fits:
        other = [
            n for n, r in recipes.RECIPES.items() if getattr(r, side) == source.kind
        ]
        raise CheckpointError(
            f"init.{side}: {source.path} is a {source.kind} model ({source.format}); "
            f"the recipe starts from {kind}. Recipes for it: {', '.join(other)}."
        )
    return source


def stack_config(source: Source, side: str) -> BertGenerationConfig:
    """The architecture of what a side takes from a source."""
    if isinstance(source.config, EncoderDecoderConfig):
        return getattr(source.config, side)
    return source.config


def tokenizers_of(
    sources: Mapping[str, Source], tokenizer: Tokenizer | None = None
) -> TokenizerPair:
    """The tokenizers of a model: the one given, or those of its checkpoints.

    Raises:
      ConfigError: neither is there.
      TokenizerError: a checkpoint has none.
    """
    if tokenizer is not None:
        return TokenizerPair.of(tokenizer)
    if not sources:
        raise ConfigError(
            "a recipe without checkpoints has no vocabulary of its own; expected "
            "tokenizer=, such as AutoTokenizer.from_pretrained(DIR)."
        )
    made = {
        source.path: AutoTokenizer.from_pretrained(source.path)
        for source in sources.values()
    }
    first = next(iter(sources.values()))
    source, target = (sources.get(side, first) for side in ("encoder", "decoder"))
    return TokenizerPair.of(made[source.path], made[target.path])


def model_config(
    recipe: Recipe,
    sources: Mapping[str, Source],
    tokenizers: TokenizerPair,
    selection: Selection,
    size: str,
    settings: Mapping[str, Any],
) -> ModelConfig:
    """The architecture of a model: its checkpoints', its tokenizers', the recipe's.

    Args:
      recipe: says what is shared.
      sources: see `find`.
      tokenizers: their vocabularies and special ids.
      selection: says how many layers.
      size: a name in `models.presets.SIZES`, where no checkpoint says it.
      settings: fields of `BertGenerationConfig` that win over the checkpoints'.
    """
    stacks = {side: stack_config(source, side) for side, source in sources.items()}
    if selection.layers:
        count = len(selection.layers)
        stacks = {
            side: dataclasses.replace(stack, num_hidden_layers=count)
            for side, stack in stacks.items()
        }
    vocabularies = {}
    for side, tokenizer in (
        ("encoder", tokenizers.source),
        ("decoder", tokenizers.target),
    ):
        rows = tokenizer.vocab_size
        if side in sources:
            rows = _rows(sources[side], stacks[side].vocab_size, tokenizer)
        ids = tokenizer.special_ids
        vocabularies[side] = {
            "vocab_size": rows,
            "pad_token_id": ids.pad,
            "bos_token_id": ids.bos,
            "eos_token_id": ids.eos,
        }
    if tokenizers.is_one:  # one vocabulary, so one number of rows
        rows = max(values["vocab_size"] for values in vocabularies.values())
        for values in vocabularies.values():
            values["vocab_size"] = rows
    one_source = len({source.path for source in sources.values()}) <= 1
    return assemble(
        recipe,
        stacks,
        vocabularies,
        {**SIZES[size], "max_position_embeddings": POSITIONS},
        settings,
        share_embeddings=one_source and tokenizers.is_one,
    )


def _rows(source: Source, rows: int, tokenizer: Tokenizer) -> int:
    """Rows of a word table: those of the checkpoint, if the vocabulary is its own."""
    theirs = AutoTokenizer.from_pretrained(source.path)
    is_own = theirs.get_vocab() == tokenizer.get_vocab()
    return max(rows, tokenizer.vocab_size) if is_own else tokenizer.vocab_size


def assemble(
    recipe: Recipe,
    stacks: Mapping[str, BertGenerationConfig],
    vocabularies: Mapping[str, Mapping[str, Any]],
    size: Mapping[str, int],
    settings: Mapping[str, Any],
    share_embeddings: bool = True,
) -> ModelConfig:
    """Puts a model together from the architectures of its sides.

    A random side has the sizes of the warm one, as in the paper; but its block is
    BERT's. Positions beyond those of the paper are left out.

    Args:
      recipe: says what is shared.
      stacks: of the sides that start from a checkpoint.
      vocabularies: for each side `vocab_size` and special ids.
      size: fields of a model that starts from none.
      settings: fields that win over all others.
      share_embeddings: whether the two sides can share their tables at all.
    """
    stated = {name: value for name, value in settings.items() if value is not None}
    longest = stated.pop("max_position_embeddings", POSITIONS)
    sides = {}
    for side in ("encoder", "decoder"):
        other = next(iter(stacks.values()), None)
        base = stacks.get(side, other) or BertGenerationConfig(**size)
        if side not in stacks and other is not None:  # random beside a warm one
            plain = {n: getattr(BertGenerationConfig(), n) for n in _NUMERICS}
            base = dataclasses.replace(base, **plain)
        sides[side] = dataclasses.replace(
            base,
            is_decoder=False,
            add_cross_attention=False,
            tie_word_embeddings=True,
            max_position_embeddings=min(longest, base.max_position_embeddings)
            if stacks
            else longest,
            **{"lm_head_bias": False, **vocabularies[side], **stated},
        )
    start = vocabularies["decoder"]["bos_token_id"]
    if recipe.decoder_only:
        decoder = dataclasses.replace(sides["decoder"], is_decoder=True)
        return PrefixLanguageModelConfig(decoder, decoder_start_token_id=start)
    return EncoderDecoderConfig.from_stacks(
        sides["encoder"],
        sides["decoder"],
        share_encoder_decoder=recipe.share_stacks,
        share_embeddings=(
            recipe.share_embeddings and share_embeddings and not recipe.share_stacks
        ),
        decoder_start_token_id=start,
    )


def random_params(model: Model, seed: int) -> dict[str, Any]:
    """Parameters as new models have them, by the stream "init" of a seed."""
    ids = np.zeros((1, 2), np.int32)
    init = jax.jit(lambda key: model.init(key, ids, None, ids)["params"])
    return init(randomness.key(seed, "init"))


def fill(
    params: Any,
    config: ModelConfig,
    sources: Mapping[str, Source],
    tokenizers: TokenizerPair,
    selection: Selection,
) -> tuple[Any, Report]:
    """Reads the checkpoints and puts them into params; see `transfer`."""
    read: dict[pathlib.Path, Checkpoint] = {}
    stacks = {}
    for side, source in sources.items():
        if source.path not in read:
            read[source.path] = checkpoint.load(source)
        stacks[side] = checkpoint.stack_of(read[source.path], side)
    return transfer.transfer(params, config, stacks, tokenizers, selection)


def write_report(report: Report, path: Name) -> None:
    """Writes a report as JSON.

    Raises:
      CheckpointError: the file cannot be written.
    """
    text = json.dumps(report.to_dict(), indent=1)
    try:
        pathlib.Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(
            f"{path}: the report cannot be written ({error.strerror})."
        ) from error
