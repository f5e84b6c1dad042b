"""Generates for any number of sources, and yields each result once it is complete.

Continuous batching: a batch has B slots, each with one source. When some sources have
ended, `_insert` gives their slots to the next ones, while the others continue from
their own positions; so no step is spent on sources that have ended. The longest sources
come first, padded to one of two widths.

A list compiles at most eight programs. With two widths these are one `_insert` and two
`_run` for each width, and one `_extend`. With one width, `_gather` and two more `_run`
are for the smaller batch that finishes the list.

The constants below were chosen on two CPU cores (docs/generation.md) and have not been
measured elsewhere. On a GPU or TPU a step takes about as long for a half-empty batch as
for a full one, so insertions in smaller parts may pay, and compiling takes a larger
share of the time, so a second width may not.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bertgen_jax.decoding import search
from bertgen_jax.decoding.beam_search import Beams
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import SearchResult
from bertgen_jax.generation import decoder_step
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.generation.decoder_step import DecoderWeights, KVCache
from bertgen_jax.generation.generator import Generator
from bertgen_jax.generation.prefill import PrefillCache
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.trees import Params, PyTree

_WIDTH_MULTIPLE = 32  # tokens; keeps the number of shapes to compile small
_FIRST_CAPACITY = 64  # target positions; grows once for longer targets, which are few
_PARTS = 8  # slots are filled by eighths of a batch; smaller parts are inefficient
_SHRINK_FACTOR = 4  # the batch shrinks once, by this factor, when the rest fits
_LEAST_BATCHES = 4  # a shorter list has one width, because compiling costs more


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """The N best hypotheses of one source, best first, on the host.

    Attributes:
      index: the index of the source in the list.
      sequences: i32[N, T], padded after EOS; scores: f32[N]; lengths: i32[N].
    """

    index: int
    sequences: np.ndarray
    scores: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of_slot(cls, index: int, result: SearchResult, slot: int) -> "Hypotheses":
        """Takes the hypotheses of one slot from the result of a batch on the host."""
        rows = (result.sequences[slot], result.scores[slot], result.lengths[slot])
        return cls(index, *map(np.asarray, rows))

    def tokens(self, rank: int) -> list[int]:
        """Returns the ids of one hypothesis, EOS included."""
        return self.sequences[rank, : self.lengths[rank]].tolist()


def generate_each(
    generator: Generator,
    sources: Sequence[Sequence[int]],
    config: GenerationConfig,
    batch_size: int,
    seeds: Sequence[int] | None = None,
) -> Iterator[Hypotheses]:
    """Generates for each source, in no particular order.

    Args:
      generator: a generator of an encoder-decoder or a prefix language model.
      sources: the ids of each source in the vocabulary, at least one and at most
        `generator.longest_source(config)`.
      config: as `Generator.resolve` returns it for a prompt of the start token.
      batch_size: slots B; fewer are used where there are fewer sources.
      seeds: one for each source, by default its index in the list. Sampled tokens
        of a source depend on its seed, not on the other sources.

    Yields:
      The hypotheses of each source, once they are complete.
    """
    while 1 <= len(sources) <= batch_size // 2:  # halves: few sizes to compile
        batch_size //= 2
    for width, indices, is_only in _by_width(sources, batch_size):
        batch = _Batch(generator, config, batch_size, width, seeds)
        queue = [(index, sources[index]) for index in indices]
        yield from batch.generate(queue, may_shrink=is_only)


def stream(
    generator: Generator, source: Sequence[int], config: GenerationConfig
) -> Iterator[list[int]]:
    """Generates for one source, and yields tokens of the result once they are certain.

    Args:
      generator, config: as in `generate_each`.
      source: the ids of the source.

    Yields:
      After each step, the tokens that the result is certain to begin with. With beams
      these are the common first tokens of all hypotheses that may still win.
      At the end, all tokens of the best hypothesis.
    """
    batch = _Batch(generator, config, 1, _padded(len(source)))
    batch.insert([(0, source)])
    while True:
        batch.run(one_step=True)
        state, result = jax.device_get((batch.state, batch.result))
        best = Hypotheses.of_slot(0, result, 0)
        if not batch.is_open[0]:
            yield best.tokens(0)
            return
        yield _certain_tokens(state, best)


def _certain_tokens(state: search.State, best: Hypotheses) -> list[int]:
    """Returns the tokens that the result of an open search is certain to begin with."""
    length = int(state.position[0])
    if not isinstance(state, Beams):
        return np.asarray(state.sequences)[0, 0, :length].tolist()
    rows = [best.sequences[0, : best.lengths[0]]] if best.lengths[0] else []
    for group in state.groups:
        if group.is_open[0]:
            rows += list(np.asarray(group.sequences)[0, :, :length])
    shortest = min(map(len, rows))
    is_common = np.all([row[:shortest] == rows[0][:shortest] for row in rows], axis=0)
    end = shortest if is_common.all() else int(is_common.argmin())
    return rows[0][:end].tolist()


def _padded(length: int) -> int:
    return -(-max(length, 1) // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE


def _by_width(
    sources: Sequence[Sequence[int]], batch_size: int
) -> Iterator[tuple[int, list[int], bool]]:
    """Sorts sources into one or two widths, so that few padding tokens are read.

    Yields:
      A width, the indices of its sources, longest first, and whether it is the only
      width.
    """
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    if not order:
        return
    widths = np.array([_padded(len(sources[i])) for i in order])
    # Candidate splits are where the width changes; their cost is the tokens to read.
    splits = np.flatnonzero(np.diff(widths)) + 1
    costs = [n * widths[0] + (len(order) - n) * widths[n] for n in splits]
    if len(order) < _LEAST_BATCHES * batch_size or not costs:
        yield int(widths[0]), order, True
        return
    split = int(splits[int(np.argmin(costs))])
    yield int(widths[0]), order[:split], False
    yield int(widths[split]), order[split:], False


class _Batch:
    """A batch of B slots, each of which is free or holds a source.

    Attributes:
      state: the state of the search.
      result: the best hypotheses so far; None before the first `run`.
      is_open: bool[B], True for sources that have not ended.
    """

    def __init__(
        self,
        generator: Generator,
        config: GenerationConfig,
        size: int,
        width: int,
        seeds: Sequence[int] | None = None,
    ):
        self._generator, self._config, self._seeds = generator, config, seeds
        # The longest source may not be a multiple of `_WIDTH_MULTIPLE`.
        self._width = min(width, generator.longest_source(config))
        self._part = max(1, size // _PARTS)  # sources that are inserted at a time
        self._indices: list[int | None] = [None] * size  # sources by slot; None: free
        shapes = jax.eval_shape(
            functools.partial(generator_lib.start, generator.model, config),
            generator.params,
            *self._arrays([], size),
        )
        self._prefill_cache, self.state = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), shapes
        )
        self._capacity = min(_FIRST_CAPACITY, config.num_new_tokens)
        self._cache = generator_lib.new_cache(
            generator.model, config, size, self._capacity
        )
        self.is_open = np.zeros(size, bool)
        self.result: SearchResult | None = None

    def generate(
        self, queue: list[tuple[int, Sequence[int]]], may_shrink: bool
    ) -> Iterator[Hypotheses]:
        """Generates for a queue of (index, ids).

        Args:
          queue: the sources.
          may_shrink: whether a smaller batch may finish the list.
        """
        queue = queue[::-1]
        while True:
            while queue and self._num_free >= min(self._part, len(queue)):
                count = min(self._part, len(queue))
                self.insert([queue.pop() for _ in range(count)])
            if not self._num_used:
                return
            rest = len(self._indices) // _SHRINK_FACTOR if may_shrink else 0
            least_open = rest
            if queue:  # run until the next part of the queue has slots
                part = min(self._part, len(queue))
                least_open = self._num_used - part + self._num_free
            self.run(least_open)
            yield from self._collect()
            if not queue and 0 < self._num_used <= rest:
                self._shrink(rest)
                may_shrink = False

    @property
    def _num_free(self) -> int:
        return self._indices.count(None)

    @property
    def _num_used(self) -> int:
        return len(self._indices) - self._num_free

    def insert(self, sources: list[tuple[int, Sequence[int]]]) -> None:
        """Reads sources (index, ids), at most one part, into free slots."""
        free = [slot for slot, index in enumerate(self._indices) if index is None]
        # Slot B does not exist, so rows without a source are dropped.
        slots = np.full(self._part, len(self._indices), np.int32)
        for row, (slot, (index, _)) in enumerate(zip(free, sources, strict=False)):
            slots[row] = slot
            self._indices[slot] = index
        self._prefill_cache, self.state = _insert(
            self._generator.model,
            self._config,
            self._generator.params,
            *self._arrays(sources, self._part),
            slots,
            self._prefill_cache,
            self.state,
        )

    def _arrays(
        self, sources: list[tuple[int, Sequence[int]]], rows: int
    ) -> tuple[np.ndarray, ...]:
        """Returns the last arguments of `generator.start`, padded to `rows` rows."""
        ids = np.zeros((rows, self._width), np.int32)
        mask = np.zeros((rows, self._width), bool)
        seeds = np.zeros(rows, np.int32)
        for row, (index, tokens) in enumerate(sources):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
            seeds[row] = index if self._seeds is None else self._seeds[index]
        start = np.full((rows, 1), self._config.decoder_start_token_id, np.int32)
        return start, np.any(mask, axis=1, keepdims=True), ids, mask, seeds

    def run(self, least_open: int = 0, one_step: bool = False) -> None:
        """Generates for one step, or until at most `least_open` sources are open."""
        while True:
            self.state, self._cache, self.result, is_open, position = _run(
                self._config,
                self._generator.weights,
                self._prefill_cache,
                self._cache,
                self.state,
                least_open,
                1 if one_step else self._config.num_new_tokens,
            )
            self.is_open, position = jax.device_get((is_open, position))
            if self.is_open.sum() <= least_open:
                return
            if position == self._capacity:
                more = self._config.num_new_tokens - self._capacity
                self._cache = _extend(self._cache, more * self._config.num_rows)
                self._capacity += more
            if one_step:
                return

    def _collect(self) -> Iterator[Hypotheses]:
        """Yields the hypotheses of sources that have ended, and frees their slots."""
        result = jax.device_get(self.result)
        for slot, index in enumerate(self._indices):
            if index is not None and not self.is_open[slot]:
                self._indices[slot] = None
                yield Hypotheses.of_slot(index, result, slot)

    def _shrink(self, size: int) -> None:
        """Drops free slots, so that `size` slots remain."""
        order = sorted(
            range(len(self._indices)), key=lambda slot: self._indices[slot] is None
        )
        slots = np.array(order[:size], np.int32)
        self._indices = [self._indices[slot] for slot in slots]
        self._prefill_cache, self._cache, self.state = _gather(
            (self._prefill_cache, self._cache, self.state), slots
        )


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(9, 10))
def _insert(
    model: GenerativeModel,
    config: GenerationConfig,
    params: Params,
    prompt_ids: jax.Array,
    prompt_mask: jax.Array,
    source: jax.Array,
    source_mask: jax.Array,
    seeds: jax.Array,
    slots: jax.Array,
    prefill_cache: PrefillCache,
    state: search.State,
) -> tuple[PrefillCache, search.State]:
    """Reads new sources into `slots`; rows whose slot does not exist are dropped."""
    new = generator_lib.start(
        model, config, params, prompt_ids, prompt_mask, source, source_mask, seeds
    )
    return jax.tree.map(
        lambda old, new: old.at[slots].set(new, mode="drop"),
        (prefill_cache, state),
        new,
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(3, 4))
def _run(
    config: GenerationConfig,
    weights: DecoderWeights,
    prefill_cache: PrefillCache,
    cache: KVCache,
    state: search.State,
    least_open: jax.Array,
    most_steps: jax.Array,
) -> tuple[search.State, KVCache, SearchResult, jax.Array, jax.Array]:
    """Runs `search.advance`.

    Returns:
      Its state and cache, the best hypotheses so far, which sources are open, bool[B],
      and the largest position among them, i32[].
    """
    state, cache = search.advance(
        functools.partial(decoder_step.step, weights, prefill_cache),
        cache,
        state,
        config,
        capacity=cache.capacity // config.num_rows,
        least_open=least_open,
        most_steps=most_steps,
    )
    position = (state.is_open * state.position).max()
    return state, cache, search.result(state, config), state.is_open, position


@functools.partial(jax.jit, static_argnums=1)
def _extend(cache: KVCache, count: int) -> KVCache:
    return cache.extended(count)


@jax.jit
def _gather(batch: PyTree, slots: jax.Array) -> PyTree:
    return jax.tree.map(lambda x: x[slots], batch)
