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

from bertgen_jax import rng
from bertgen_jax.errors import CheckpointError, ConfigError, nearest
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
    Seq2SeqConfig,
)
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.presets import SIZES
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.checkpoint import WORDS, Checkpoint
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import recipes, transfer
from bertgen_jax.warm_start.recipes import Recipe, Selection
from bertgen_jax.warm_start.report import Report

Name = str | os.PathLike[str]

POSITIONS = 512  # the longest text of the paper (section 2)

_EXAMPLES = {  # published checkpoints, for messages
    "bert": "google-bert/bert-base-cased",
    "roberta": "FacebookAI/roberta-base",
    "gpt2": "openai-community/gpt2",
}
_HEAD = {"lm_head_bias": False, "lm_head_transform": False}  # of the paper's models
# Fields that the recipe decides.
_DECIDED = {"is_decoder", "add_cross_attention", "tie_word_embeddings"}
# What the parameters were trained with, so that they compute what they did.
_NUMERICS = ("hidden_act", "layer_norm_eps", "pre_layer_norm")

_log = logging.getLogger(__name__)


def find(
    recipe: Recipe, *, encoder: Name | None, decoder: Name | None
) -> dict[str, OpenedCheckpoint]:
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
    by_name: dict[str, OpenedCheckpoint] = {}
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
        if name not in by_name:
            by_name[name] = _open(side, kind, name)
        found[side] = by_name[name]
    if recipe.share_stacks:
        _check_one_stack(found)
    return found


def _check_one_stack(found: Mapping[str, OpenedCheckpoint]) -> None:
    files = {side: opened.tensors.path for side, opened in found.items()}
    if len(set(files.values())) > 1:
        raise ConfigError(
            f"init.encoder is {files['encoder']}, init.decoder is {files['decoder']}, "
            "but in the recipe encoder and decoder share weights, which are one set of "
            "arrays; expected one checkpoint: leave init.decoder empty."
        )
    for opened in found.values():
        is_pair = isinstance(opened.config, EncoderDecoderConfig)
        if is_pair and not opened.config.share_encoder_decoder:
            raise CheckpointError(
                f"{opened.path} holds two stacks ({opened.format}), but in the recipe "
                "encoder and decoder are one; expected a checkpoint of one stack, or "
                "of two that share all weights."
            )


def _open(side: str, kind: str, name: str) -> OpenedCheckpoint:
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
    opened = detection.open_checkpoint(name, f"init.{side}", if_missing=ways)
    # BertGeneration's stacks, and those of a pair, are BERT's or RoBERTa's.
    config = stack_config(opened, side)
    fits = opened.kind == kind or (
        opened.kind in ("bert-generation", "encoder-decoder")
        and config.pre_layer_norm == (kind == "gpt2")
    )
    if not fits:
        found = "gpt2" if config.pre_layer_norm else opened.kind
        other = [n for n, r in recipes.RECIPES.items() if getattr(r, side) == found]
        raise CheckpointError(
            f"init.{side}: {opened.path} is of the kind {found} ({opened.format}), but "
            f"the recipe starts from {kind}. Recipes whose {side} starts from it: "
            f"{', '.join(other) or 'none'}."
        )
    return opened


def stack_config(opened: OpenedCheckpoint, side: str) -> BertGenerationConfig:
    """The architecture of what a side takes from a checkpoint."""
    config = opened.config
    if isinstance(config, PrefixLanguageModelConfig):
        return config.decoder
    return getattr(config, side) if isinstance(config, EncoderDecoderConfig) else config


def tokenizers_of(
    checkpoints: Mapping[str, OpenedCheckpoint], tokenizer: Tokenizer | None = None
) -> TokenizerPair:
    """The tokenizers of a model: the one given, or those of its checkpoints.

    Raises:
      ConfigError: neither is there.
      TokenizerError: a checkpoint has none.
    """
    if isinstance(tokenizer, str | os.PathLike):
        raise ConfigError(
            f"tokenizer is {os.fspath(tokenizer)!r}; expected a tokenizer, such as "
            "AutoTokenizer.from_pretrained of it."
        )
    if tokenizer is not None:
        return TokenizerPair.of(tokenizer)
    if not checkpoints:
        raise ConfigError(
            "a recipe without checkpoints has no vocabulary of its own; expected "
            "tokenizer=, such as AutoTokenizer.from_pretrained(DIR)."
        )
    first = next(iter(checkpoints.values()))
    source, target = (
        checkpoints.get(side, first).tokenizer for side in ("encoder", "decoder")
    )
    return TokenizerPair.of(source, target)


