"""Greedy search: a step function in, the likeliest token of each step out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import LOWEST_SCORE, SearchResult, StepFn
from bertgen_jax.decoding.selection import top_k


@struct.dataclass
class _State:
    position: jax.Array  # i32[] tokens generated so far
    cache: Any  # the step function's own
    ids: jax.Array  # i32[B] what the next step reads
    sequences: jax.Array  # i32[B, T]
    scores: jax.Array  # f32[B] sums of log-probabilities
    lengths: jax.Array  # i32[B] generated tokens, EOS included
    is_open: jax.Array  # bool[B] EOS has not come yet


def greedy_search(
    step: StepFn,
    cache: Any,
    start_ids: jax.Array,
    config: GenerationConfig,
    active: jax.Array | None = None,
) -> SearchResult:
    """Takes the likeliest token until EOS, or until there are T.

    Args:
      step: called with R = 1; see `contract.StepFn`.
      cache: its cache, with C = T slots a source.
      start_ids: i32[B], the token before the first generated one.
      config: length, special ids, and the length norm of the scores.
      active: bool[B], False for rows that only fill the batch: they never delay its
        end. None: all are active.

    Returns:
      A `SearchResult` with N = 1.
    """
    batch, steps = start_ids.shape[0], config.num_new_tokens
    final = jax.lax.while_loop(
        lambda state: (state.position < steps) & state.is_open.any(),
        lambda state: _advance(step, config, state),
        _State(
            position=jnp.zeros((), jnp.int32),
            cache=cache,
            ids=start_ids,
            sequences=jnp.full((batch, steps), config.fill_id, jnp.int32),
            scores=jnp.zeros((batch,), jnp.float32),
            lengths=jnp.zeros((batch,), jnp.int32),
            is_open=jnp.ones((batch,), bool) if active is None else active,
        ),
    )
    norms = jnp.asarray(config.length_norms())[final.lengths - 1]
    scores = jnp.where(final.lengths > 0, final.scores / norms, LOWEST_SCORE)
    return SearchResult(
        sequences=final.sequences[:, None],
        scores=scores[:, None],
        lengths=final.lengths[:, None],
    )


def _advance(step: StepFn, config: GenerationConfig, state: _State) -> _State:
    """One token more for every source."""
    batch, steps = state.sequences.shape
    # The only row of a source sees all that was written: slots 0 to position.
    written = jnp.arange(steps) <= state.position
    ancestors = jnp.broadcast_to(written, (batch, 1, steps))
    logits, cache = step(state.cache, state.ids[:, None], state.position, ancestors)

    logits = logits[:, 0].astype(jnp.float32)  # [B, 1, V] -> [B, V]; scores are f32
    best, ids = top_k(logits, 1)  # of the logits, as the peer: rounding makes no ties
    log_probs = best[:, 0] - jax.nn.logsumexp(logits, axis=-1)
    ids = jnp.where(state.is_open, ids[:, 0], config.fill_id)
    return _State(
        position=state.position + 1,
        cache=cache,
        ids=ids,
        sequences=state.sequences.at[:, state.position].set(ids),
        scores=state.scores + jnp.where(state.is_open, log_probs, 0.0),
        lengths=state.lengths + state.is_open,
        is_open=state.is_open & ~jnp.isin(ids, np.array(config.eos_ids, np.int32)),
    )
