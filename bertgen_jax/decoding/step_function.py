"""Defines the step function that a search calls, its prompt and its result."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct

# (cache, ids i32[B, R], positions i32[B], ancestors bool[B, R, C])
#   -> (logits f32[V, B, R], cache)
#
# The R rows of a source are R tokens at one position, counted from 0 for the first
# token that a search reads. A search never reads the cache. Its self-attention has
# C = R * T' slots: at position t the step function writes the keys and values of row r
# into slot t * R + r, and nothing moves afterwards. `ancestors[b, r]` marks the slots
# that row r of source b sees: one for each position so far, including its new one.
# Sources may be at different positions.
#
# The vocabulary is the first axis of the scores of next tokens, as in the product that
# computes them, because a transposition would take as long as the choice of tokens.
StepFn = Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]]

# Hugging Face's substitute for minus infinity. It is below any real score but finite,
# so that its sums and quotients are never NaN.
LOWEST_SCORE = -1e9


@struct.dataclass
class Prompt:
    """The tokens that a search continues.

    Attributes:
      ids: i32[B, P] with padding on the left. The step function has read all but the
        last column.
      mask: bool[B, P], True for tokens. A source without tokens only fills the batch.
      seeds: i32[B], distinguish the sources when tokens are drawn.
    """

    ids: jax.Array
    mask: jax.Array
    seeds: jax.Array


@struct.dataclass
class SearchResult:
    """The N best hypotheses of each source, best first.

    A row without a hypothesis, such as a row of a source that only fills the batch, has
    only pad ids, length 0 and the score `LOWEST_SCORE`.
    """

    sequences: jax.Array  # i32[B, N, T] without the prompt; pad after EOS
    scores: jax.Array  # f32[B, N] sum of log-probabilities / length norm
    lengths: jax.Array  # i32[B, N] generated tokens, EOS included
