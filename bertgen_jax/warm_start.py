"""Random params, a recipe and its checkpoints in; warm params and a report of them out.

The recipes are the paper's (section 3). What no checkpoint has stays as it was drawn:
cross-attention always, and the word rows of pieces that its vocabulary lacks.
"""

import os
import pathlib
from typing import Any

import numpy as np

from bertgen_jax import paths
from bertgen_jax.checkpoints import bert_maps, pretrained_stack, trees
from bertgen_jax.checkpoints.huggingface import WEIGHTS
from bertgen_jax.checkpoints.pretrained_stack import Array, PretrainedStack, Unused
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.presets import SIZES
from bertgen_jax.recipes import Recipe
from bertgen_jax.tokenizers import vocabularies
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer
from bertgen_jax.warm_start_report import Report, Row

Name = str | os.PathLike[str]

_SHARED = "decoder/bert"  # what the stacks share is kept in the decoder's


def warm_start(
    params: Any,
    config: EncoderDecoderConfig,
    recipe: Recipe,
    *,
    encoder: Name | None,
    decoder: Name | None,
    tokenizer: BertGenerationTokenizer,
) -> tuple[Any, Report]:
    """Puts checkpoints into params.

    Args:
      params: of an `EncoderDecoder`, randomly initialised.
      config: the model's; it says what is shared.
      recipe: says which side starts from which kind of checkpoint.
      encoder, decoder: their directories; see `find`.
      tokenizer: the model's. A row of the word table is that of the checkpoint's piece
        that stands for the same text (see `tokenizers.vocabularies`).

    Returns:
      Params of the same structure, in which the new leaves are numpy arrays; and what
      was done.

    Raises:
      ConfigError: the model is not of the checkpoint's architecture; or see `find`.
      CheckpointError: a checkpoint is missing, damaged or of another kind, or nothing
        in it fits.
      TokenizerError: so is its vocabulary.
    """
    directories = find(recipe, encoder=encoder, decoder=decoder)
    for side, directory in directories.items():
        kind = getattr(recipe, side)
        _check_architecture(side, getattr(config, side), directory, kind)
    kinds = {path: getattr(recipe, side) for side, path in directories.items()}
    stacks = {path: pretrained_stack.load(path, kind) for path, kind in kinds.items()}
    matches = {path: _match(stack, tokenizer) for path, stack in stacks.items()}
    origins = {
        _home(config, side, path): (directory, path)
        for side, directory in directories.items()
        for path in stacks[directory].arrays
    }

    leaves, rows = {}, []
    for name, leaf in trees.named(params).items():
        directory, path = origins.pop(name, (None, None))
        if path is None:
            leaves[name], row = leaf, Row(name, leaf.shape, "random")
        elif path == bert_maps.WORDS:
            table = stacks[directory].arrays[path]
            leaves[name], row = _word_rows(name, leaf, table, matches[directory])
        else:
            leaves[name], row = _whole(name, leaf, stacks[directory].arrays[path])
        rows.append(row)
    if origins:
        raise ConfigError(
            f"the params lack {', '.join(list(origins)[:3])}, ...; expected those of "
            "an EncoderDecoder of this config."
        )
    rows += _aliases(config, rows)

    unused = {}
    for directory, stack in stacks.items():
        positions = max(
            getattr(config, side).max_position_embeddings
            for side, found in directories.items()
            if found == directory
        )
        more = _unused_rows(stack, positions, matches[directory])
        unused[directory] = (*stack.unused, *more)
    return trees.like(params, leaves), Report(directories, tuple(rows), unused)


