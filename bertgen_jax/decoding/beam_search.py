"""Beam search: a step function in, the best hypotheses of each source out.

It decides as transformers 4.50 to 5 decide: how many candidates are ranked, which of
them may finish, what displaces a finished one, when to stop; with several groups, as
version 4 did, which was the last to have them. The paper's length norm stands beside
the peer's. No cache is ever re-ordered: docs/generation.md, "Beams are positions".
"""

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
class Group:
    """Beams that compete with each other; mostly all R of a source, R' = R / groups."""

    # The R' running beams, best first.
    ids: jax.Array  # i32[B, R'] what the next step reads
    ancestors: jax.Array  # bool[B, R', R * T] the slots of each beam's past
    sequences: jax.Array  # i32[B, R', T]
    scores: jax.Array  # f32[B, R'] sums of log-probabilities
    # The R' best finished hypotheses; a place that is still free has length 0.
    finished: SearchResult
    is_open: jax.Array  # bool[B] another hypothesis may still enter `finished`


@struct.dataclass
class Beams:
    """The beams of each source, in groups that search one after the other."""

    prompt: Prompt
    position: jax.Array  # i32[B] tokens generated so far
    groups: tuple[Group, ...]

    @property
    def is_open(self) -> jax.Array:
        """bool[B]: another hypothesis may still be found."""
        return jnp.stack([group.is_open for group in self.groups]).any(axis=0)


def start(prompt: Prompt, config: GenerationConfig) -> Beams:
    """In each group equal beams of which only the first is alive."""
    batch, steps, rows = len(prompt.ids), config.num_new_tokens, config.num_beams
    beams = rows // config.num_beam_groups
    sequences = jnp.full((batch, beams, steps), config.fill_id, jnp.int32)
    scores = jnp.full((batch, beams), LOWEST_SCORE, jnp.float32)
    lengths = jnp.zeros((batch, beams), jnp.int32)
    group = Group(
        ids=jnp.broadcast_to(prompt.ids[:, -1:], (batch, beams)),
        ancestors=jnp.zeros((batch, beams, rows * steps), bool),
        sequences=sequences,
        scores=scores.at[:, 0].set(0.0),
        finished=SearchResult(sequences=sequences, scores=scores, lengths=lengths),
        is_open=prompt.mask.any(axis=1),
    )
    return Beams(
        prompt=prompt,
        position=jnp.zeros((batch,), jnp.int32),
        groups=(group,) * config.num_beam_groups,
    )


def advance(
    step: StepFn, cache: Any, state: Beams, config: GenerationConfig, room: int
) -> tuple[Beams, Any]:
    """One token more for every source that is open; see `chains.advance`."""
    ids = jnp.concatenate([group.ids for group in state.groups], axis=1)
    # A beam sees its past and the slot that it writes now.
    own = (
        state.position[:, None] * config.num_beams + jnp.arange(config.num_beams)[None]
    )
    past = jnp.concatenate([group.ancestors for group in state.groups], axis=1)
    ancestors = past | (jnp.arange(past.shape[2])[None, None] == own[:, :, None])
    visible = ancestors[:, :, : room * config.num_beams]
    logits, cache = step(cache, ids, state.position, visible)

    groups, chosen = [], []
    beams = config.num_beams // config.num_beam_groups
    for number, before in enumerate(state.groups):
        rows = slice(number * beams, (number + 1) * beams)
        group = _advance_group(
            before.replace(ancestors=ancestors[:, rows]),
            logits[:, :, rows].astype(jnp.float32),  # scores are f32
            state.prompt,
            state.position,
            chosen,
            config,
        )
        groups.append(group)
        # A group that has ended chooses padding: as the peer, whatever else pad means.
        chosen.append(jnp.where(before.is_open[:, None], group.ids, config.fill_id))
    return state.replace(
        position=state.position + state.is_open, groups=tuple(groups)
    ), cache


def _advance_group(
    group: Group,
    logits: jax.Array,
    prompt: Prompt,
    position: jax.Array,
    chosen: list[jax.Array],
    config: GenerationConfig,
) -> Group:
    """Of M candidates some finish and R' run on.

    Args:
      group: its `ancestors` hold the slots that its beams have just written.
      logits: f32[V, B, R'] of its beams.
      prompt: of all.
      position: i32[B], tokens that its beams have.
      chosen: i32[B, R'] for each earlier group, what it has chosen at this step.
      config: of the search.
    """
    beams, steps = group.sequences.shape[1:]
    scores, parents, ids = _candidates(group, logits, prompt, position, chosen, config)
    column = jnp.arange(steps)[None, None] == position[:, None, None]
    sequences = jnp.where(column, ids[:, :, None], rows_at(group.sequences, parents))
    is_eos = jnp.isin(ids, np.array(config.eos_ids, np.int32))
    is_cut = ~is_eos & (position + 1 >= steps)[:, None]

    # Only the R' best candidates may finish; those behind them are there to run on.
    may_finish = (jnp.arange(ids.shape[1]) < beams)[None] & group.is_open[:, None]
    if config.num_beam_groups > 1 and config.early_stopping is True:
        # Where as many have ended by themselves, none that was cut off enters.
        ended = (group.finished.lengths > 0).sum(1) + (is_eos & may_finish).sum(1)
        is_cut &= (ended < beams)[:, None]
    finishes = (is_eos | is_cut) & may_finish
    norms = jnp.asarray(config.length_norms())[position]
    normalised = scores / norms[:, None]
    length = position[:, None] + 1
    finished = _best(
        group.finished,
        SearchResult(
            sequences=sequences,
            scores=jnp.where(finishes, normalised, LOWEST_SCORE),
            lengths=jnp.broadcast_to(length, ids.shape),
        ),
    )

    # Only a candidate that does not end may run on; the others rank behind.
    best = scores[:, 0], normalised[:, 0]
    scores, runners = jax.lax.top_k(
        jnp.where(is_eos, scores + LOWEST_SCORE, scores), beams
    )
    # Version 4 compared with the best candidate, even if that had just ended.
    if config.num_beam_groups == 1:
        best = scores[:, 0], scores[:, 0] / norms
    improves = _may_improve(config, position, *best, finished)
    return Group(
        ids=rows_at(ids, runners),
        ancestors=rows_at(group.ancestors, rows_at(parents, runners)),
        sequences=rows_at(sequences, runners),
        scores=scores,
        finished=finished,
        is_open=group.is_open & improves,
    )


