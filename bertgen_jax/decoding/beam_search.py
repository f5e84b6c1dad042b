"""Searches with several beams for the best hypotheses of each source.

The decisions are those of transformers 4.50 to 5: how many candidates are ranked, which
of them may finish, which replace a finished hypothesis, and when to stop. Searches with
several groups decide as version 4, the last to have groups. The length norm is the
paper's or Hugging Face's. No cache is re-ordered; see "Beams are positions" in
docs/generation.md.

Letters: B sources, R beams of a source, R' beams of a group, M candidates of a group,
T new tokens, V vocabulary.
"""

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
class Group:
    """Beams that compete with each other: R' = R / groups of a source, often all R."""

    # The R' running beams, best first.
    ids: jax.Array  # i32[B, R'] tokens that the next step reads
    ancestors: jax.Array  # bool[B, R', R * T] cache slots of each beam's past
    sequences: jax.Array  # i32[B, R', T]
    scores: jax.Array  # f32[B, R'] sums of log-probabilities
    # The R' best finished hypotheses; a row that is still free has length 0.
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
        """Whether a source may still get another hypothesis, bool[B]."""
        return jnp.stack([group.is_open for group in self.groups]).any(axis=0)


def start(prompt: Prompt, config: GenerationConfig) -> Beams:
    """Returns groups of equal beams, of which only the first has a score above -1e9."""
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
    step: StepFn, cache: Any, state: Beams, config: GenerationConfig, capacity: int
) -> tuple[Beams, Any]:
    """Generates one more token for every source that is open; see `greedy.advance`."""
    rows = config.num_beams
    # groups * [B, R'] -> [B, R]
    ids = jnp.concatenate([group.ids for group in state.groups], axis=1)
    past = jnp.concatenate([group.ancestors for group in state.groups], axis=1)
    # A beam sees its past and the slot that it writes now: [B] -> [B, R] -> [B, R, R*T]
    slots = state.position[:, None] * rows + jnp.arange(rows)[None]
    ancestors = past | (jnp.arange(past.shape[2])[None, None] == slots[:, :, None])
    visible = ancestors[:, :, : capacity * rows]  # [B, R, R*T] -> [B, R, C]
    logits, cache = step(cache, ids, state.position, visible)  # [V, B, R]

    groups, chosen = [], []
    beams = config.num_beams // config.num_beam_groups
    for number, group in enumerate(state.groups):
        own_rows = slice(number * beams, (number + 1) * beams)
        advanced = _advance_group(
            dataclasses.replace(group, ancestors=ancestors[:, own_rows]),
            logits[:, :, own_rows].astype(jnp.float32),  # scores are f32
            state.prompt,
            state.position,
            chosen,
            config,
        )
        groups.append(advanced)
        # A group that has ended chooses padding, as in Hugging Face, even if the pad id
        # is also another token.
        chosen.append(jnp.where(group.is_open[:, None], advanced.ids, config.fill_id))
    position = state.position + state.is_open
    return dataclasses.replace(state, position=position, groups=tuple(groups)), cache


