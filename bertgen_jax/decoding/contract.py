"""What a search is given, a step function, and what it returns, a `SearchResult`."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

# (cache, ids i32[B, R], position i32[], ancestors bool[B, R, C])
#   -> (logits f32[B, R, V], cache)
#
# The R beams of a source are R tokens at one position, counted from 0 for the start
# token. A search never looks into the cache. Its self-attention has C = R * T slots for
# T new tokens: at step t the step function writes what beam r leaves behind into slot
# t * R + r, and nothing moves afterwards. `ancestors[b, r]` marks the slots that beam r
# of source b sees: one for each position so far, its own new one included.
StepFn = Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]

# The peer's stand-in for minus infinity: below any real score, yet finite, so that sums
# and quotients of it are never NaN.
LOWEST_SCORE = -1e9


@struct.dataclass
class SearchResult:
    """The N best hypotheses of each source, best first.

    A place without a hypothesis, as of a source that was not active, has only pad ids,
    length 0 and the score `LOWEST_SCORE`.
    """

    sequences: jax.Array  # i32[B, N, T] without the start token; pad after EOS
    scores: jax.Array  # f32[B, N] sum of log-probabilities / length norm
    lengths: jax.Array  # i32[B, N] generated tokens, EOS included
