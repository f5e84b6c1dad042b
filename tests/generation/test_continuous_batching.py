"""Places of a batch change hands, and each source gets what it gets alone."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import continuous_batching
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel

EOS, START = 1, 2
STACK = BertGenerationConfig(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=192,
)
PAIR = EncoderDecoderConfig.from_stacks(STACK, STACK, decoder_start_token_id=START)
PREFIX = PrefixLanguageModelConfig(
    dataclasses.replace(STACK, is_decoder=True), decoder_start_token_id=START
)
MODELS = {
    "pair": (EncoderDecoder(PAIR), PAIR),
    "prefix": (PrefixLanguageModel(PREFIX), PREFIX),
}
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


@pytest.fixture(scope="module", params=MODELS)
def generator(request, draw_params):
    model, config = MODELS[request.param]
    params = draw_params(config, seed=7, stddev=0.6)
    params["decoder"]["lm_head"]["bias"][EOS] += 5.5
    return generator_lib.Generator(model, params)


def drawn_sources(count, longest=70):
    rng = np.random.default_rng(count)
    lengths = rng.integers(1, longest, count)
    return [rng.integers(3, STACK.vocab_size, n).tolist() for n in lengths]


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_each_source_gets_what_it_gets_alone(generator, config):
    sources = drawn_sources(13)
    found = {
        f.index: f
        for f in continuous_batching.generate_each(generator, sources, config, 4)
    }
    assert sorted(found) == list(range(13))
    lengths = set()
    for index, source in enumerate(sources):
        ids = np.zeros((1, 96), np.int32)
        ids[0, : len(source)] = source
        mask = np.arange(96)[None] < max(1, len(source))
        alone = jax.device_get(
            generator(ids, mask, config, seeds=np.array([index], np.int32))
        )
        np.testing.assert_array_equal(found[index].sequences, alone.sequences[0])
        np.testing.assert_array_equal(found[index].lengths, alone.lengths[0])
        np.testing.assert_allclose(found[index].scores, alone.scores[0], rtol=1e-4)
        lengths.add(int(alone.lengths[0, 0]))
    assert len(lengths) > 1  # or no place ever changed hands early


def test_a_long_list_compiles_at_most_eight_programs(generator):
    config = GenerationConfig(max_new_tokens=100, num_beams=2)
    programs = [
        continuous_batching._admit,
        continuous_batching._run,
        continuous_batching._extended,
        continuous_batching._gather,
    ]
    for program in programs:
        program.clear_cache()
    sources = drawn_sources(200)
    for _ in range(2):  # the second time compiles nothing
        each = continuous_batching.generate_each(generator, sources, config, 16)
        assert len(list(each)) == 200
        assert sum(program._cache_size() for program in programs) <= 8


def test_no_source_and_one(generator):
    config = SETTINGS["greedy"]
    assert list(continuous_batching.generate_each(generator, [], config, 4)) == []
    (one,) = continuous_batching.generate_each(generator, [[5, 6]], config, 4)
    assert one.index == 0
    assert one.tokens(0) == one.sequences[0, : one.lengths[0]].tolist()


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_what_is_sure_stays(generator, config):
    config = dataclasses.replace(config, num_return_sequences=1)
    before = []
    for tokens in continuous_batching.stream(generator, [5, 6, 7, 8], config):
        assert tokens[: len(before)] == before
        before = tokens
    (whole,) = continuous_batching.generate_each(generator, [[5, 6, 7, 8]], config, 1)
    assert before == whole.tokens(0)


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
        lambda places, rows: shrunk.append(len(rows)) or gather(places, rows),
    )
    sources = [[5] * n for n in range(1, size + 1 if size == 16 else 32)]
    config = dataclasses.replace(SETTINGS["beams"], min_new_tokens=0)
    each = continuous_batching.generate_each(generator, sources, config, size)
    assert len(list(each)) == len(sources)
    assert shrunk in ([], [size // 4], [size // 8])


def test_no_room_for_a_source(draw_params):
    model = PrefixLanguageModel(PREFIX)
    generator = generator_lib.Generator(model, draw_params(PREFIX))
    config = GenerationConfig(max_new_tokens=192)
    each = continuous_batching.generate_each(generator, [[5]], config, 1)
    with pytest.raises(ConfigError, match="source has 1 tokens and the target up to"):
        list(each)
