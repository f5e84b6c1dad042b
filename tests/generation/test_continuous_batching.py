"""Sources share a batch whose slots are reused; each gets the result it gets alone."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import continuous_batching
from bertgen_jax.generation.generator import Generator
from bertgen_jax.models.create import create_model
from tests.fixtures.models import pair_config, prefix_config, stack_config

EOS = 1
STACK = stack_config(vocab_size=60, max_position_embeddings=192)
CONFIGS = {"pair": pair_config(STACK), "prefix": prefix_config(STACK)}
SETTINGS = {
    "greedy": GenerationConfig(max_new_tokens=12),
    "beams": GenerationConfig(
        max_new_tokens=12, num_beams=3, num_return_sequences=2, length_penalty=0.6
    ),
    "samples": GenerationConfig(
        max_new_tokens=12, do_sample=True, num_return_sequences=2, seed=3
    ),
    "long": GenerationConfig(max_new_tokens=90, num_beams=2),
}


@pytest.fixture(scope="module", params=CONFIGS)
def generator(request, draw_params):
    config = CONFIGS[request.param]
    params = draw_params(config, seed=7, stddev=0.6)
    params["decoder"]["lm_head"]["bias"][EOS] += 5.5
    return Generator(create_model(config), params)


def drawn_sources(count, longest=70):
    rng = np.random.default_rng(count)
    lengths = rng.integers(1, longest, count)
    return [rng.integers(3, STACK.vocab_size, n).tolist() for n in lengths]


def generate_each(generator, sources, config, batch_size):
    """The hypotheses by the index of their source."""
    hypotheses = continuous_batching.generate_each(
        generator, sources, generator.resolve(config), batch_size
    )
    return {one.index: one for one in hypotheses}


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_each_source_gets_the_result_that_it_gets_alone(generator, config):
    sources = drawn_sources(13)
    together = generate_each(generator, sources, config, batch_size=4)
    assert sorted(together) == list(range(13))
    lengths = set()
    for index, source in enumerate(sources):
        ids = np.zeros((1, 96), np.int32)
        ids[0, : len(source)] = source
        mask = np.arange(96)[None] < max(1, len(source))
        alone = jax.device_get(
            generator(ids, mask, config, seeds=np.array([index], np.int32))
        )
        np.testing.assert_array_equal(together[index].sequences, alone.sequences[0])
        np.testing.assert_array_equal(together[index].lengths, alone.lengths[0])
        np.testing.assert_allclose(together[index].scores, alone.scores[0], rtol=1e-4)
        lengths.add(int(alone.lengths[0, 0]))
    assert len(lengths) > 1  # otherwise no slot would be reused before the end


def test_a_long_list_compiles_at_most_eight_programs(generator):
    config = GenerationConfig(max_new_tokens=100, num_beams=2)
    programs = [
        continuous_batching._insert,
        continuous_batching._run,
        continuous_batching._extend,
        continuous_batching._gather,
    ]
    for program in programs:
        program.clear_cache()
    sources = drawn_sources(200)
    for _ in range(2):  # the second time compiles nothing
        assert len(generate_each(generator, sources, config, batch_size=16)) == 200
        assert sum(program._cache_size() for program in programs) <= 8


def test_lists_of_no_source_and_of_one(generator):
    config = SETTINGS["greedy"]
    assert generate_each(generator, [], config, batch_size=4) == {}
    hypotheses = generate_each(generator, [[5, 6]], config, batch_size=4)[0]
    length = hypotheses.lengths[0]
    assert hypotheses.tokens(0) == hypotheses.sequences[0, :length].tolist()


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_stream_only_appends_and_ends_with_the_whole_result(generator, config):
    config = dataclasses.replace(config, num_return_sequences=1)
    source, streamed = [5, 6, 7, 8], []
    for tokens in continuous_batching.stream(
        generator, source, generator.resolve(config)
    ):
        assert tokens[: len(streamed)] == streamed
        streamed = tokens
    whole = generate_each(generator, [source], config, batch_size=1)[0]
    assert streamed == whole.tokens(0)


def test_two_widths_read_the_least_padding():
    sources = [[1] * n for n in (100, 5, 90, 3, 30, 31, 2, 1)]
    split = list(continuous_batching._by_width(sources, 1))
    assert split == [(128, [0, 2], False), (32, [5, 4, 1, 3, 6, 7], False)]
    assert list(continuous_batching._by_width(sources[:2], 1)) == [(128, [0, 1], True)]


@pytest.mark.parametrize("size", [16, 64])
def test_a_batch_shrinks_once(generator, monkeypatch, size):
    shrunk = []
    gather = continuous_batching._gather
    monkeypatch.setattr(
        continuous_batching,
        "_gather",
        lambda batch, slots: shrunk.append(len(slots)) or gather(batch, slots),
    )
    sources = [[5] * n for n in range(1, size + 1 if size == 16 else 32)]
    config = dataclasses.replace(SETTINGS["beams"], min_new_tokens=0)
    results = generate_each(generator, sources, config, size)
    assert len(results) == len(sources)
    assert shrunk in ([], [size // 4], [size // 8])


def test_new_tokens_that_leave_no_position_for_a_source(draw_params):
    config = CONFIGS["prefix"]
    generator = Generator(create_model(config), draw_params(config))
    with pytest.raises(ConfigError, match="a source of 1 tokens with a target of 192"):
        generator.resolve(GenerationConfig(max_new_tokens=192))
