"""Transfers the parameters of checkpoints into randomly initialised parameters.

What no checkpoint has stays random: cross-attention always (paper, section 3), and the
word rows of pieces that the vocabulary of the checkpoint lacks.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import DECODER_STACK, Seq2SeqConfig
from bertgen_jax.models.stack_config import POSITION_TABLE, WORD_TABLE
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.checkpoint import Array, Checkpoint, Unused
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.trees import Params
from bertgen_jax.warm_start import vocabulary_matching
from bertgen_jax.warm_start.recipes import Selection
from bertgen_jax.warm_start.report import Report, Row
from bertgen_jax.warm_start.vocabulary_matching import Match

_LAYER = re.compile(r"layer_(\d+)/")
_OUTPUT_BIAS = "decoder/lm_head/bias"
_OUTPUT_KERNEL = "decoder/lm_head/kernel"


@dataclasses.dataclass(frozen=True)
class WarmSide:
    """What one side of a model takes from a checkpoint.

    Attributes:
      stack: the stack that the side starts from, its arrays by their paths in an
        encoder.
      match: where the rows of the model's word table are in that of the stack.
      arrays: the arrays that are used, by their paths in the model's stack.
      reasons: why the other tensors are not used.
    """

    stack: Checkpoint
    match: Match
    arrays: Mapping[str, Array]
    reasons: Mapping[str, str]


def transfer(
    params: Params,
    config: Seq2SeqConfig,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
) -> tuple[Params, Report]:
    """Reads checkpoints and puts their parameters into those of a model.

    Args:
      params: randomly initialised parameters of the model.
      config: the architecture of the model; it says what is shared.
      checkpoints: by side, see `opening.open_checkpoints`. Without any, the params stay
        as they are.
      tokenizers: the model's. Each row of a word table comes from the checkpoint's
        piece for the same text (see `vocabulary_matching`).
      selection: which part of the checkpoints is used.

    Returns:
      Params of the same structure, in which the transferred leaves are numpy arrays;
      and a report with a row for each parameter and each unused tensor.

    Raises:
      ConfigError: a layer does not exist, or the params are of another model.
      CheckpointError: a tensor is damaged; nothing fits, because no piece of a
        vocabulary is one of the model's; or two arrays would be one parameter.
      TokenizerError: a vocabulary is missing or damaged.
    """
    stacks = _read_stacks(checkpoints)
    sides = {
        name: _warm_side(name, stack, config, tokenizers, selection)
        for name, stack in stacks.items()
    }
    origins = _origins(config, sides)
    bias = sides["decoder"].stack.mlm_bias if selection.mlm_bias else None
    used: dict[pathlib.Path, list[Array]] = {}  # by file
    leaves, rows = {}, []
    for name, leaf in trees.named(params).items():
        side, path = origins.pop(name, (None, ""))
        array = side.arrays[path] if side else None
        if side is None and name == _OUTPUT_BIAS and bias is not None:
            side, array = sides["decoder"], bias
        if side is None or array is None:
            leaves[name], row = leaf, Row(name, leaf.shape, "random")
        elif path == WORD_TABLE or array is bias:
            leaves[name], row = _matched_rows(name, leaf, array, side.match)
        else:
            leaves[name], row = _whole(name, leaf, array, path == POSITION_TABLE)
        rows.append(row)
        if side is not None and array is not None:
            used.setdefault(side.stack.file, []).append(array)
    if origins:
        raise ConfigError(
            f"the params lack {', '.join(list(origins)[:3])}, ..., which the "
            "checkpoint has; expected a model with all of its layers, or init.layers "
            "to select some."
        )
    if stacks and not any(row.warm for row in rows):
        raise CheckpointError(
            "no parameter came from a checkpoint; expected some. Choose another "
            "init.parts."
        )
    rows += _aliases(config, rows)
    return trees.like(params, leaves), Report(
        {name: f"{stack.file}: {stack.format}" for name, stack in stacks.items()},
        tuple(rows),
        _unused(config, sides, used),
    )


def _read_stacks(checkpoints: Mapping[str, OpenedCheckpoint]) -> dict[str, Checkpoint]:
    """Reads the stack of each side; a file that serves both sides is read once."""
    by_file: dict[pathlib.Path, Checkpoint] = {}
    stacks = {}
    for side, opened in checkpoints.items():
        file = opened.tensors.path
        if file not in by_file:
            by_file[file] = checkpoint.load(opened)
        stacks[side] = checkpoint.stack_of(by_file[file], side)
    return stacks


def _warm_side(
    name: str,
    stack: Checkpoint,
    config: Seq2SeqConfig,
    tokenizers: TokenizerPair,
    selection: Selection,
) -> WarmSide:
    """Selects the arrays of a stack and the layers that they become."""
    tokenizer = tokenizers.source if name == "encoder" else tokenizers.target
    match = _match(stack, tokenizer, config.stacks[name].vocab_size)
    layers = stack.config.source_config.num_hidden_layers
    numbers = selection.layers or range(1, layers + 1)
    new_layers: dict[int, list[int]] = {}  # by layer of the checkpoint, from 0
    for new_layer, number in enumerate(numbers):
        new_layers.setdefault(number - 1, []).append(new_layer)
    arrays: dict[str, Array] = {}
    reasons = dict(stack.reasons)
    for path, array in stack.arrays.items():
        is_embedding = path.startswith("embeddings/")
        layer = _LAYER.match(path)
        targets = [path]
        if layer:
            targets = [
                _LAYER.sub(f"layer_{new_layer}/", path, count=1)
                for new_layer in new_layers.get(int(layer[1]), [])
            ]
        reason = "" if targets else "a layer that was not chosen (init.layers)"
        if selection.parts != "all" and is_embedding != (
            selection.parts == "embeddings"
        ):
            reason = f"left out on purpose (init.parts={selection.parts})"
        if reason:
            reasons.update(dict.fromkeys(array.tensors, reason))
        else:
            arrays.update(dict.fromkeys(targets, array))
    return WarmSide(stack, match, arrays, reasons)


def _origins(
    config: Seq2SeqConfig, sides: Mapping[str, WarmSide]
) -> dict[str, tuple[WarmSide, str]]:
    """Returns the origin of each parameter: a side and the path of one of its arrays.

    Raises:
      CheckpointError: the sides of the model share a parameter, and those of the
        checkpoints do not.
    """
    origins: dict[str, tuple[WarmSide, str]] = {}
    for name, side in sides.items():
        for path, array in side.arrays.items():
            parameter = config.param_path(name, path)
            first, first_path = origins.setdefault(parameter, (side, path))
            origin = f"{side.stack.file}: {array.origin}"
            first_origin = f"{first.stack.file}: {first.arrays[first_path].origin}"
            if origin != first_origin:
                raise CheckpointError(
                    f"{first_origin} and {origin} would both be {parameter}, which "
                    "encoder and decoder of the model share; expected a checkpoint "
                    "whose stacks share it, or a recipe that does not."
                )
    return origins


def _match(stack: Checkpoint, tokenizer: Tokenizer, size: int) -> Match:
    """Matches the rows of the model's word table with those of the stack's.

    Raises:
      CheckpointError: the vocabulary does not fit the stack, or has no common piece.
    """
    words = stack.arrays[WORD_TABLE]
    rows = len(words.values)
    if stack.tokenizer.get_vocab() == tokenizer.get_vocab() and size <= rows:
        # The same vocabulary: keep the rows that no piece has, too.
        return Match(np.arange(size), {"identity": size})
    if stack.tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"{stack.path}: its tokenizer has {stack.tokenizer.vocab_size:,} pieces, "
            f"but {words.origin} has {rows:,} rows; expected the vocabulary of this "
            "checkpoint."
        )
    match = vocabulary_matching.match(
        vocabulary_matching.of_tokenizer(tokenizer),
        vocabulary_matching.of_tokenizer(stack.tokenizer),
        size,
    )
    if match.counts.keys() <= {"role"}:
        raise CheckpointError(
            f"{stack.path}: none of its {stack.tokenizer.vocab_size:,} pieces is a "
            "piece of the tokenizer, so every word would start at random; expected a "
            "vocabulary of the same script."
        )
    return match


def _whole(
    name: str, leaf: Any, array: Array, are_positions: bool
) -> tuple[np.ndarray, Row]:
    """Copies an array; of a position table, as many rows as the model has."""
    values = array.values[: leaf.shape[0]] if are_positions else array.values
    if values.shape != leaf.shape:
        raise ConfigError(
            f"{name} is {list(leaf.shape)} in the model, and {array.origin} is "
            f"{list(array.values.shape)}; expected a model of the checkpoint's sizes."
        )
    # A copy, so that the params do not depend on the file.
    values = np.array(values, leaf.dtype, order="C")
    action = "folded" if array.added else "warm"
    return values, Row(name, leaf.shape, action, array.origin, warm=values.size)


def _matched_rows(
    name: str, leaf: Any, array: Array, match: Match
) -> tuple[np.ndarray, Row]:
    """Returns a table f32[V, ...] in which the matched rows are the checkpoint's."""
    values = np.array(leaf)  # a copy: the rows of other pieces stay random
    (matched,) = np.nonzero(match.rows >= 0)
    values[matched] = array.values[match.rows[matched]]
    in_place = len(matched) == len(values) and np.array_equal(
        match.rows[matched], matched
    )
    rules = ", ".join(f"{count:,} by {rule}" for rule, count in match.counts.items())
    return values, Row(
        name,
        leaf.shape,
        "warm" if in_place else "permuted",
        array.origin,
        warm=values[matched].size,
        note=f"{len(matched):,} of {len(values):,} rows: {rules}",
    )


