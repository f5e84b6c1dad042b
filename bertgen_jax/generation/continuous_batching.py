"""Any number of sources in, their hypotheses out as they are found.

A batch has places for B sources. As soon as some have ended, their places go to the
next of the queue, so that no step is spent on what is finished; the others go on where
they stand. Longest sources come first, and are padded to one of two widths. So a list
compiles at most eight programs: with two widths `admit` and two of `run` for each, and
one that makes room; with one width, two more of `run` and one that gathers the rest in
a smaller batch.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bertgen_jax.decoding import search
from bertgen_jax.decoding.beam_search import Beams
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import Prompt, SearchResult
from bertgen_jax.generation import decoder_step
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.generation.decoder_step import DecoderWeights, KVCache
from bertgen_jax.generation.generator import Generator, Inputs
from bertgen_jax.generation.prefill import PrefillCache

_WIDTH_MULTIPLE = 32  # tokens: few shapes to compile
_FIRST_ROOM = 64  # positions; few targets are longer, and for them there is more
_PARTS = 8  # a batch is filled by eighths, each worth a product
_REST = 4  # a batch shrinks once, by so much


@dataclasses.dataclass(frozen=True)
class Found:
    """The hypotheses of one source.

    Attributes:
      index: its place in the list.
      sequences: i32[N, T], padded after EOS; scores: f32[N]; lengths: i32[N].
    """

    index: int
    sequences: np.ndarray
    scores: np.ndarray
    lengths: np.ndarray

    def tokens(self, place: int) -> list[int]:
        """The hypothesis at `place`, EOS included."""
        return self.sequences[place, : self.lengths[place]].tolist()


def generate_each(
    generator: Generator,
    sources: Sequence[Sequence[int]],
    config: GenerationConfig,
    batch_size: int,
    seeds: Sequence[int] | None = None,
) -> Iterator[Found]:
    """Generates for each source, in no particular order.

    Args:
      generator: of an encoder-decoder or a prefix language model.
      sources: their ids, one or more each, in the vocabulary and not too long.
      config: how to search. What is drawn for a source depends on its seed, not on its
        company.
      batch_size: places B; fewer where there are fewer sources.
      seeds: one for each source; by default their places in the list.

    Yields:
      One `Found` for each, as soon as it is found.

    Raises:
      ConfigError: a setting that cannot be meant, or no room for the new tokens.
    """
    config = generator.for_sources(config)
    while 1 <= len(sources) <= batch_size // 2:  # halves: few sizes to compile
        batch_size //= 2
    for width, chosen, is_only in _by_width(sources, batch_size):
        places = _Places(generator, config, batch_size, width, seeds)
        yield from places.work_off([(i, sources[i]) for i in chosen], is_only)


def stream(
    generator: Generator, source: Sequence[int], config: GenerationConfig
) -> Iterator[list[int]]:
    """Generates for one source.

    Args:
      generator, config: as in `generate_each`.
      source: its ids.

    Yields:
      After each step the tokens that are sure by then: those of the best hypothesis,
      whatever comes. With beams these are what all that may still win begin with.
    """
    config = generator.for_sources(config)
    places = _Places(generator, config, 1, _padded(len(source)))
    places.admit([(0, source)])
    while True:
        places.run(one_step=True)
        state, found = jax.device_get((places.state, places.found))
        best = Found(0, found.sequences[0], found.scores[0], found.lengths[0])
        if not places.is_open[0]:
            yield best.tokens(0)
            return
        yield _sure(state, best)


def _sure(state: search.State, best: Found) -> list[int]:
    """What the result begins with, whatever comes, while a source is open."""
    length = int(state.position[0])
    if not isinstance(state, Beams):
        return state.sequences[0, 0, :length].tolist()
    rows = [best.sequences[0, : best.lengths[0]]] if best.lengths[0] else []
    for group in state.groups:
        if group.is_open[0]:
            rows += list(group.sequences[0, :, :length])
    shortest = min(map(len, rows))
    same = np.all([row[:shortest] == rows[0][:shortest] for row in rows], axis=0)
    return rows[0][: shortest if same.all() else int(same.argmin())].tolist()


def _padded(length: int) -> int:
    return -(-max(length, 1) // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE


def _by_width(
    sources: Sequence[Sequence[int]], batch_size: int
) -> Iterator[tuple[int, list[int], bool]]:
    """Sorts sources into one or two widths, so that the least padding is read.

    Yields:
      A width, the places of its sources, longest first, and whether it is the only one.
    """
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    if not order:
        return
    widths = np.array([_padded(len(sources[i])) for i in order])
    # Each split at a change of width, and what is read then.
    splits = np.flatnonzero(np.diff(widths)) + 1
    costs = [n * widths[0] + (len(order) - n) * widths[n] for n in splits]
    if len(order) < 4 * batch_size or not costs:  # another program is not worth it
        yield int(widths[0]), order, True
        return
    split = int(splits[int(np.argmin(costs))])
    yield int(widths[0]), order[:split], False
    yield int(widths[split]), order[split:], False


class _Places:
    """A batch of B places, each with a source that is being worked on, or free."""

    def __init__(
        self,
        generator: Generator,
        config: GenerationConfig,
        size: int,
        width: int,
        seeds: Sequence[int] | None = None,
    ):
        self._generator, self._config, self._seeds = generator, config, seeds
        # What the model has positions for may be no multiple.
        self._width = min(width, generator.longest_source(config))
        self._batch = max(1, size // _PARTS)
        self._occupants: list[int | None] = [None] * size
        inputs = self._inputs([], size)
        shapes = jax.eval_shape(
            functools.partial(generator_lib.begin, generator.model, config),
            generator.params,
            inputs,
        )
        self._prefill_cache, self.state = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), shapes
        )
        self._room = min(_FIRST_ROOM, config.num_new_tokens)
        self._cache = generator_lib.new_cache(generator.model, config, size, self._room)
        self.is_open = np.zeros(size, bool)
        self.found: SearchResult | None = None

    def work_off(
        self, queue: list[tuple[int, Sequence[int]]], may_shrink: bool
    ) -> Iterator[Found]:
        """Generates for a queue of (index, ids)."""
        queue = queue[::-1]
        while True:
            while queue and self._free() >= min(self._batch, len(queue)):
                count = min(self._batch, len(queue))
                self.admit([queue.pop() for _ in range(count)])
            occupied = sum(i is not None for i in self._occupants)
            if not occupied:
                return
            rest = len(self._occupants) // _REST if may_shrink else 0
            least_open = rest
            if queue:  # until there are places for the next
                least_open = occupied - min(self._batch, len(queue)) + self._free()
            self.run(least_open)
            yield from self._harvest()
            occupied = sum(i is not None for i in self._occupants)
            if not queue and 0 < occupied <= rest:
                self._shrink(rest)
                may_shrink = False

    def _free(self) -> int:
        return sum(i is None for i in self._occupants)

    def admit(self, sources: list[tuple[int, Sequence[int]]]) -> None:
        """Gives free places to sources (index, ids), no more than are read at once."""
        free = [row for row, i in enumerate(self._occupants) if i is None]
        rows = np.full(self._batch, len(self._occupants), np.int32)  # nowhere
        for place, (row, (index, _)) in enumerate(zip(free, sources, strict=False)):
            rows[place] = row
            self._occupants[row] = index
        self._prefill_cache, self.state = _admit(
            self._generator.model,
            self._config,
            self._generator.params,
            self._inputs(sources, self._batch),
            rows,
            self._prefill_cache,
            self.state,
        )

    def _inputs(self, sources: list[tuple[int, Sequence[int]]], size: int) -> Inputs:
        ids = np.zeros((size, self._width), np.int32)
        mask = np.zeros((size, self._width), bool)
        seeds = np.zeros(size, np.int32)
        for row, (index, tokens) in enumerate(sources):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
            seeds[row] = index if self._seeds is None else self._seeds[index]
        start = np.full((size, 1), self._config.decoder_start_token_id, np.int32)
        return Inputs(ids, mask, None, Prompt(start, mask.any(1, keepdims=True), seeds))

    def run(self, least_open: int = 0, one_step: bool = False) -> None:
        """Goes on until no more sources than `least_open` are open, or one step."""
        while True:
            self.state, self._cache, self.found, is_open, last = _run(
                self._config,
                self._generator.weights,
                self._prefill_cache,
                self._cache,
                self.state,
                least_open,
                1 if one_step else self._config.num_new_tokens,
            )
            self.is_open, last = jax.device_get((is_open, last))
            if last == self._room and self.is_open.sum() > least_open:
                more = self._config.num_new_tokens - self._room
                self._cache = _extended(self._cache, more * self._config.num_rows)
                self._room += more
            elif self.is_open.sum() <= least_open:
                return
            if one_step:
                return

    def _harvest(self) -> Iterator[Found]:
        """What has ended, whose places are free from now on."""
        found = jax.device_get(self.found)
        for row, index in enumerate(self._occupants):
            if index is not None and not self.is_open[row]:
                self._occupants[row] = None
                yield Found(
                    index, found.sequences[row], found.scores[row], found.lengths[row]
                )

    def _shrink(self, size: int) -> None:
        """Leaves out free places, so that `size` remain."""
        order = sorted(
            range(len(self._occupants)), key=lambda row: self._occupants[row] is None
        )
        rows = np.array(order[:size], np.int32)
        self._occupants = [self._occupants[row] for row in rows]
        self._prefill_cache, self._cache, self.state = _gather(
            (self._prefill_cache, self._cache, self.state), rows
        )


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(5, 6))
def _admit(
    model: Any,
    config: GenerationConfig,
    params: Any,
    inputs: Inputs,
    rows: jax.Array,
    prefill_cache: PrefillCache,
    state: search.State,
) -> tuple[PrefillCache, search.State]:
    """Reads new sources into the places `rows`; one that is not there is nowhere."""
    new = generator_lib.begin(model, config, params, inputs)
    return jax.tree.map(
        lambda old, new: old.at[rows].set(new, mode="drop"), (prefill_cache, state), new
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
    """See `search.advance`; also what was found, who is open, and how far they are."""
    state, cache = search.advance(
        functools.partial(decoder_step.step, weights, prefill_cache),
        cache,
        state,
        config,
        room=cache.capacity // config.num_rows,
        least_open=least_open,
        most_steps=most_steps,
    )
    last = (state.is_open * state.position).max()
    return state, cache, search.result(state, config), state.is_open, last


@functools.partial(jax.jit, static_argnums=1)
def _extended(cache: KVCache, count: int) -> KVCache:
    return cache.extended(count)


@jax.jit
def _gather(places: Any, rows: jax.Array) -> Any:
    return jax.tree.map(lambda x: x[rows], places)
