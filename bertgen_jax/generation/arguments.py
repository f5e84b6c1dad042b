"""Checks the arrays that callers pass to `generate` and `score`."""

from typing import Any

import jax
import numpy as np

from bertgen_jax.errors import ConfigError


def check_rows(name: str, rows: int, expected: int) -> None:
    """Checks that an array has one row for each source.

    Raises:
      ConfigError: it has another number of rows.
    """
    if rows != expected:
        raise ConfigError(
            f"{name} has {rows} rows and input_ids has {expected}; expected one for "
            "each source."
        )


def checked_ids(name: str, ids: Any, vocab_size: int) -> jax.Array | np.ndarray:
    """Returns ids i32[B, S] after checking their shape and range.

    Raises:
      ConfigError: the ids have another shape, or an id is outside the vocabulary.
    """
    if not isinstance(ids, jax.Array):
        ids = np.asarray(ids, np.int32)
    if ids.ndim != 2 or 0 in ids.shape:
        raise ConfigError(
            f"{name} has the shape {ids.shape}; expected [B, S], at least one row of "
            "one token."
        )
    blocks = [ids]
    if isinstance(ids, jax.Array):  # each host checks the shards that it holds
        blocks = [shard.data for shard in ids.addressable_shards]
    for values in map(np.asarray, blocks):
        if values.size and not 0 <= values.min() <= values.max() < vocab_size:
            worst = values.min() if values.min() < 0 else values.max()
            raise ConfigError(
                f"{name} has the id {worst}; expected ids from 0 to {vocab_size - 1}, "
                "the model's vocabulary."
            )
    return ids


def checked_mask(
    name: str, mask: Any, shape: tuple[int, ...]
) -> jax.Array | np.ndarray:
    """Returns a keep-mask as bool[B, S]; None keeps all.

    Raises:
      ConfigError: it has another shape.
    """
    if mask is None:
        return np.ones(shape, bool)
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    if mask.shape != tuple(shape):
        raise ConfigError(
            f"{name} has the shape {mask.shape}; expected {tuple(shape)}, as the ids."
        )
    return mask != 0
