"""Searches as compiled functions of a batch, for tests of `decoding`."""

import jax
import jax.numpy as jnp

from bertgen_jax.decoding import search
from bertgen_jax.decoding.step_function import Prompt

START = 2


def compiled(step, config, kind=None):
    """A search as a jitted function of (cache, start_ids i32[B], active bool[B]).

    With `kind`, the module `greedy` or `beam_search`, that search is used for any
    number of beams.
    """
    config = config.for_prompt(1)

    @jax.jit
    def run(cache, start_ids, active):
        ids, seeds = start_ids[:, None], jnp.arange(len(start_ids))
        prompt = Prompt(ids, active[:, None], seeds)
        capacity = config.num_new_tokens
        if kind is None:
            state = search.start(prompt, config)
            state, _ = search.advance(step, cache, state, config, capacity=capacity)
            return search.result(state, config)
        state, _ = jax.lax.while_loop(
            lambda carry: carry[0].is_open.any(),
            lambda carry: kind.advance(step, carry[1], carry[0], config, capacity),
            (kind.start(prompt, config), cache),
        )
        return kind.result(state, config)

    return run
