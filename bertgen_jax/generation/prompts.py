"""Builds prompts: the tokens that targets begin with and that are not generated."""

import jax
import jax.numpy as jnp
import numpy as np

from bertgen_jax.errors import ConfigError

Array = jax.Array | np.ndarray


def start_tokens(start: int, source_mask: Array) -> tuple[Array, Array]:
    """Returns prompts of the start token only.

    Args:
      start: the start token.
      source_mask: bool[B, S]. A row without any token only fills the batch; its prompt
        is masked.

    Returns:
      Ids i32[B, 1] and their mask bool[B, 1].
    """
    ids = np.full((len(source_mask), 1), start, np.int32)
    return ids, _has_tokens(source_mask)


def with_start_token(
    start: int, ids: Array, mask: Array, source_mask: Array
) -> tuple[Array, Array]:
    """Returns prompts that begin with the start token.

    As in Hugging Face, the start token comes before the ids unless some row already
    begins with it.

    Args:
      start: the start token.
      ids: i32[B, P] first tokens of the targets.
      mask: bool[B, P] keep-mask of the ids.
      source_mask: see `start_tokens`.

    Returns:
      Ids i32[B, P] or i32[B, P + 1], and their mask.

    Raises:
      ConfigError: some rows begin with the start token and others have no token.
    """
    is_real = np.asarray(_has_tokens(source_mask))
    mask = np.asarray(mask) & is_real
    first = np.asarray(ids)[np.arange(len(ids)), mask.argmax(axis=1)]
    is_empty = ~mask.any(axis=1)
    if not ((first == start) & ~is_empty).any():
        return _joined(start_tokens(start, source_mask), (ids, mask))
    if (is_real[:, 0] & is_empty).any():
        raise ConfigError(
            "decoder_attention_mask has a row without any token, and others begin with "
            "the start token; expected the start token in every row."
        )
    return ids, mask


def continuing(start: int | None, ids: Array, mask: Array) -> tuple[Array, Array]:
    """Returns the prompts of a decoder alone, which continues its input.

    Args:
      start: a token to continue from; None continues from the last token of the input.
      ids: i32[B, S] input.
      mask: bool[B, S] keep-mask of the input.

    Returns:
      Ids i32[B, S], or i32[B, S + 1] with the start token at the end, and their mask.
    """
    if start is None:
        return ids, mask
    return _joined((ids, mask), start_tokens(start, mask))


def right_aligned(ids: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns ids and mask with all padding on the left.

    ```
    ids 5 6 0    mask 1 1 0    0 5 6    0 1 1
        7 8 9         1 1 1    7 8 9    1 1 1
    ```
    """
    if ids.shape[1] == 1:
        return ids, mask
    order = jnp.argsort(mask, axis=1, stable=True)
    ids, mask = (jnp.take_along_axis(x, order, axis=1) for x in (ids, mask))
    return ids, mask


def _has_tokens(mask: Array) -> Array:
    """bool[B, S] -> bool[B, 1]."""
    return np.any(mask, axis=1, keepdims=True)  # also of a `jax.Array`, on its devices


def _joined(*parts: tuple[Array, Array]) -> tuple[Array, Array]:
    ids, masks = zip(*parts, strict=True)
    return jnp.concatenate(ids, axis=1), jnp.concatenate(masks, axis=1)