def find(
    recipe: Recipe, *, encoder: Name | None, decoder: Name | None
) -> dict[str, pathlib.Path]:
    """Finds the checkpoints of a recipe; of these, only config.json is read.

    Made to be called before hours of work: what is missing shows in no time.

    Args:
      recipe: says which side starts from which kind of checkpoint.
      encoder: the encoder's directory, absolute, or relative to BERTGEN_DATA_DIR or the
        working directory. None or "" where the recipe's encoder is random.
      decoder: likewise. Where both sides start from the same kind, it may be left out,
        and is the encoder's.

    Returns:
      The directory of each side that starts from one.

    Raises:
      ConfigError: a directory for a side that is random; two for sides that share.
      CheckpointError: a directory or a file in it is missing, or of another kind.
    """
    given = {"encoder": encoder, "decoder": decoder}
    if recipe.encoder == recipe.decoder:
        given["decoder"] = decoder or encoder
    found = {}
    for side, name in given.items():
        kind = getattr(recipe, side)
        if kind is not None:
            found[side] = _find(side, kind, os.fspath(name or ""))
        elif name:
            raise ConfigError(
                f"init.{side} is {os.fspath(name)!r}, but the {side} of the recipe "
                "starts from random weights; expected no checkpoint for it, or another "
                "recipe."
            )
    shares = recipe.share_stacks or recipe.share_embeddings
    if shares and len(set(found.values())) > 1:
        raise ConfigError(
            f"init.encoder is {found['encoder']}, init.decoder is {found['decoder']}, "
            "but in the recipe encoder and decoder share weights, which are one set of "
            "arrays; expected one checkpoint: leave init.decoder empty."
        )
    return found


def _find(side: str, kind: str, name: str) -> pathlib.Path:
    vocabulary = vocabularies.FORMATS[kind].file
    example = bert_maps.FAMILIES[kind].example
    ways = (
        f"Expected a Hugging Face directory of a {kind} checkpoint: config.json, "
        f"{WEIGHTS}, and {vocabulary} or {vocabularies.TOKENIZER_FILE}. Three ways to "
        f"go on: download one (`hf download {example} --local-dir "
        f"{example.rpartition('/')[2]}`); name one that you have, "
        f"--config.init.{side}=DIR, absolute or relative to BERTGEN_DATA_DIR; or start "
        "from random weights, --config.init.recipe=rnd2rnd."
    )
    if not name:
        raise CheckpointError(
            f"init.{side} is empty, but the {side} of the recipe starts from a {kind} "
            f"checkpoint. {ways}"
        )
    try:
        directory = paths.find(name, f"init.{side}").resolve()
    except ConfigError as error:
        raise CheckpointError(f"{error} {ways}") from error
    present = sorted(path.name for path in directory.glob("*"))
    missing = [file for file in ("config.json", WEIGHTS) if file not in present]
    if vocabularies.find(directory, kind) is None:
        missing.append(vocabulary)
    if missing:
        raise CheckpointError(
            f"init.{side}: {directory} lacks {' and '.join(missing)}; it holds "
            f"{', '.join(present[:10]) or 'nothing'}. {ways}"
        )
    pretrained_stack.read_config(directory, kind)
    return directory


# What decides which function a stack computes; the heads show in no shape.
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
_NUMERICS = ("hidden_act", "layer_norm_eps")


def _check_architecture(
    side: str, ours: BertGenerationConfig, directory: pathlib.Path, kind: str
) -> None:
    theirs = pretrained_stack.read_config(directory, kind)
    fields = [n for n in _SIZES + _NUMERICS if getattr(ours, n) != getattr(theirs, n)]
    if ours.max_position_embeddings > theirs.max_position_embeddings:
        fields.append("max_position_embeddings")
    if not fields:
        return
    found = [f"{n} {getattr(ours, n)} and {getattr(theirs, n)}" for n in fields]
    wanted = [f"model.{n}={getattr(theirs, n)}" for n in fields if n not in _SIZES]
    if set(fields) & set(_SIZES):
        sizes = (
            f"model.size={size}"
            for size, values in SIZES.items()
            if all(getattr(theirs, n) == value for n, value in values.items())
        )
        wanted.append(next(sizes, "a size of these values in models/presets.py"))
    raise ConfigError(
        f"the {side} of the model and {directory / 'config.json'} differ: "
        f"{'; '.join(found)}. The weights would not compute what they were trained to "
        f"compute; expected {', '.join(wanted)}, or another checkpoint. On the command "
        "line it is --config.model.FIELD=VALUE."
    )


