"""Random params and the stacks of checkpoints in; warm params and a report of them out.

What no checkpoint has stays as it was drawn: cross-attention always (paper, section 3),
and the word rows of pieces that its vocabulary lacks.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.checkpoint import (
    POSITIONS,
    WORDS,
    Array,
    Checkpoint,
    Unused,
)
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import vocabularies
from bertgen_jax.warm_start.recipes import Selection
from bertgen_jax.warm_start.report import Report, Row

_DECODER = "decoder/bert"  # where the params keep it, and what the encoder shares
_LAYER = re.compile(r"layer_(\d+)/")
_BIAS = "decoder/lm_head/bias"


@dataclasses.dataclass(frozen=True)
class Side:
    """What one side of a model starts from.

    Attributes:
      stack: a single stack, its arrays by the paths of an encoder.
      match: which of its word rows the model's rows are.
      arrays: those of its arrays that are taken, by their paths in the model's stack.
      reasons: why tensors are not among them.
    """

    stack: Checkpoint
    match: vocabularies.Match
    arrays: Mapping[str, Array]
    reasons: Mapping[str, str]


def transfer(
    params: Any,
    config: Any,
    stacks: Mapping[str, Checkpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
) -> tuple[Any, Report]:
    """Puts stacks into params.

    Args:
      params: of an `EncoderDecoder` or a `PrefixLanguageModel`, randomly initialised.
      config: the model's; it says what is shared.
      stacks: for each side that is warm, an encoder's stack; of equal architecture.
        None at all leaves the params as they are.
      tokenizers: the model's. A row of a word table is that of the checkpoint's piece
        that stands for the same text (see `tokenizers.vocabularies`).
      selection: which part of the stacks.

    Returns:
      Params of the same structure, in which the new leaves are numpy arrays; and what
      was done.

    Raises:
      ConfigError: a layer that there is not, or params of another model.
      CheckpointError: nothing fits: no piece of a vocabulary is one of the model's; or
        two arrays would be one parameter.
      TokenizerError: a vocabulary is missing or damaged.
    """
    sides = {
        name: _side(name, stack, config, tokenizers, selection)
        for name, stack in stacks.items()
    }
    origins = _origins(config, sides)
    bias = sides["decoder"].stack.mlm_bias if selection.mlm_bias else None
    taken: dict[pathlib.Path, list[Array]] = {}  # by file
    leaves, rows = {}, []
    for name, leaf in trees.named(params).items():
        side, path = origins.pop(name, (None, ""))
        array = side.arrays[path] if side else None
        if side is None and name == _BIAS and bias is not None:
            side, array = sides["decoder"], bias
        if side is None:
            leaves[name], row = leaf, Row(name, leaf.shape, "random")
        elif path == WORDS or array is bias:
            leaves[name], row = _word_rows(name, leaf, array, side.match)
        else:
            leaves[name], row = _whole(name, leaf, array, path == POSITIONS)
        rows.append(row)
        if array is not None:
            taken.setdefault(side.stack.file, []).append(array)
    if origins:
        raise ConfigError(
            f"the params lack {', '.join(list(origins)[:3])}, ..., which the "
            "checkpoint has; expected a model with all of its layers, or init.layers "
            "to name some."
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
        _unused(config, sides, taken),
    )


def _side(
    name: str,
    stack: Checkpoint,
    config: Any,
    tokenizers: TokenizerPair,
    selection: Selection,
) -> Side:
    tokenizer = tokenizers.source if name == "encoder" else tokenizers.target
    size = getattr(config, name).vocab_size
    match = _match(stack, tokenizer, size)
    numbers = selection.layers or range(1, stack.config.num_hidden_layers + 1)
    places: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        places.setdefault(number - 1, []).append(place)
    arrays, reasons = {}, dict(stack.reasons)
    for path, array in stack.arrays.items():
        is_embedding = path.startswith("embeddings/")
        found = _LAYER.match(path)
        targets = [path]
        if found:
            chosen = places.get(int(found[1]), [])
            targets = [_LAYER.sub(f"layer_{p}/", path, count=1) for p in chosen]
        reason = "" if targets else "a layer that was not chosen (init.layers)"
        if selection.parts != "all" and is_embedding != (
            selection.parts == "embeddings"
        ):
            reason = f"left out on purpose (init.parts={selection.parts})"
        if reason:
            reasons.update(dict.fromkeys(array.tensors, reason))
        else:
            arrays.update(dict.fromkeys(targets, array))
    return Side(stack, match, arrays, reasons)


def _origins(config: Any, sides: Mapping[str, Side]) -> dict[str, tuple[Side, str]]:
    """By the path of a parameter, the side that it comes from and the path there.

    Raises:
      CheckpointError: the sides of the model share it, those of the checkpoint do not.
    """
    origins: dict[str, tuple[Side, str]] = {}
    for name, side in sides.items():
        for path, array in side.arrays.items():
            home = _home(config, name, path)
            other, there = origins.setdefault(home, (side, path))
            found = f"{side.stack.file}: {array.origin}"
            before = f"{other.stack.file}: {other.arrays[there].origin}"
            if found != before:
                raise CheckpointError(
                    f"{before} and {found} would both be {home}, which the sides of "
                    "the model share; expected a checkpoint whose sides share it, or a "
                    "recipe that does not."
                )
    return origins


def _home(config: Any, side: str, path: str) -> str:
    """Where the params keep the array `path` of one side's stack."""
    if side == "decoder" or not isinstance(config, EncoderDecoderConfig):
        return f"{_DECODER}/{path}"
    return f"{_DECODER if config.shares(path) else side}/{path}"


