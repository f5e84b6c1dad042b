"""Searches greedily or by sampling: each row of a source continues on its own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.decoding import logits_processors, sampling
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import (
    LOWEST_SCORE,
    Prompt,
    SearchResult,
    StepFn,
)
from bertgen_jax.decoding.top_k import log_normalizer, rows_at, top_k


@struct.dataclass
class Rows:
    """The R sequences of each source; in greedy search R is 1.

    A row that has ended takes no more tokens, while the others of its source continue.
    """

    prompt: Prompt
    position: jax.Array  # i32[B] tokens generated so far by the rows that are open
    ids: jax.Array  # i32[B, R] tokens that the next step reads
    sequences: jax.Array  # i32[B, R, T]
    scores: jax.Array  # f32[B, R] sums of log-probabilities
    lengths: jax.Array  # i32[B, R] generated tokens, EOS included
    is_running: jax.Array  # bool[B, R] EOS was not generated yet

    @property
    def is_open(self) -> jax.Array:
        """Whether a source takes more tokens, bool[B]."""
        return self.is_running.any(axis=1)


def start(prompt: Prompt, config: GenerationConfig) -> Rows:
    """Returns rows without generated tokens."""
    batch, rows, steps = len(prompt.ids), config.num_rows, config.num_new_tokens
    is_real = prompt.mask.any(axis=1)[:, None]
    return Rows(
        prompt=prompt,
        position=jnp.zeros((batch,), jnp.int32),
        ids=jnp.broadcast_to(prompt.ids[:, -1:], (batch, rows)),
        sequences=jnp.full((batch, rows, steps), config.fill_id, jnp.int32),
        scores=jnp.zeros((batch, rows), jnp.float32),
        lengths=jnp.zeros((batch, rows), jnp.int32),
        is_running=jnp.broadcast_to(is_real, (batch, rows)),
    )


def advance(
    step: StepFn, cache: Any, state: Rows, config: GenerationConfig, capacity: int
) -> tuple[Rows, Any]:
    """Generates one more token for every source that is open.

    Args:
      step: see `step_function.StepFn`.
      cache: the cache of `step`, with R * `capacity` slots for each source.
      state: the state that `start` or the last `advance` returned.
      config: the settings, with lengths in new tokens (`GenerationConfig.for_prompt`).
      capacity: positions that the cache has slots for.
    """
    rows, steps = state.sequences.shape[1:]
    slots = jnp.arange(rows * capacity)
    # Row r has written slots r, r + R, r + 2 R, ...
    is_own = slots[None] % rows == jnp.arange(rows)[:, None]  # [R, C]
    is_past = slots[None] // rows <= state.position[:, None]  # [B, C]
    ancestors = is_own[None] & is_past[:, None]  # [R, C], [B, C] -> [B, R, C]
    logits, cache = step(cache, state.ids, state.position, ancestors)

    logits = logits.astype(jnp.float32)  # scores are f32
    if logits_processors.is_needed(config):
        history = logits_processors.History.of(
            state.prompt.ids, state.prompt.mask, state.sequences, state.position
        )
        logits = logits_processors.process(logits, history, config)
    ids, log_probs = _choose(logits, state, config)
    ids = jnp.where(state.is_running, ids, config.fill_id)
    column = jnp.arange(steps)[None, None] == state.position[:, None, None]
    position = state.position + state.is_open
    ends = jnp.isin(ids, np.array(config.eos_ids, np.int32))
    return dataclasses.replace(
        state,
        position=position,
        ids=ids,
        sequences=jnp.where(column, ids[:, :, None], state.sequences),
        scores=state.scores + jnp.where(state.is_running, log_probs, 0.0),
        lengths=state.lengths + state.is_running,
        is_running=state.is_running & ~ends & (position < steps)[:, None],
    ), cache


def _choose(
    logits: jax.Array, state: Rows, config: GenerationConfig
) -> tuple[jax.Array, jax.Array]:
    """Returns the next tokens i32[B, R] and their log-probabilities f32[B, R].

    Of equally likely tokens greedy search takes the first, as Hugging Face does. It
    compares logits, because rounding can make different log-probabilities equal.
    """
    if not config.do_sample:
        best, ids = top_k(logits.reshape(len(logits), -1), 1)  # [V, B*R] -> [B*R, 1]
        best, ids = (x.reshape(logits.shape[1:]) for x in (best, ids))  # [B, R]
        return ids, best - log_normalizer(logits)
    values, ids = sampling.shortlist(logits, config)  # [V, B, R] -> [B, R, n]
    noise = sampling.noise(
        config.seed, state.prompt.seeds, state.position, values.shape[1:]
    )
    chosen = jnp.argmax(values + noise, axis=-1, keepdims=True)
    log_probs = jax.nn.log_softmax(values, axis=-1)
    return (
        jnp.take_along_axis(ids, chosen, axis=-1)[..., 0],
        jnp.take_along_axis(log_probs, chosen, axis=-1)[..., 0],
    )


def result(state: Rows, config: GenerationConfig) -> SearchResult:
    """Returns the rows of each source, the likeliest first."""
    norms = jnp.asarray(config.length_norms())[state.lengths - 1]
    scores = jnp.where(state.lengths > 0, state.scores / norms, LOWEST_SCORE)
    unordered = SearchResult(state.sequences, scores, state.lengths)
    order = jnp.argsort(-scores, axis=1, stable=True)
    return jax.tree.map(lambda x: rows_at(x, order), unordered)