def _candidates(
    group: Group,
    logits: jax.Array,
    prompt: Prompt,
    position: jax.Array,
    chosen: list[jax.Array],
    config: GenerationConfig,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The likeliest continuations of all beams of a group, or drawn ones.

    Arguments are those of `_advance_group`.

    Returns:
      Sums of log-probabilities f32[B, M], best first, beams i32[B, M] that they
      continue, and tokens i32[B, M].
    """
    size, batch, beams = logits.shape
    count = config.candidates_per_beam * beams  # M
    norm = log_normalizer(logits)  # [B, R']
    scores = logits
    # Unless a rule needs them, only the few best are made log-probabilities.
    if chosen or config.do_sample or not logits_processors.only_bans(config):
        scores, norm = logits - norm[None], jnp.zeros_like(norm)
    if chosen:
        scores = scores - config.diversity_penalty * _counts(chosen, size)[..., None]
    if logits_processors.is_needed(config):
        history = logits_processors.History.of(
            prompt.ids, prompt.mask, group.sequences, position
        )
        scores = logits_processors.process(scores, history, config)

    if config.do_sample:
        scores, ids = sampling.shortlist(scores, config)
        totals = (group.scores[:, :, None] + scores).reshape(batch, -1)
        noise = sampling.noise(config.seed, prompt.seeds, position, totals.shape[1:])
        _, places = top_k((totals + noise).T, count)
        totals = jnp.take_along_axis(totals, places, axis=1)
        totals, order = jax.lax.top_k(totals, count)
        places = jnp.take_along_axis(places, order, axis=1)
    else:
        # The best of all beams are among the best of each.
        few = min(count, size)
        scores, ids = top_k(scores.reshape(size, -1), few)
        scores = scores.reshape(batch, beams, few) - norm[:, :, None]
        totals = (group.scores[:, :, None] + scores).reshape(batch, -1)
        totals, places = jax.lax.top_k(totals, count)
    ids = ids.reshape(batch, -1)
    parents = places // (ids.shape[1] // beams)
    return totals, parents, jnp.take_along_axis(ids, places, axis=1)


def _counts(chosen: list[jax.Array], size: int) -> jax.Array:
    """How many beams of earlier groups have chosen each token, f32[V, B]."""
    ids = jnp.concatenate(chosen, axis=1)
    counts = jnp.zeros((size, len(ids)), jnp.float32)
    return counts.at[ids, jnp.arange(len(ids))[:, None]].add(1.0)


def _best(finished: SearchResult, candidates: SearchResult) -> SearchResult:
    """The R' best of the finished [B, R'] and of the candidates [B, M].

    Of equals the finished ones come first: a candidate with the score `LOWEST_SCORE`
    never takes a place, not even a free one.
    """
    both = jax.tree.map(
        lambda x, y: jnp.concatenate([x, y], axis=1), finished, candidates
    )
    _, best = jax.lax.top_k(both.scores, finished.scores.shape[1])
    return jax.tree.map(lambda x: rows_at(x, best), both)


def _may_improve(
    config: GenerationConfig,
    position: jax.Array,
    best: jax.Array,
    best_normalised: jax.Array,
    finished: SearchResult,
) -> jax.Array:
    """Whether a running beam may still displace a finished hypothesis: bool[B].

    Args:
      config: see `GenerationConfig.early_stopping`.
      position: i32[B], tokens of a running beam, less one.
      best: f32[B], the best sum of log-probabilities among them.
      best_normalised: f32[B], the same over the norm of its length.
      finished: the R' places of each source.
    """
    has_room = position + 1 < config.num_new_tokens
    is_full = (finished.lengths > 0).all(axis=-1)
    if config.early_stopping is True:
        return ~is_full & has_room
    bound = best_normalised
    if config.early_stopping == "never" and config.length_penalty > 0:
        bound = best / config.length_norms()[-1]  # as if no later token cost anything
    worst = finished.scores[:, -1]
    return has_room & (~is_full | (bound > worst))


def result(state: Beams, config: GenerationConfig) -> SearchResult:
    """The best finished hypotheses of all groups."""
    groups = [group.finished for group in state.groups]
    found = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *groups)
    _, best = jax.lax.top_k(found.scores, config.num_return_sequences)
    return jax.tree.map(lambda x: rows_at(x, best), found)