def _unused(
    config: Seq2SeqConfig,
    sides: Mapping[str, WarmSide],
    used: Mapping[pathlib.Path, Sequence[Array]],
) -> dict[str, tuple[Unused, ...]]:
    """Returns, by file, the tensors and rows that no side uses."""
    unused = {}
    for file in dict.fromkeys(side.stack.file for side in sides.values()):
        of_file = {n: side for n, side in sides.items() if side.stack.file == file}
        stack = next(iter(of_file.values())).stack
        reasons: dict[str, str] = {}
        for side in of_file.values():
            reasons |= side.reasons
        left_rows = [*stack.left_rows, *_left_rows(config, of_file, stack.shapes)]
        unused[str(file)] = checkpoint.unused(
            used.get(file, ()), stack.shapes, reasons, left_rows
        )
    return unused


def _left_rows(
    config: Seq2SeqConfig,
    sides: Mapping[str, WarmSide],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Unused]:
    """Returns the rows of words and positions of a file that none of its sides uses."""
    used: dict[str, tuple[Array, str, list[np.ndarray]]] = {}
    for name, side in sides.items():
        positions = config.stacks[name].max_position_embeddings
        for path, kind, rows in (
            (WORD_TABLE, "pieces", side.match.rows[side.match.rows >= 0]),
            (POSITION_TABLE, "positions", np.arange(positions)),
        ):
            if path in side.arrays:
                array = side.arrays[path]
                used.setdefault(array.tensor, (array, kind, []))[2].append(rows)
    left = []
    for tensor, (array, kind, rows) in used.items():
        count = len(array.values) - len(np.unique(np.concatenate(rows)))
        if count > 0:
            reason = f"{kind} that the model does not have"
            left.append(Unused(tensor, shapes[tensor], reason, count))
    return left


def _aliases(config: Seq2SeqConfig, rows: Sequence[Row]) -> list[Row]:
    """Returns rows for parameters that are another one: shared, or a tied softmax."""
    aliases = []
    for row in rows:
        path = row.parameter.removeprefix(f"{DECODER_STACK}/")
        if path == row.parameter or "/crossattention/" in path:
            continue
        is_shared = config.param_path("encoder", path) == row.parameter
        if "encoder" in config.stacks and is_shared:
            aliases.append(Row(f"encoder/{path}", row.shape, "shared", row.parameter))
        if path == WORD_TABLE and config.target_config.tie_word_embeddings:
            shape = row.shape[::-1]
            aliases.append(Row(_OUTPUT_KERNEL, shape, "tied", row.parameter))
    return aliases
