"""A step function in, hypotheses out: the search that a `GenerationConfig` asks for.

A search is a state that `advance` moves by one token a source; sources may stand at
different positions, so one that has ended can make room for another.
"""

from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.decoding import beam_search, greedy
from bertgen_jax.decoding.beam_search import Beams
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.greedy import Chains
from bertgen_jax.decoding.step_function import Prompt, SearchResult, StepFn

State = Beams | Chains


def _kind(config: GenerationConfig) -> Any:
    """Chains for one beam, beam search for more, as the peer chooses.

    Beam search with one beam is another search than greedy: it may go on with the
    second best token after the best one was EOS.
    """
    return greedy if config.num_beams == 1 else beam_search


def start(prompt: Prompt, config: GenerationConfig) -> State:
    """The state of sources for which nothing was generated."""
    return _kind(config).start(prompt, config)


def advance(
    step: StepFn,
    cache: Any,
    state: State,
    config: GenerationConfig,
    *,
    room: int,
    least_open: int | jax.Array = 0,
    most_steps: int | jax.Array | None = None,
) -> tuple[State, Any]:
    """Runs while there is something to do.

    Args:
      step: see `contract.StepFn`.
      cache: its cache, with R * `room` slots a source.
      state: of `start` or `advance`.
      config: of `GenerationConfig.for_prompt`.
      room: stops when an open source needs position `room`.
      least_open: stops when no more sources than this are open.
      most_steps: stops after so many steps; None: only for the other reasons.

    Returns:
      The state and the cache.
    """

    def goes_on(carry: tuple[State, Any, jax.Array]) -> jax.Array:
        state, _, steps = carry
        is_open = state.is_open
        goes = is_open.sum() > least_open
        goes &= (is_open * state.position).max() < room
        return goes if most_steps is None else goes & (steps < most_steps)

    def body(carry: tuple[State, Any, jax.Array]) -> tuple[State, Any, jax.Array]:
        state, cache, steps = carry
        state, cache = _kind(config).advance(step, cache, state, config, room)
        return state, cache, steps + 1

    carry = (state, cache, jnp.zeros((), jnp.int32))
    state, cache, _ = jax.lax.while_loop(goes_on, body, carry)
    return state, cache


def result(state: State, config: GenerationConfig) -> SearchResult:
    """The best hypotheses so far, N of each source."""
    return _kind(config).result(state, config)
