"""A model and its params in, the same with another number of word rows out."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from bertgen_jax import rng, trees
from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel

Model = TypeVar(
    "Model",
    EncoderDecoder,
    PrefixLanguageModel,
    BertGenerationDecoder,
    BertGenerationEncoder,
)

_SIDES = ("both", "encoder", "decoder")
_WORDS = "embeddings/word_embeddings/embedding"
# What has a row, column or number for each word, by the end of its path, and the axis.
_AXES = {_WORDS: 0, "lm_head/kernel": 1, "lm_head/bias": 0}
_SPECIAL_IDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
)


def resize_embeddings(
    model: Model, params: Any, vocab_size: int, *, side: str = "both", seed: int = 0
) -> tuple[Model, Any]:
    """Gives word tables other lengths, and with them the softmax and its bias.

    Args:
      model: any of ours.
      params: its parameters.
      vocab_size: rows wanted. Those that stay are what they were, bit for bit; new ones
        are drawn as in a new model, with a bias of 0.
      side: whose table, where encoder and decoder have one each.
      seed: of the new rows.

    Returns:
      The model with this `vocab_size` in its config, and params for it.

    Raises:
      ConfigError: a special id would lose its row; one side is named, but there is one
        table; or the params are not the model's.
    """
    if not isinstance(vocab_size, int) or vocab_size < 1:
        raise ConfigError(f"vocab_size is {vocab_size!r}; expected a positive integer.")
    if side not in _SIDES:
        raise ConfigError(
            f"side is {side!r}; expected one of {', '.join(_SIDES)}."
            f"{nearest(side, _SIDES)}"
        )
    config = model.config
    stacks = _stacks(config)
    if side != "both":
        if len(stacks) == 1 or config.shares(_WORDS):
            raise ConfigError(
                f"side is {side!r}, but the model has one word table; expected 'both'."
            )
        stacks = {side: stacks[side]}
    for name, stack in stacks.items():
        for field, id_ in _special_ids(config, name):
            if vocab_size <= id_ < stack.vocab_size:
                raise ConfigError(
                    f"vocab_size is {vocab_size}, which cuts off the row of {field} "
                    f"{id_}; expected more than {id_}."
                )

    leaves = trees.named(params)
    if not any(path.endswith(_WORDS) for path in leaves):
        raise ConfigError(
            f"the params hold no {_WORDS}; expected those of the model, without the "
            '"params" level around them.'
        )
    for path, leaf in leaves.items():
        stack = stacks.get(path.partition("/")[0], stacks.get(""))
        axis = next((n for end, n in _AXES.items() if path.endswith(end)), None)
        if stack is not None and axis is not None:
            leaves[path] = _resized(path, leaf, axis, stack, vocab_size, seed)
    sized = {
        name: dataclasses.replace(stack, vocab_size=vocab_size)
        for name, stack in stacks.items()
    }
    config = sized[""] if "" in sized else dataclasses.replace(config, **sized)
    return model.clone(config=config), trees.like(params, leaves)


def _stacks(config: Any) -> dict[str, BertGenerationConfig]:
    """The stacks of a config by field; one that is a stack itself has the name ""."""
    if isinstance(config, BertGenerationConfig):
        return {"": config}
    names = [name for name in ("encoder", "decoder") if hasattr(config, name)]
    return {name: getattr(config, name) for name in names}


def _special_ids(config: Any, name: str) -> Iterator[tuple[str, int]]:
    """The ids, with their fields, that name rows of a stack's table."""
    fields = _SPECIAL_IDS
    if name:
        yield from _special_ids_of(getattr(config, name), f"{name}.", fields)
    if name == "encoder":
        fields = ("pad_token_id",)  # the pair's others are words of the decoder
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
    """A parameter with another length along `axis`."""
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
