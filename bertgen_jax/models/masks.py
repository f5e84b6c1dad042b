"""Combines a caller's mask and causality into one boolean attention mask.

Masks stay boolean until the softmax applies them once, because adding large negative
numbers twice overflows to -inf and turns a fully masked row into NaN. Token positions
are counted from masks as well.
"""

import jax
import jax.numpy as jnp

from bertgen_jax.errors import ConfigError


def attention_mask(
    mask: jax.Array | None,
    shape: tuple[int, int, int],
    *,
    causal: bool,
    start: int | jax.Array = 0,
    least_keys: int | None = None,
    name: str = "attention_mask",
) -> jax.Array | None:
    """Combines the caller's mask with causality.

    Example: causal, 3 queries in slots 1 to 3 of 4:

    ```
    mask None         1 1 0 0        mask 0 1 1 1      0 1 0 0
                      1 1 1 0                          0 1 1 0
                      1 1 1 1                          0 1 1 1
    ```

    Args:
      mask: None (attend everywhere); [B, C] keep-mask over keys, to which causality is
        added; [B, T, C] or [B, 1|H, T, C], to which causality is not added. Any boolean
        or integer dtype, and for the first two any float dtype; non-zero keeps. A mask
        with B = 1 applies to every row.
      shape: (B, T, C). C counts the slots of the cache, or the keys without a cache.
      causal: query i, in slot `start + i`, sees slots up to its own.
      start: slot of the first query.
      least_keys: the shortest C' of a [B, C'] mask, which hides the keys that it does
        not cover; C by default.
      name: the name of the mask in messages.

    Returns:
      bool[B or 1, 1 or H, T, C], or None when everything is visible.

    Raises:
      ConfigError: the mask has none of these forms.
    """
    batch, queries, keys = shape
    visible = None
    if mask is not None:
        # In an additive mask 0 means attend, so it would be read as its opposite.
        if mask.ndim == 4 and jnp.issubdtype(mask.dtype, jnp.floating):
            raise ConfigError(
                f"{name} is a 4-D float array, which Hugging Face adds to the scores; "
                "expected a keep-mask (True or 1 = attend), such as `additive == 0`."
            )
        visible = mask != 0
        fits = mask.ndim > 1 and mask.shape[0] in (1, batch)
        if fits and mask.ndim == 3 and mask.shape[1:] == (queries, keys):
            return visible[:, None, :, :]
        if fits and mask.ndim == 4 and mask.shape[2:] == (queries, keys):
            return visible
        least = keys if least_keys is None else least_keys
        if not (fits and mask.ndim == 2 and least <= mask.shape[1] <= keys):
            width = keys if least == keys else f"{least} to {keys}"
            raise ConfigError(
                f"{name} has shape {mask.shape}; expected [{batch}, {width}], "
                f"[{batch}, {queries}, {keys}] or [{batch}, 1, {queries}, {keys}]."
            )
        visible = jnp.pad(visible, ((0, 0), (0, keys - mask.shape[1])))
        visible = visible[:, None, None, :]
    if causal:
        slots = start + jnp.arange(queries)
        past = jnp.arange(keys)[None, None, None, :] <= slots[None, None, :, None]
        visible = past if visible is None else visible & past
    return visible


def token_positions(mask: jax.Array) -> jax.Array:
    """Counts the positions of tokens, without the padding between them.

    ```
    mask 0 0 1 1 1      0 0 0 1 2
         1 1 0 0 1      0 1 1 1 2
    ```

    Args:
      mask: bool[B, T], True for tokens.

    Returns:
      i32[B, T], counted from 0 over the tokens of a row; padding has the position of
      the token before it, or 0.
    """
    return jnp.maximum(jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1, 0)
