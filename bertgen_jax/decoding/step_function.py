"""What a search is given, a step function, and what it returns, a `SearchResult`."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

# (cache, ids i32[B, R], positions i32[B], ancestors bool[B, R, C])
#   -> (logits f32[V, B, R], cache)
#
# The R rows of a source are R tokens at one position, counted from 0 for the first
# token that a search reads. A search never looks into the cache. Its self-attention has
# C = R * T' slots: at position t the step function writes what row r leaves behind into
# slot t * R + r, and nothing moves afterwards. `ancestors[b, r]` marks the slots that
# row r of source b sees: one for each position so far, its own new one included.
# Sources may stand at different positions.
#
# The vocabulary comes first in scores of next tokens, as in the product that makes
# them: turning them round would take as long as choosing among them.
StepFn = Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]

# The peer's stand-in for minus infinity: below any real score, yet finite, so that sums
# and quotients of it are never NaN.
LOWEST_SCORE = -1e9


@struct.dataclass
class Prompt:
    """What a search goes on from.

    Attributes:
      ids: i32[B, P], of which the step function has read all but the last; padding
        stands on the left.
      mask: bool[B, P], True for tokens. A source without any only fills the batch.
      seeds: i32[B], tells the sources apart when tokens are drawn.
    """

    ids: jax.Array
    mask: jax.Array
    seeds: jax.Array


@struct.dataclass
class SearchResult:
    """The N best hypotheses of each source, best first.

    A place without a hypothesis, as of a source that only fills the batch, has only pad
    ids, length 0 and the score `LOWEST_SCORE`.
    """

    sequences: jax.Array  # i32[B, N, T] without the prompt; pad after EOS
    scores: jax.Array  # f32[B, N] sum of log-probabilities / length norm
    lengths: jax.Array  # i32[B, N] generated tokens, EOS included
