"""Changes the number of rows of word tables."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from bertgen_jax import rng, trees
from bertgen_jax.errors import ConfigError, check_choice
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import Config
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.stack_config import WORD_TABLE, BertGenerationConfig

Model = TypeVar(
    "Model",
    EncoderDecoder,
    PrefixLanguageModel,
    BertGenerationDecoder,
    BertGenerationEncoder,
)

_SIDES = ("both", "encoder", "decoder")
# Ends of the paths of parameters with one entry per word -> the axis of the words.
_AXES = {WORD_TABLE: 0, "lm_head/kernel": 1, "lm_head/bias": 0}
_SPECIAL_IDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
)


def resize_embeddings(
    model: Model, params: Any, vocab_size: int, *, side: str = "both", seed: int = 0
) -> tuple[Model, Any]:
    """Resizes word tables, and with them the softmax and its bias.

    Args:
      model: a module of this package.
      params: the parameters of the model.
      vocab_size: number of rows. Rows that are kept stay the same, bit for bit; new
        ones are drawn as in a new model, with a bias of 0.
      side: "encoder", "decoder" or "both"; one side only if each has its own table.
      seed: the seed of the new rows.

    Returns:
      The model with this `vocab_size` in its config, and params for it.

    Raises:
      ConfigError: a special id would lose its row; one side is named, but both share
        one table; or the params are of another model.
    """
    if not isinstance(vocab_size, int) or vocab_size < 1:
        raise ConfigError(f"vocab_size is {vocab_size!r}; expected a positive integer.")
    check_choice("side", side, _SIDES)
    config = model.config
    stacks = config.stacks
    is_one_stack = isinstance(config, BertGenerationConfig)
    if side != "both":
        paths = {config.param_path(side, WORD_TABLE) for side in ("encoder", "decoder")}
        if len(paths) == 1:
            raise ConfigError(
                f"side is {side!r}, but the model has one word table; expected 'both'."
            )
        stacks = {side: stacks[side]}
    for side_name, stack in stacks.items():
        for field, id_ in _special_ids(config, side_name):
            if vocab_size <= id_ < stack.vocab_size:
                raise ConfigError(
                    f"vocab_size is {vocab_size}, which cuts off the row of {field} "
                    f"{id_}; expected more than {id_}."
                )

    leaves = trees.named(params)
    if not any(path.endswith(WORD_TABLE) for path in leaves):
        raise ConfigError(
            f"the params hold no {WORD_TABLE}; expected the params of the model, "
            'without the "params" level around them.'
        )
    for path, leaf in leaves.items():
        side = config.architecture if is_one_stack else path.partition("/")[0]
        stack = stacks.get(side)
        axis = next((n for end, n in _AXES.items() if path.endswith(end)), None)
        if stack is not None and axis is not None:
            leaves[path] = _resized(path, leaf, axis, stack, vocab_size, seed)
    sizes = {
        side: dataclasses.replace(stack, vocab_size=vocab_size)
        for side, stack in stacks.items()
    }
    if is_one_stack:
        config = sizes[config.architecture]
    else:
        config = dataclasses.replace(config, **sizes)
    return model.clone(config=config), trees.like(params, leaves)


def _special_ids(config: Config, side: str) -> Iterator[tuple[str, int]]:
    """Yields the fields and ids that name rows of a stack's word table."""
    fields, stack = _SPECIAL_IDS, config.stacks[side]
    if stack is not config:
        yield from _special_ids_of(stack, f"{side}.", fields)
    if side == "encoder" and stack is not config:
        fields = ("pad_token_id",)  # the other ids of a pair are words of the decoder
    yield from _special_ids_of(config, "", fields)


def _special_ids_of(
    config: Any, prefix: str, fields: tuple[str, ...]
) -> Iterator[tuple[str, int]]:
    for field in fields:
        ids = getattr(config, field, None)
        for id_ in ids if isinstance(ids, tuple) else (ids,):
            if id_ is not None:
                yield f"{prefix}{field}", id_


def _resized(
    path: str,
    leaf: Any,
    axis: int,
    stack: BertGenerationConfig,
    vocab_size: int,
    seed: int,
) -> jax.Array:
    """Returns a parameter with `vocab_size` entries along `axis`."""
    if leaf.shape[axis] != stack.vocab_size:
        raise ConfigError(
            f"{path} has the shape {leaf.shape}; expected {stack.vocab_size} on axis "
            f"{axis}, the vocab_size of the model's config."
        )
    shape = list(leaf.shape)
    shape[axis] = max(vocab_size - stack.vocab_size, 0)
    draw = jax.nn.initializers.truncated_normal(stack.initializer_range)
    if path.endswith("bias"):
        draw = jax.nn.initializers.zeros
    key = rng.key(seed, f"resize_embeddings/{path}")
    kept = jax.lax.slice_in_dim(leaf, 0, min(vocab_size, stack.vocab_size), axis=axis)
    return jnp.concatenate([kept, draw(key, shape, leaf.dtype)], axis)
