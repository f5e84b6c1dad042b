"""Rows of ids of different lengths in; one rectangle of ids and its mask out."""

from collections.abc import Sequence

import numpy as np

from bertgen_jax import errors
from bertgen_jax.suggest import nearest

SIDES = ("right", "left")


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