def model_config(
    recipe: Recipe,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
    size: str,
    settings: Mapping[str, Any],
) -> Seq2SeqConfig:
    """The architecture of a model: its checkpoints', its tokenizers', the recipe's.

    Args:
      recipe: says what is shared.
      checkpoints: see `find`.
      tokenizers: their vocabularies and special ids.
      selection: says how many layers.
      size: a name in `models.presets.SIZES`, where no checkpoint says it.
      settings: fields of `BertGenerationConfig` that win over the checkpoints'.

    Raises:
      ConfigError: no such size or field; fewer rows of words than a vocabulary has; a
        selection that the checkpoints do not have; or two vocabularies for one table.
    """
    _check_settings(settings, size, tokenizers)
    stacks = {side: stack_config(opened, side) for side, opened in checkpoints.items()}
    _check_selection(selection, checkpoints, stacks, settings)
    if recipe.share_stacks and not tokenizers.is_one:
        raise ConfigError(
            "the tokenizers of sources and targets differ, but in the recipe encoder "
            "and decoder are one stack, with one word table; expected one tokenizer "
            "(leave tokenizer.decoder_path empty), or a recipe with two stacks."
        )
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
        if side in checkpoints:
            rows = _rows(checkpoints[side], stacks[side].vocab_size, tokenizer)
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
    is_one_file = len({opened.tensors.path for opened in checkpoints.values()}) <= 1
    configs = [opened.config for opened in checkpoints.values()]
    pairs = [one for one in configs if isinstance(one, EncoderDecoderConfig)]
    is_shared = len(checkpoints) < 2 or all(pair.shares(WORDS) for pair in pairs)
    return assemble(
        recipe,
        stacks,
        vocabularies,
        {**SIZES[size], "max_position_embeddings": POSITIONS},
        settings,
        share_embeddings=is_one_file and is_shared and tokenizers.is_one,
    )


def _check_settings(
    settings: Mapping[str, Any], size: str, tokenizers: TokenizerPair
) -> None:
    if size not in SIZES:
        raise ConfigError(
            f"size is {size!r}; expected one of {', '.join(SIZES)}."
            f"{nearest(size, SIZES)}"
        )
    fields = {field.name for field in dataclasses.fields(BertGenerationConfig)}
    known = sorted(fields - _DECIDED)
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"{name} is no setting of a warm start; expected one of "
                f"{', '.join(known)}.{nearest(name, known)}"
            )
    pieces = max(tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    rows = settings.get("vocab_size")
    if isinstance(rows, int) and rows < pieces:
        raise ConfigError(
            f"vocab_size is {rows}; expected at least {pieces}, as the tokenizer has "
            "pieces."
        )


def _check_selection(
    selection: Selection,
    checkpoints: Mapping[str, OpenedCheckpoint],
    stacks: Mapping[str, BertGenerationConfig],
    settings: Mapping[str, Any],
) -> None:
    """Refuses what transfer would only find out after hours of tokenization."""
    if not checkpoints and selection != Selection():
        raise ConfigError(
            "init.parts, init.layers or init.mlm_bias choose from checkpoints, but the "
            "recipe starts from none; expected them to be left alone."
        )
    for side, stack in stacks.items():
        missing = [n for n in selection.layers if n > stack.num_hidden_layers]
        if missing:
            raise ConfigError(
                f"init.layers asks for layer {missing[0]}; "
                f"{checkpoints[side].path} has {stack.num_hidden_layers}."
            )
    if not selection.mlm_bias:
        return
    if not settings.get("lm_head_bias"):
        raise ConfigError(
            "init.mlm_bias is set, but the softmax has no bias; expected "
            "lm_head_bias=True as well."
        )
    if "decoder" not in checkpoints or not checkpoints["decoder"].mlm_bias:
        raise ConfigError(
            "init.mlm_bias is set, but the decoder does not start from a checkpoint "
            "with a masked-LM head; expected BERT's or RoBERTa's whole file."
        )


def _rows(opened: OpenedCheckpoint, rows: int, tokenizer: Tokenizer) -> int:
    """Rows of a word table: those of the checkpoint, if the vocabulary is its own."""
    is_own = opened.tokenizer.get_vocab() == tokenizer.get_vocab()
    return max(rows, tokenizer.vocab_size) if is_own else tokenizer.vocab_size


def assemble(
    recipe: Recipe,
    stacks: Mapping[str, BertGenerationConfig],
    vocabularies: Mapping[str, Mapping[str, Any]],
    size: Mapping[str, int],
    settings: Mapping[str, Any],
    share_embeddings: bool = True,
) -> Seq2SeqConfig:
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
    asked = stated.pop("max_position_embeddings", None)
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
            max_position_embeddings=_positions(side, asked, base, bool(stacks)),
            **{**_HEAD, **vocabularies[side], **stated},
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


def _positions(
    side: str, asked: int | None, stack: BertGenerationConfig, is_warm: bool
) -> int:
    """As many as are asked for, or as in the paper; but no more than there are."""
    wanted = POSITIONS if asked is None else asked
    if not is_warm:
        return wanted
    there = stack.max_position_embeddings
    if asked is not None and asked > there:
        _log.warning(
            "the %s has %d positions, as its checkpoint has, instead of %d",
            side,
            there,
            asked,
        )
    return min(wanted, there)


def random_params(model: Seq2SeqModel, seed: int) -> dict[str, Any]:
    """Parameters as new models have them, by the stream "init" of a seed."""
    ids = np.zeros((1, 2), np.int32)
    init = jax.jit(lambda key: model.init(key, ids, None, ids)["params"])
    return init(rng.key(seed, "init"))


def fill(
    params: Any,
    config: Seq2SeqConfig,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
) -> tuple[Any, Report]:
    """Reads the checkpoints and puts them into params; see `transfer`."""
    read: dict[pathlib.Path, Checkpoint] = {}  # by file
    stacks = {}
    for side, opened in checkpoints.items():
        file = opened.tensors.path
        if file not in read:
            read[file] = checkpoint.load(opened)
        stacks[side] = checkpoint.stack_of(read[file], side)
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
