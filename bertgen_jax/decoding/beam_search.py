"""Beam search: a step function in, the best hypotheses of each source out.

It decides as transformers 4.50 to 5 decide: how many candidates are ranked, which of
them may finish, what displaces a finished one, when to stop. The paper's length norm
stands beside the peer's. No cache is ever re-ordered: docs/architecture.md, "Beams are
positions".
"""

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
    # The R running beams, best first.
    ids: jax.Array  # i32[B, R] what the next step reads
    ancestors: jax.Array  # bool[B, R, C] the slots of each beam's past
    sequences: jax.Array  # i32[B, R, T]
    scores: jax.Array  # f32[B, R] sums of log-probabilities
    # The R best finished hypotheses; a place that is still free has length 0.
    finished: SearchResult
    is_open: jax.Array  # bool[B] another hypothesis may still enter `finished`


def beam_search(
    step: StepFn,
    cache: Any,
    start_ids: jax.Array,
    config: GenerationConfig,
    active: jax.Array | None = None,
) -> SearchResult:
    """Keeps the R = `config.num_beams` best partial sequences of each source.

    Args:
      step: see `contract.StepFn`.
      cache: its cache, with C = R * T slots a source.
      start_ids: i32[B], the token before the first generated one.
      config: beams, length, special ids, length penalty and stopping.
      active: bool[B], False for rows that only fill the batch: they never delay its
        end. None: all are active.

    Returns:
      A `SearchResult` with N = `config.num_return_sequences`.
    """
    final = jax.lax.while_loop(
        lambda state: (state.position < config.num_new_tokens) & state.is_open.any(),
        lambda state: _advance(step, config, state),
        _start(cache, start_ids, config, active),
    )
    return jax.tree.map(lambda x: x[:, : config.num_return_sequences], final.finished)


def _start(
    cache: Any,
    start_ids: jax.Array,
    config: GenerationConfig,
    active: jax.Array | None,
) -> _State:
    """R equal beams of which only the first is alive."""
    batch, beams, steps = start_ids.shape[0], config.num_beams, config.num_new_tokens
    sequences = jnp.full((batch, beams, steps), config.fill_id, jnp.int32)
    scores = jnp.full((batch, beams), LOWEST_SCORE, jnp.float32)
    lengths = jnp.zeros((batch, beams), jnp.int32)
    return _State(
        position=jnp.zeros((), jnp.int32),
        cache=cache,
        ids=jnp.broadcast_to(start_ids[:, None], (batch, beams)),
        ancestors=jnp.zeros((batch, beams, beams * steps), bool),
        sequences=sequences,
        scores=scores.at[:, 0].set(0.0),
        finished=SearchResult(sequences=sequences, scores=scores, lengths=lengths),
        is_open=jnp.ones((batch,), bool) if active is None else active,
    )


def _advance(step: StepFn, config: GenerationConfig, state: _State) -> _State:
    """One token more: M candidates are ranked, some of them finish, R run on."""
    batch, beams, steps = state.sequences.shape
    length = state.position + 1

    # A beam sees its past and the slot that it writes now.
    own_slots = state.position * beams + jnp.arange(beams)
    own = jnp.arange(beams * steps)[None] == own_slots[:, None]  # bool[R, C]
    ancestors = state.ancestors | own[None]
    logits, cache = step(state.cache, state.ids, state.position, ancestors)

    # So many that R of them can run on, even when every beam offers every EOS.
    num_candidates = max(2, 1 + len(config.eos_ids)) * beams  # M
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))  # scores are f32
    totals = state.scores[:, :, None] + log_probs  # [B, R, V]
    scores, indices = top_k(totals.reshape(batch, -1), num_candidates)  # [B, M]
    parents, ids = jnp.divmod(indices, totals.shape[-1])
    sequences = _rows(state.sequences, parents).at[:, :, state.position].set(ids)
    stops = jnp.isin(ids, np.array(config.eos_ids, np.int32)) | (length == steps)

    # Only the R best candidates may finish; those behind them are there to run on.
    is_leader = jnp.arange(num_candidates) < beams
    finishes = stops & is_leader[None] & state.is_open[:, None]
    norm = jnp.asarray(config.length_norms())[state.position]
    finished = _best(
        state.finished,
        SearchResult(
            sequences=sequences,
            scores=jnp.where(finishes, scores / norm, LOWEST_SCORE),
            lengths=jnp.full_like(ids, length),
        ),
    )

    # Only a candidate that does not stop may run on; the others rank behind.
    scores, runners = jax.lax.top_k(
        jnp.where(stops, scores + LOWEST_SCORE, scores), beams
    )
    return _State(
        position=length,
        cache=cache,
        ids=_rows(ids, runners),
        ancestors=_rows(ancestors, _rows(parents, runners)),
        sequences=_rows(sequences, runners),
        scores=scores,
        finished=finished,
        is_open=state.is_open & _may_improve(config, length, scores[:, 0], finished),
    )


def _best(finished: SearchResult, candidates: SearchResult) -> SearchResult:
    """The R best of the finished [B, R] and of the candidates [B, M].

    Of equals the finished ones come first: a candidate with the score `LOWEST_SCORE`
    never takes a place, not even a free one.
    """
    both = jax.tree.map(
        lambda x, y: jnp.concatenate([x, y], axis=1), finished, candidates
    )
    _, best = jax.lax.top_k(both.scores, finished.scores.shape[1])
    return jax.tree.map(lambda x: _rows(x, best), both)


def _may_improve(
    config: GenerationConfig,
    length: jax.Array,
    best_running: jax.Array,
    finished: SearchResult,
) -> jax.Array:
    """Whether a running beam may still displace a finished hypothesis: bool[B].

    Args:
      config: see `GenerationConfig.early_stopping`.
      length: i32[], tokens of a running beam.
      best_running: f32[B], the best sum of log-probabilities among them.
      finished: the R places of each source.
    """
    is_full = (finished.lengths > 0).all(axis=-1)
    if config.early_stopping is True:
        return ~is_full
    norms = jnp.asarray(config.length_norms())
    if config.early_stopping == "never" and config.length_penalty > 0:
        bound = best_running / norms[-1]  # as if no later token cost anything
    else:
        bound = best_running / norms[length - 1]
    return ~is_full | (bound > finished.scores[:, -1])  # the last is the worst


def _rows(x: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of each source: x[B, n, ...] at index i32[B, m] -> [B, m, ...]."""
    index = index.reshape(index.shape + (1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1)
