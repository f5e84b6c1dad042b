"""Padding: rows of ids of different lengths become one array with a mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertgen_jax.errors import ConfigError, check_choice, nearest

SIDES = ("right", "left")
PADDINGS = ("longest", "max_length", "do_not_pad")


def pad_rows(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    *,
    min_length: int = 0,
    multiple_of: int = 1,
    side: str = "right",
) -> tuple[np.ndarray, np.ndarray]:
    """Pads rows to one length. The mask comes from lengths, never from ids.

    ```
    pad_rows([[5, 6], [7]], 0)                  pad_rows([[5, 6], [7]], 0, side="left")
    ids  [[5, 6], [7, 0]]                       [[5, 6], [0, 7]]
    mask [[True, True], [True, False]]          [[True, True], [False, True]]
    ```

    Args:
      rows: B rows of ids.
      pad_id: the id to fill with.
      min_length: the smallest width S; longer rows are not cut.
      multiple_of: S is rounded up to a multiple of this, so that few shapes compile.
      side: where to fill, "right" or "left".

    Returns:
      ids int32[B, S] and mask bool[B, S], True on the ids of a row.

    Raises:
      ConfigError: an unknown `side`.
    """
    check_choice("padding_side", side, SIDES)
    width = max([min_length, *map(len, rows)])
    width = -(-width // multiple_of) * multiple_of
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), bool)
    for index, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[index, start : start + len(row)] = row
        mask[index, start : start + len(row)] = True
    return ids, mask


def pad_as_requested(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    padding: bool | str,
    *,
    max_length: int | None,
    multiple_of: int,
    side: str,
) -> tuple[Any, Any]:
    """Pads rows as Hugging Face's `padding` argument says.

    Args:
      rows: B rows of ids.
      pad_id: the id to fill with.
      padding: True or "longest", "max_length", False or "do_not_pad".
      max_length: in ids, for "max_length"; longer rows are not cut.
      multiple_of: the width is rounded up to a multiple of this.
      side: "right" or "left".

    Returns:
      ids and mask: if padded, int32[B, S] and bool[B, S]; otherwise lists of rows.

    Raises:
      ConfigError: an unknown `padding` or side, or no length for "max_length".
    """
    if isinstance(padding, bool):
        padding = "longest" if padding else "do_not_pad"
    if padding not in PADDINGS:
        raise ConfigError(
            f"padding is {padding!r}; expected True, False, or one of "
            f"{', '.join(PADDINGS)}.{nearest(padding, PADDINGS)}"
        )
    if padding == "do_not_pad":
        return rows, [[True] * len(row) for row in rows]
    min_length = 0
    if padding == "max_length":
        min_length = check_length(max_length, 'padding="max_length"')
    return pad_rows(
        rows, pad_id, min_length=min_length, multiple_of=multiple_of, side=side
    )


def check_length(max_length: int | None, option: str) -> int:
    """Returns the length that an option needs.

    Raises:
      ConfigError: there is none.
    """
    if max_length is None or max_length < 1:
        raise ConfigError(
            f"{option} needs a length, but max_length is {max_length}; expected "
            "max_length=N ids, or a tokenizer with model_max_length."
        )
    return max_length