def _home(config: EncoderDecoderConfig, side: str, path: str) -> str:
    """Where the params keep the array `path` of one side's stack."""
    shared = config.share_encoder_decoder or (
        config.share_embeddings and path.startswith("embeddings/")
    )
    return f"{_SHARED if shared or side == 'decoder' else side}/{path}"


def _match(
    stack: PretrainedStack, tokenizer: BertGenerationTokenizer
) -> vocabularies.Match:
    path = vocabularies.find(stack.directory, stack.kind)
    theirs = vocabularies.read(path, stack.kind)
    table = stack.arrays[bert_maps.WORDS]
    beyond = [n for n, row in theirs.pieces.items() if row >= len(table.values)]
    if beyond:
        raise CheckpointError(
            f"{path}: {beyond[0]!r} is row {theirs.pieces[beyond[0]]}, but "
            f"{table.source} has {len(table.values)} rows; expected the vocabulary of "
            "this checkpoint."
        )
    ours = vocabularies.of_tokenizer(tokenizer)
    match = vocabularies.match(ours, theirs, tokenizer.vocab_size)
    if match.counts.keys() <= {"role"}:
        raise CheckpointError(
            f"{path}: none of its {len(theirs.pieces):,} pieces is one of the "
            "tokenizer's, so every word would start at random; expected a vocabulary "
            "of the same script."
        )
    return match


def _whole(name: str, leaf: Any, array: Array) -> tuple[np.ndarray, Row]:
    """An array as it is, or as many positions as the model has."""
    values = np.ascontiguousarray(array.values[: leaf.shape[0]], leaf.dtype)
    source, action = array.source, "warm"
    if array.added:
        source, action = f"{source} + {array.added}", "folded"
    return values, Row(name, leaf.shape, action, source, warm=values.size)


def _word_rows(
    name: str, leaf: Any, array: Array, match: vocabularies.Match
) -> tuple[np.ndarray, Row]:
    """The word table f32[V, D] with the rows of the pieces that both have."""
    values = np.array(leaf)  # a copy: the rows of other pieces stay
    (known,) = np.nonzero(match.rows >= 0)
    values[known] = array.values[match.rows[known]]
    in_place = len(known) == len(values) and np.array_equal(match.rows[known], known)
    rules = ", ".join(f"{count:,} by {rule}" for rule, count in match.counts.items())
    return values, Row(
        name,
        leaf.shape,
        "warm" if in_place else "permuted",
        array.source,
        warm=len(known) * values.shape[1],
        note=f"{len(known):,} of {len(values):,} rows: {rules}",
    )


def _unused_rows(
    stack: PretrainedStack, positions: int, match: vocabularies.Match
) -> tuple[Unused, ...]:
    """Rows of the two tables that the model does not have."""
    unused = []
    for path, used, what in (
        (bert_maps.WORDS, len(np.unique(match.rows[match.rows >= 0])), "pieces"),
        (bert_maps.POSITIONS, positions, "positions"),
    ):
        array = stack.arrays[path]
        left = len(array.values) - used
        if left:
            reason = f"{left:,} rows, {what} that the model does not have"
            unused.append(Unused(array.source, array.values.shape, reason))
    return tuple(unused)


def _aliases(config: EncoderDecoderConfig, rows: list[Row]) -> list[Row]:
    """Rows for what is another parameter: a shared encoder, a tied softmax."""
    aliases = []
    for row in rows:
        path = row.parameter.removeprefix(f"{_SHARED}/")
        if path == row.parameter or "/crossattention/" in path:
            continue
        if _home(config, "encoder", path) == row.parameter:
            encoder = f"encoder/{path}"
            aliases.append(Row(encoder, row.shape, "shared", row.parameter))
        if path == bert_maps.WORDS and config.tie_word_embeddings:
            kernel = "decoder/lm_head/kernel"
            aliases.append(Row(kernel, row.shape[::-1], "tied", row.parameter))
    return aliases