def _match(stack: Checkpoint, tokenizer: Tokenizer, size: int) -> vocabularies.Match:
    """Which row of the checkpoint's word table each row of the model's is."""
    theirs = stack.tokenizer
    rows = len(stack.arrays[WORDS].values)
    if theirs.get_vocab() == tokenizer.get_vocab() and size <= rows:
        # Its own vocabulary: rows that no piece has come along as well.
        return vocabularies.Match(np.arange(size), {"identity": size})
    if theirs.vocab_size > rows:
        raise CheckpointError(
            f"{stack.path}: its tokenizer has {theirs.vocab_size:,} pieces, but "
            f"{stack.arrays[WORDS].origin} has {rows:,} rows; expected the vocabulary "
            "of this checkpoint."
        )
    match = vocabularies.match(
        vocabularies.of_tokenizer(tokenizer), vocabularies.of_tokenizer(theirs), size
    )
    if match.counts.keys() <= {"role"}:
        raise CheckpointError(
            f"{stack.path}: none of its {theirs.vocab_size:,} pieces is one of the "
            "tokenizer's, so every word would start at random; expected a vocabulary "
            "of the same script."
        )
    return match


def _whole(
    name: str, leaf: Any, array: Array, are_positions: bool
) -> tuple[np.ndarray, Row]:
    """An array as it is; of positions as many as the model has."""
    values = array.values[: leaf.shape[0]] if are_positions else array.values
    if values.shape != leaf.shape:
        raise ConfigError(
            f"{name} is {list(leaf.shape)} in the model, and {array.origin} is "
            f"{list(array.values.shape)}; expected a model of the checkpoint's sizes."
        )
    # A copy: nothing shall depend on the file any more.
    values = np.array(values, leaf.dtype, order="C")
    action = "folded" if array.added else "warm"
    return values, Row(name, leaf.shape, action, array.origin, warm=values.size)


def _word_rows(
    name: str, leaf: Any, array: Array, match: vocabularies.Match
) -> tuple[np.ndarray, Row]:
    """A table f32[V, ...] with the rows of the pieces that both have."""
    values = np.array(leaf)  # a copy: the rows of other pieces stay
    (known,) = np.nonzero(match.rows >= 0)
    values[known] = array.values[match.rows[known]]
    in_place = len(known) == len(values) and np.array_equal(match.rows[known], known)
    rules = ", ".join(f"{count:,} by {rule}" for rule, count in match.counts.items())
    return values, Row(
        name,
        leaf.shape,
        "warm" if in_place else "permuted",
        array.origin,
        warm=values[known].size,
        note=f"{len(known):,} of {len(values):,} rows: {rules}",
    )


def _unused(
    config: Any,
    sides: Mapping[str, Side],
    taken: Mapping[pathlib.Path, Sequence[Array]],
) -> dict[str, tuple[Unused, ...]]:
    """By file, its tensors and rows that no side has taken."""
    found = {}
    for file in dict.fromkeys(side.stack.file for side in sides.values()):
        stacks = {n: side for n, side in sides.items() if side.stack.file == file}
        first = next(iter(stacks.values())).stack
        reasons: dict[str, str] = {}
        for side in stacks.values():
            reasons |= side.reasons
        left_rows = [*first.left_rows, *_left_rows(config, stacks, first.shapes)]
        found[str(file)] = checkpoint.unused(
            taken.get(file, ()), first.shapes, reasons, left_rows
        )
    return found


def _left_rows(
    config: Any, sides: Mapping[str, Side], shapes: Mapping[str, tuple[int, ...]]
) -> list[Unused]:
    """The words and positions of one file that none of its sides has taken."""
    taken: dict[str, tuple[Array, str, list[np.ndarray]]] = {}
    for name, side in sides.items():
        positions = getattr(config, name).max_position_embeddings
        for path, what, rows in (
            (WORDS, "pieces", side.match.rows[side.match.rows >= 0]),
            (POSITIONS, "positions", np.arange(positions)),
        ):
            if path in side.arrays:
                array = side.arrays[path]
                taken.setdefault(array.tensor, (array, what, []))[2].append(rows)
    left = []
    for tensor, (array, what, rows) in taken.items():
        count = len(array.values) - len(np.unique(np.concatenate(rows)))
        if count > 0:
            reason = f"{what} that the model does not have"
            left.append(Unused(tensor, shapes[tensor], reason, count))
    return left


def _aliases(config: Any, rows: list[Row]) -> list[Row]:
    """Rows for what is another parameter: a shared encoder, a tied softmax."""
    aliases = []
    for row in rows:
        path = row.parameter.removeprefix(f"{_DECODER}/")
        if path == row.parameter or "/crossattention/" in path:
            continue
        has_encoder = isinstance(config, EncoderDecoderConfig)
        if has_encoder and _home(config, "encoder", path) == row.parameter:
            aliases.append(Row(f"encoder/{path}", row.shape, "shared", row.parameter))
        if path == WORDS and config.decoder.tie_word_embeddings:
            kernel = "decoder/lm_head/kernel"
            aliases.append(Row(kernel, row.shape[::-1], "tied", row.parameter))
    return aliases
