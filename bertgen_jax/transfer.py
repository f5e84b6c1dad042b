"""Random params and the stacks of checkpoints in; warm params and a report of them out.

What no checkpoint has stays as it was drawn: cross-attention always (paper, section 3),
and the word rows of pieces that its vocabulary lacks.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertgen_jax.checkpoints import trees
from bertgen_jax.checkpoints.checkpoint import (
    POSITIONS,
    WORDS,
    Array,
    Checkpoint,
    Unused,
)
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.recipes import Selection
from bertgen_jax.tokenizers import vocabularies
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start_report import Report, Row

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
      left: the others, and why.
    """

    stack: Checkpoint
    match: vocabularies.Match
    arrays: Mapping[str, Array]
    left: tuple[Unused, ...]


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
      tokenizers: the model's. A row of a word table is that of the checkpoint's piece
        that stands for the same text (see `tokenizers.vocabularies`).
      selection: which part of the stacks.

    Returns:
      Params of the same structure, in which the new leaves are numpy arrays; and what
      was done.

    Raises:
      ConfigError: a layer that there is not, or params of another model.
      CheckpointError: nothing fits: no piece of a vocabulary is one of the model's.
      TokenizerError: a vocabulary is missing or damaged.
    """
    sides = {
        name: _side(name, stack, config, tokenizers, selection)
        for name, stack in stacks.items()
    }
    origins = {
        _home(config, name, path): (side, path)
        for name, side in sides.items()
        for path in side.arrays
    }
    bias = _mlm_bias(config, sides.get("decoder"), selection)
    leaves, rows = {}, []
    for name, leaf in trees.named(params).items():
        side, path = origins.pop(name, (None, ""))
        if side is None and name == _BIAS and bias is not None:
            leaves[name], row = _word_rows(name, leaf, bias, sides["decoder"].match)
        elif side is None:
            leaves[name], row = leaf, Row(name, leaf.shape, "random")
        elif path == WORDS:
            array = side.arrays[path]
            leaves[name], row = _word_rows(name, leaf, array, side.match)
        else:
            leaves[name], row = _whole(name, leaf, side.arrays[path])
        rows.append(row)
    if origins:
        raise ConfigError(
            f"the params lack {', '.join(list(origins)[:3])}, ...; expected those of "
            "a model of this config."
        )
    if not any(row.warm for row in rows):
        raise CheckpointError(
            "no parameter came from a checkpoint; expected some. Choose another "
            "init.parts."
        )
    rows += _aliases(config, rows)
    return trees.like(params, leaves), Report(
        {name: f"{stack.path}: {stack.format}" for name, stack in stacks.items()},
        tuple(rows),
        _unused(config, sides),
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
    missing = [n for n in numbers if n > stack.config.num_hidden_layers]
    if missing:
        raise ConfigError(
            f"init.layers asks for layer {missing[0]}; {stack.path} has "
            f"{stack.config.num_hidden_layers}."
        )
    places: dict[int, list[int]] = {}
    for place, number in enumerate(numbers):
        places.setdefault(number - 1, []).append(place)
    arrays, left = {}, []
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
            left.append(Unused(array.source, array.values.shape, reason))
        else:
            arrays.update(dict.fromkeys(targets, array))
    return Side(stack, match, arrays, tuple(left))


def _home(config: Any, side: str, path: str) -> str:
    """Where the params keep the array `path` of one side's stack."""
    if side == "decoder" or not isinstance(config, EncoderDecoderConfig):
        return f"{_DECODER}/{path}"
    return f"{_DECODER if config.shares(path) else side}/{path}"


def _match(stack: Checkpoint, tokenizer: Tokenizer, size: int) -> vocabularies.Match:
    """Which row of the checkpoint's word table each row of the model's is."""
    theirs = AutoTokenizer.from_pretrained(stack.path)
    rows = len(stack.arrays[WORDS].values)
    if theirs.get_vocab() == tokenizer.get_vocab() and size <= rows:
        # Its own vocabulary: rows that no piece has come along as well.
        return vocabularies.Match(np.arange(size), {"identity": size})
    if theirs.vocab_size > rows:
        raise CheckpointError(
            f"{stack.path}: its tokenizer has {theirs.vocab_size:,} pieces, but "
            f"{stack.arrays[WORDS].source} has {rows:,} rows; expected the vocabulary "
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


def _mlm_bias(config: Any, side: Side | None, selection: Selection) -> Array | None:
    if not selection.mlm_bias:
        return None
    if not config.decoder.lm_head_bias:
        raise ConfigError(
            "init.mlm_bias is set, but the softmax has no bias; expected "
            "model.lm_head_bias=True as well."
        )
    if side is None or side.stack.mlm_bias is None:
        raise ConfigError(
            "init.mlm_bias is set, but the decoder does not start from a checkpoint "
            "with a masked-LM head; expected BERT's or RoBERTa's whole file."
        )
    return side.stack.mlm_bias


def _whole(name: str, leaf: Any, array: Array) -> tuple[np.ndarray, Row]:
    """An array as it is, or as many positions as the model has."""
    values = np.ascontiguousarray(array.values[: leaf.shape[0]], leaf.dtype)
    if values.shape != leaf.shape:
        raise ConfigError(
            f"{name} is {list(leaf.shape)} in the model, and {array.source} is "
            f"{list(array.values.shape)}; expected a model of the checkpoint's sizes."
        )
    source, action = array.source, "warm"
    if array.added:
        source, action = f"{source} + {array.added}", "folded"
    return values, Row(name, leaf.shape, action, source, warm=values.size)


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
        array.source,
        warm=values[known].size,
        note=f"{len(known):,} of {len(values):,} rows: {rules}",
    )


def _unused(config: Any, sides: Mapping[str, Side]) -> dict[str, tuple[Unused, ...]]:
    """By checkpoint, its tensors and rows that no side has taken."""
    by_path: dict[str, dict[Unused, None]] = {}
    for name, side in sides.items():
        unused = [*side.stack.unused, *side.left]
        for path, used, what in (
            (WORDS, len(np.unique(side.match.rows[side.match.rows >= 0])), "pieces"),
            (POSITIONS, getattr(config, name).max_position_embeddings, "positions"),
        ):
            if path in side.arrays:
                array = side.arrays[path]
                count = len(array.values) - used
                if count > 0:
                    reason = f"{count:,} rows, {what} that the model does not have"
                    unused.append(Unused(array.source, array.values.shape, reason))
        key = str(side.stack.path)
        by_path.setdefault(key, {}).update(dict.fromkeys(unused))
    return {path: tuple(unused) for path, unused in by_path.items()}


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
