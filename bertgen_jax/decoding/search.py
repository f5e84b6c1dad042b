"""A step function in, hypotheses out: the search that a `GenerationConfig` asks for."""

from typing import Any

import jax

from bertgen_jax.decoding.beam_search import beam_search
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import SearchResult, StepFn
from bertgen_jax.decoding.greedy import greedy_search


def search(
    step: StepFn,
    cache: Any,
    start_ids: jax.Array,
    config: GenerationConfig,
    active: jax.Array | None = None,
) -> SearchResult:
    """Greedy search for one beam, beam search for more; arguments are as theirs.

    The peer chooses likewise. Beam search with one beam is another search than greedy:
    it may go on with the second best token after the best one was EOS.
    """
    run = greedy_search if config.num_beams == 1 else beam_search
    return run(step, cache, start_ids, config, active)
