"""Runs the search that a `GenerationConfig` asks for, over a step function.

A search is a state that `advance` extends by one token for each source. Sources may be
at different positions, so a source that has ended can be replaced by another.
"""

from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.decoding import beam_search, greedy
from bertgen_jax.decoding.beam_search import Beams
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.greedy import Rows
from bertgen_jax.decoding.step_function import Prompt, SearchResult, StepFn

State = Beams | Rows


def start(prompt: Prompt, config: GenerationConfig) -> State:
    """Returns the state of sources for which nothing was generated.

    One beam is searched greedily or sampled, several by beam search, as in Hugging
    Face. Beam search with one beam is a different search from greedy: it may continue
    with the second best token after the best one was EOS.
    """
    if config.num_beams == 1:
        return greedy.start(prompt, config)
    return beam_search.start(prompt, config)


def advance(
    step: StepFn,
    cache: Any,
    state: State,
    config: GenerationConfig,
    *,
    capacity: int,
    least_open: int | jax.Array = 0,
    most_steps: int | jax.Array | None = None,
) -> tuple[State, Any]:
    """Takes steps until all sources have ended, or another limit is reached.

    Args:
      step: see `step_function.StepFn`.
      cache: the cache of `step`, with R * `capacity` slots for each source.
      state: the state that `start` or `advance` returned.
      config: the settings, with lengths in new tokens (`GenerationConfig.for_prompt`).
      capacity: stops when an open source needs position `capacity`.
      least_open: stops when at most this many sources are open.
      most_steps: stops after this many steps; None sets no such limit.

    Returns:
      The state and the cache.
    """

    def continues(carry: tuple[State, Any, jax.Array]) -> jax.Array:
        state, _, steps = carry
        is_open = state.is_open
        may_continue = is_open.sum() > least_open
        may_continue &= (is_open * state.position).max() < capacity
        if most_steps is not None:
            may_continue &= steps < most_steps
        return may_continue

    def body(carry: tuple[State, Any, jax.Array]) -> tuple[State, Any, jax.Array]:
        state, cache, steps = carry
        if isinstance(state, Rows):
            state, cache = greedy.advance(step, cache, state, config, capacity)
        else:
            state, cache = beam_search.advance(step, cache, state, config, capacity)
        return state, cache, steps + 1

    carry = (state, cache, jnp.zeros((), jnp.int32))
    state, cache, _ = jax.lax.while_loop(continues, body, carry)
    return state, cache


def result(state: State, config: GenerationConfig) -> SearchResult:
    """Returns the N best hypotheses of each source so far."""
    if isinstance(state, Rows):
        return greedy.result(state, config)
    return beam_search.result(state, config)