def _advance_group(
    group: Group,
    logits: jax.Array,
    prompt: Prompt,
    position: jax.Array,
    chosen: list[jax.Array],
    config: GenerationConfig,
) -> Group:
    """Takes M candidates, of which some finish and R' continue.

    Args:
      group: the group; its `ancestors` include the slots that it has just written.
      logits: f32[V, B, R'] of its beams.
      prompt: the prompts, which all groups continue.
      position: i32[B], number of tokens that its beams have.
      chosen: for each earlier group, the tokens i32[B, R'] chosen at this step.
      config: the settings of the search.
    """
    beams, steps = group.sequences.shape[1:]
    # f32[B, M], i32[B, M], i32[B, M]
    scores, parents, ids = _candidates(group, logits, prompt, position, chosen, config)
    column = jnp.arange(steps)[None, None] == position[:, None, None]  # [B, 1, T]
    # [B, R', T] -> [B, M, T]
    sequences = jnp.where(column, ids[:, :, None], rows_at(group.sequences, parents))
    is_eos = jnp.isin(ids, np.array(config.eos_ids, np.int32))
    is_cut = ~is_eos & (position + 1 >= steps)[:, None]

    # Only the R' best candidates may finish; the others can only continue.
    may_finish = (jnp.arange(ids.shape[1]) < beams)[None] & group.is_open[:, None]
    if config.num_beam_groups > 1 and config.early_stopping is True:
        # Once R' hypotheses have ended with EOS, those cut off at the end do not enter.
        ended = (group.finished.lengths > 0).sum(1) + (is_eos & may_finish).sum(1)
        is_cut &= (ended < beams)[:, None]
    finishes = (is_eos | is_cut) & may_finish
    norms = jnp.asarray(config.length_norms())[position]  # [B]
    normalised = scores / norms[:, None]  # [B, M]
    length = position[:, None] + 1
    finished = _best(
        group.finished,
        SearchResult(
            sequences=sequences,
            scores=jnp.where(finishes, normalised, LOWEST_SCORE),
            lengths=jnp.broadcast_to(length, ids.shape),
        ),
    )

    # Only a candidate that does not end may continue; the others rank last.
    best = scores[:, 0], normalised[:, 0]
    scores, survivors = jax.lax.top_k(  # [B, M] -> [B, R']
        jnp.where(is_eos, scores + LOWEST_SCORE, scores), beams
    )
    # Version 4 compared with the best candidate even if that had just ended.
    if config.num_beam_groups == 1:
        best = scores[:, 0], scores[:, 0] / norms
    improves = _may_improve(config, position, *best, finished)
    return Group(
        ids=rows_at(ids, survivors),
        ancestors=rows_at(group.ancestors, rows_at(parents, survivors)),
        sequences=rows_at(sequences, survivors),
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
    """Returns the likeliest continuations of the beams of a group, or drawn ones.

    For the arguments, see `_advance_group`.

    Returns:
      Sums of log-probabilities f32[B, M], best first; the beams i32[B, M] that are
      continued; and the tokens i32[B, M].
    """
    size, batch, beams = logits.shape
    count = config.candidates_per_beam * beams  # M
    norm = log_normalizer(logits)  # [B, R']
    scores = logits
    # Unless a rule needs all log-probabilities, only the best ones are computed.
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
        scores, ids = sampling.shortlist(scores, config)  # [V, B, R'] -> [B, R', n]
        # [B, R', n] -> [B, R'*n]
        totals = (group.scores[:, :, None] + scores).reshape(batch, -1)
        noise = sampling.noise(config.seed, prompt.seeds, position, totals.shape[1:])
        _, columns = top_k((totals + noise).T, count)  # [R'*n, B] -> [B, M]
        totals = jnp.take_along_axis(totals, columns, axis=1)
        totals, order = jax.lax.top_k(totals, count)  # sorts [B, M]
        columns = jnp.take_along_axis(columns, order, axis=1)
    else:
        # The best n of all beams are among the best n of each beam.
        per_beam = min(count, size)
        # [V, B*R'] -> [B*R', n]
        scores, ids = top_k(scores.reshape(size, -1), per_beam)
        # [B*R', n] -> [B, R', n] -> [B, R'*n] -> [B, M]
        scores = scores.reshape(batch, beams, per_beam) - norm[:, :, None]
        totals = (group.scores[:, :, None] + scores).reshape(batch, -1)
        totals, columns = jax.lax.top_k(totals, count)
    ids = ids.reshape(batch, -1)  # -> [B, R'*n]
    parents = columns // (ids.shape[1] // beams)
    return totals, parents, jnp.take_along_axis(ids, columns, axis=1)


def _counts(chosen: list[jax.Array], size: int) -> jax.Array:
    """Counts how many beams of earlier groups have chosen each token, f32[V, B]."""
    ids = jnp.concatenate(chosen, axis=1)
    counts = jnp.zeros((size, len(ids)), jnp.float32)
    return counts.at[ids, jnp.arange(len(ids))[:, None]].add(1.0)


def _best(finished: SearchResult, candidates: SearchResult) -> SearchResult:
    """Returns the R' best of the finished [B, R'] and the candidates [B, M].

    Of equal scores the finished ones come first, so a candidate with the score
    `LOWEST_SCORE` never enters, not even in a free row.
    """
    # [B, R', ...], [B, M, ...] -> [B, R' + M, ...] -> [B, R', ...]
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
    """Returns whether a running beam may still replace a finished one, bool[B].

    Args:
      config: see `GenerationConfig.early_stopping`.
      position: i32[B], number of tokens of a running beam, minus one.
      best: f32[B], the best sum of log-probabilities of a running beam.
      best_normalised: f32[B], the same, divided by the norm of its length.
      finished: the R' rows of each source.
    """
    has_room = position + 1 < config.num_new_tokens
    is_full = (finished.lengths > 0).all(axis=-1)
    if config.early_stopping is True:
        return ~is_full & has_room
    bound = best_normalised
    if config.early_stopping == "never" and config.length_penalty > 0:
        bound = best / config.length_norms()[-1]  # if later tokens had probability 1
    worst = finished.scores[:, -1]
    return has_room & (~is_full | (bound > worst))


def result(state: Beams, config: GenerationConfig) -> SearchResult:
    """Returns the N best finished hypotheses of all groups."""
    groups = [group.finished for group in state.groups]
    # groups * [B, R', ...] -> [B, R, ...] -> [B, N, ...]
    finished = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *groups)
    _, best = jax.lax.top_k(finished.scores, config.num_return_sequences)
    return jax.tree.map(lambda x: rows_at(x, best), finished)
