"""Rows of ids of different lengths in; one rectangle of ids and its mask out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertgen_jax import errors
from bertgen_jax.errors import nearest

SIDES = ("right", "left")
PADDINGS = ("longest", "max_length", "do_not_pad")


def pad_rows(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    *,
    least_length: int = 0,
    multiple_of: int = 1,
    side: str = "right",
) -> tuple[np.ndarray, np.ndarray]:
    """Fills rows up to one length. The mask comes from lengths, never from ids.

    ```
    pad_rows([[5, 6], [7]], 0)                  pad_rows([[5, 6], [7]], 0, side="left")
    ids  [[5, 6], [7, 0]]                       [[5, 6], [0, 7]]
    mask [[True, True], [True, False]]          [[True, True], [False, True]]
    ```

    Args:
      rows: B rows of ids.
      pad_id: what to fill with.
      least_length: the width S is at least this; longer rows are kept whole.
      multiple_of: S is rounded up to a multiple of this, so that few shapes compile.
      side: where the filling goes, "right" or "left".

    Returns:
      ids int32[B, S] and mask bool[B, S], True on the ids of a row.

    Raises:
      ConfigError: `side` is neither.
    """
    if side not in SIDES:
        raise errors.ConfigError(
            f"The padding side is {side!r}; expected 'right' or 'left'."
            f"{nearest(side, SIDES)}"
        )
    width = max([least_length, *map(len, rows)])
    width = -(-width // multiple_of) * multiple_of
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), bool)
    for index, row in enumerate(rows):
        start = 0 if side == "right" else width - len(row)
        ids[index, start : start + len(row)] = row
        mask[index, start : start + len(row)] = True
    return ids, mask


def pad_as_asked(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    padding: bool | str,
    *,
    max_length: int | None,
    multiple_of: int,
    side: str,
) -> tuple[Any, Any]:
    """Fills rows up as the peer's tokenizers do, or not.

    Args:
      rows: B rows of ids.
      pad_id: what to fill with.
      padding: True or "longest", "max_length", False or "do_not_pad".
      max_length: in ids, for "max_length"; longer rows are kept whole.
      multiple_of: the width is rounded up to a multiple of this.
      side: "right" or "left".

    Returns:
      ids and mask: if filled up, int32[B, S] and bool[B, S]; otherwise lists of rows.

    Raises:
      ConfigError: an unknown `padding` or side, or no length for "max_length".
    """
    if isinstance(padding, bool):
        padding = "longest" if padding else "do_not_pad"
    if padding not in PADDINGS:
        raise errors.ConfigError(
            f"padding is {padding!r}; expected True, False, or one of "
            f"{', '.join(PADDINGS)}.{nearest(padding, PADDINGS)}"
        )
    if padding == "do_not_pad":
        return rows, [[True] * len(row) for row in rows]
    least_length = 0
    if padding == "max_length":
        least_length = check_length(max_length, 'padding="max_length"')
    return pad_rows(
        rows, pad_id, least_length=least_length, multiple_of=multiple_of, side=side
    )


def check_length(max_length: int | None, wanted_by: str) -> int:
    """The length that an option needs.

    Raises:
      ConfigError: there is none.
    """
    if max_length is None or max_length < 1:
        raise errors.ConfigError(
            f"{wanted_by} needs a length, but max_length is {max_length} and the "
            "tokenizer's model_max_length does not help; expected max_length=N ids."
        )
    return max_length
