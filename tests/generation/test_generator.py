"""`generate` finds what a search over whole forward passes finds, for every source."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import LOWEST_SCORE
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import generator
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel

START, EOS, PAD, VOCABULARY, STEPS = 2, 1, 0, 25, 6
STACK = BertGenerationConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=9,
)
CONFIG = EncoderDecoderConfig.from_stacks(
    STACK, STACK, share_encoder_decoder=True, decoder_start_token_id=START
)
MODEL = EncoderDecoder(CONFIG)
GPT2 = dataclasses.replace(
    STACK,
    max_position_embeddings=13,
    is_decoder=True,
    lm_head_bias=True,
    pre_layer_norm=True,
)
PREFIX = PrefixLanguageModel(PrefixLanguageModelConfig(GPT2, START))
GREEDY = GenerationConfig(max_new_tokens=STEPS)
BEAMS = GenerationConfig(
    max_new_tokens=STEPS,
    num_beams=3,
    num_return_sequences=3,
    length_penalty=0.6,
    length_penalty_form="gnmt",
)


@pytest.fixture(scope="module")
def params(draw_params):
    # The seed and the bias are chosen so that lengths differ.
    params = draw_params(CONFIG, seed=29, stddev=0.6)
    params["decoder"]["lm_head"]["bias"][EOS] += 2.5
    return params


@pytest.fixture(scope="module")
def sources():
    """Ids i32[6, 7] and their mask."""
    rng = np.random.default_rng(0)
    mask = np.arange(7) < rng.integers(1, 8, (6, 1))
    return rng.integers(3, VOCABULARY, (6, 7)).astype(np.int32), mask


@pytest.fixture(scope="module")
def prefix_params(draw_params):
    post = dataclasses.replace(GPT2, pre_layer_norm=False)  # no GPT-2 has a bias
    params = draw_params(PrefixLanguageModelConfig(post, START), seed=11, stddev=0.6)
    trunk = params["decoder"]["bert"]
    trunk["LayerNorm"] = trunk["embeddings"].pop("LayerNorm")
    params["decoder"]["lm_head"]["bias"][EOS] += 2.5
    return params


def whole_passes(model, params):
    """(source ids, mask, tokens so far) -> f32[V] of the next, from a whole forward."""

    @jax.jit
    def forward(ids, mask, decoder_ids, last):
        out = model.apply({"params": params}, ids, mask, decoder_ids)
        return jax.nn.log_softmax(out.logits[0, last])

    def next_log_probs(ids, mask, tokens):
        decoder_ids = np.full((1, STEPS), PAD)
        decoder_ids[0, : len(tokens) + 1] = [START, *tokens]
        return np.asarray(forward(ids[None], mask[None], decoder_ids, len(tokens)))

    return next_log_probs


def greedy(log_probs, config):
    tokens, score = [], 0.0
    while len(tokens) < STEPS and EOS not in tokens:
        row = log_probs(tokens)
        tokens.append(int(row.argmax()))
        score += float(row.max())
    return [(tokens, score / config.length_norms()[len(tokens) - 1])]


def beams(log_probs, config):
    """Beam search of one source on lists, as the peer describes it."""
    running, finished, norms = [([], 0.0)], [], config.length_norms()
    for step in range(STEPS):
        candidates = [
            ([*tokens, token], score + float(log_prob))
            for tokens, score in running
            for token, log_prob in enumerate(log_probs(tokens))
        ]
        candidates.sort(key=lambda candidate: -candidate[1])
        candidates, running = candidates[: 2 * config.num_beams], []
        for rank, (tokens, score) in enumerate(candidates):
            if tokens[-1] != EOS and step + 1 < STEPS:
                running.append((tokens, score))
            elif rank < config.num_beams:
                finished.append((tokens, score / norms[step]))
        running = running[: config.num_beams]
        finished.sort(key=lambda hypothesis: -hypothesis[1])
        finished = finished[: config.num_beams]
        is_full = len(finished) == config.num_beams
        if is_full and running and running[0][1] / norms[step] <= finished[-1][1]:
            break
    return finished


def generate(params, ids, mask, config, model=MODEL):
    return jax.device_get(generator.generate(model, params, ids, mask, config))


def check_search(model, params, sources, config, search):
    found = generate(params, *sources, config, model)
    log_probs, lengths = whole_passes(model, params), set()
    for row, (ids, mask) in enumerate(zip(*sources, strict=True)):
        wanted = search(functools.partial(log_probs, ids, mask), config)
        for place, (tokens, score) in enumerate(wanted):
            length = found.lengths[row, place]
            assert found.sequences[row, place, :length].tolist() == tokens
            assert (found.sequences[row, place, length:] == PAD).all()
            np.testing.assert_allclose(found.scores[row, place], score, rtol=1e-4)
            lengths.add(length)
    assert len(lengths) > 2  # or the test says little


SEARCHES = pytest.mark.parametrize(
    ("config", "search"), [(GREEDY, greedy), (BEAMS, beams)], ids=["greedy", "beams"]
)


@SEARCHES
def test_the_search_of_whole_forward_passes(params, sources, config, search):
    check_search(MODEL, params, sources, config, search)


@SEARCHES
def test_after_a_prefix(prefix_params, sources, config, search):
    check_search(PREFIX, prefix_params, sources, config, search)


@pytest.mark.parametrize("config", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_a_decoder_alone_goes_on_from_its_last_token(prefix_params, sources, config):
    """Which is a prefix before it and that token as the first of the target."""
    ids, mask = sources
    rows, last = np.arange(len(ids)), mask.sum(axis=1) - 1
    ids[rows, last] = START
    before = mask.copy()
    before[rows, last] = False
    wanted = generate(prefix_params, ids, before, config, PREFIX)
    decoder, params = BertGenerationDecoder(GPT2), prefix_params["decoder"]
    # A row without any True is a filler; here it is a text of one token.
    several = last > 0
    assert 0 < several.sum() < len(ids)
    padded_left = [
        np.stack([np.roll(row, -n - 1) for row, n in zip(x, last, strict=True)])
        for x in (ids, mask)
    ]
    for inputs in ((ids, mask), padded_left):
        found = generate(params, *inputs, config, decoder)
        np.testing.assert_array_equal(
            found.sequences[several], wanted.sequences[several]
        )
        np.testing.assert_allclose(
            found.scores[several], wanted.scores[several], rtol=1e-5
        )
        assert (found.lengths > 0).all()
    with_start = dataclasses.replace(config, decoder_start_token_id=START)
    found = generate(params, ids, before, with_start, decoder)
    np.testing.assert_array_equal(found.sequences, wanted.sequences)


@pytest.mark.parametrize("config", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_a_source_gets_the_same_in_any_company(params, sources, config):
    ids, mask = sources
    wanted = generate(params, ids, mask, config)
    order = np.array([3, 1, 0, 5, 4, 2])
    ids, mask = ids[order].copy(), mask[order].copy()
    mask[4] = False  # this row now only fills the batch
    found = generate(params, ids, mask, config)
    for row, place in enumerate(order):
        if row == 4:
            assert (found.lengths[row] == 0).all()
            assert (found.sequences[row] == PAD).all()
            assert (found.scores[row] == np.float32(LOWEST_SCORE)).all()
            continue
        np.testing.assert_array_equal(found.sequences[row], wanted.sequences[place])
        np.testing.assert_allclose(found.scores[row], wanted.scores[place], rtol=1e-5)


def test_what_stands_in_the_padding_changes_nothing(params, sources):
    ids, mask = sources
    wanted = generate(params, ids, mask, GREEDY)
    found = generate(params, np.where(mask, ids, 7), mask, GREEDY)
    np.testing.assert_array_equal(found.sequences, wanted.sequences)


def test_special_ids_are_the_models_unless_the_config_has_others(params, sources):
    spelled = dataclasses.replace(
        GREEDY, decoder_start_token_id=START, eos_token_id=EOS, pad_token_id=PAD
    )
    one, other = (generate(params, *sources, x) for x in (GREEDY, spelled))
    np.testing.assert_array_equal(one.sequences, other.sequences)
    padded = dataclasses.replace(GREEDY, pad_token_id=24)
    found = generate(params, *sources, padded)
    ended = np.arange(STEPS) >= found.lengths[..., None]
    assert ended.any()
    assert (found.sequences[ended] == 24).all()


def test_one_compilation_for_each_shape_and_configuration(params, sources, monkeypatch):
    traces = []
    begin = generator.begin

    def counted(*arguments):
        traces.append(arguments)
        return begin(*arguments)

    monkeypatch.setattr(generator, "begin", counted)
    ids, mask = sources
    settings = {"max_new_tokens": 2, "length_penalty": 0.123}  # of no other test
    for _ in range(2):
        # Equal is enough: neither the model nor the config need be the same object.
        config = GenerationConfig(**settings)
        model = EncoderDecoder(dataclasses.replace(CONFIG))
        for rows in (4, 2, 4, 2):
            generator.generate(model, params, ids[:rows], mask[:rows], config)
    assert len(traces) == 2


def test_bfloat16_generates_as_well(params, sources):
    model = EncoderDecoder(CONFIG, dtype=jnp.bfloat16)
    found = generator.generate(model, params, *sources, GREEDY)
    assert found.scores.dtype == jnp.float32
    assert np.isfinite(found.scores).all()


def test_more_tokens_than_positions(params, sources):
    config = GenerationConfig(max_new_tokens=10)
    with pytest.raises(ConfigError, match=r"10 new tokens .* 9 positions"):
        generator.generate(MODEL, params, *sources, config)


def test_a_source_takes_of_the_positions(prefix_params, sources):
    config = GenerationConfig(max_new_tokens=7)
    with pytest.raises(
        ConfigError, match=r"source has 7 tokens .* may have 13 .*max_n"
    ):
        generate(prefix_params, *sources, config, PREFIX)


def test_no_start_token(params, sources):
    model = EncoderDecoder(dataclasses.replace(CONFIG, decoder_start_token_id=None))
    with pytest.raises(ConfigError, match="decoder_start_token_id is not set"):
        generator.generate(model, params, *sources, GREEDY)


def test_a_model_without_decoder(params, sources):
    model = BertGenerationEncoder(STACK)
    with pytest.raises(
        ConfigError, match="is a BertGenerationEncoder; expected an Enc"
    ):
        generator.generate(model, params, *sources, GREEDY)


def test_padding_may_stand_on_either_side_of_a_source(params, sources):
    ids, mask = sources
    order = np.argsort(mask, axis=1, kind="stable")
    left = [np.take_along_axis(x, order, axis=1) for x in sources]
    assert (left[0] != ids).any()
    for config in (GREEDY, BEAMS):
        wanted = generate(params, ids, mask, config)
        found = generate(params, *left, config)
        np.testing.assert_array_equal(found.sequences, wanted.sequences)
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-4)


@pytest.mark.parametrize("config", [GREEDY, BEAMS], ids=["greedy", "beams"])
def test_a_decoder_alone_attends_to_given_states(draw_params, sources, config):
    """The two halves of a pair find what the pair finds."""
    ids, mask = sources
    pair = EncoderDecoderConfig.from_stacks(STACK, STACK, decoder_start_token_id=START)
    params = draw_params(pair, seed=29, stddev=0.6)
    params["decoder"]["lm_head"]["bias"][EOS] += 2.5
    wanted = generate(params, ids, mask, config, EncoderDecoder(pair))
    states = BertGenerationEncoder(pair.encoder).apply(
        {"params": params["encoder"]}, ids, mask
    )
    start = np.full((len(ids), 1), START, np.int32)
    found = generator.generate(
        BertGenerationDecoder(pair.decoder),
        params["decoder"],
        start,
        None,
        config,
        encoder_hidden_states=states.last_hidden_state,
        encoder_attention_mask=mask,
    )
    np.testing.assert_array_equal(found.sequences, wanted.sequences)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-4)
    assert len(np.unique(found.sequences[:, 0], axis=0)) > 3


@pytest.mark.parametrize("model", [MODEL, PREFIX], ids=["pair", "prefix"])
def test_a_target_goes_on_from_its_prompt(params, prefix_params, sources, model):
    """With and without the start token in front, and padded."""
    ids, mask = sources
    params = params if model is MODEL else prefix_params
    config = GenerationConfig(max_new_tokens=2)
    prompts = np.random.default_rng(5).integers(3, VOCABULARY, (len(ids), 2))
    found = jax.device_get(
        generator.generate(model, params, ids, mask, config, decoder_input_ids=prompts)
    )
    log_probs = whole_passes(model, params)
    for row, (source, keep) in enumerate(zip(ids, mask, strict=True)):
        tokens = prompts[row].tolist()
        while len(tokens) < 4 and EOS not in tokens:
            tokens.append(int(log_probs(source, keep, tokens).argmax()))
        length = found.lengths[row, 0]
        assert found.sequences[row, 0, :length].tolist() == tokens[2:]
    started = np.concatenate([np.full((len(ids), 1), START), prompts], axis=1)
    padded = np.concatenate([np.zeros_like(prompts), started], axis=1)
    for more in (
        {"decoder_input_ids": started},
        {
            "decoder_input_ids": padded,
            "decoder_attention_mask": np.arange(5)[None].repeat(len(ids), 0) > 1,
        },
    ):
        again = generator.generate(model, params, ids, mask, config, **more)
        np.testing.assert_array_equal(again.sequences, found.sequences)


def test_a_longer_cache_changes_nothing(params, sources, monkeypatch):
    """Slots are added as a search goes on; here from the second token."""
    wanted = generate(params, *sources, BEAMS)
    monkeypatch.setattr(generator, "_FIRST_ROOM", 1)
    config = dataclasses.replace(BEAMS, seed=1)  # or it would not compile anew
    found = generate(params, *sources, config)
    np.testing.assert_array_equal(found.sequences, wanted.sequences)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"input_ids": [[25]]}, "input_ids has the id 25; expected ids from 0 to 24"),
        ({"input_ids": [[-1]]}, "input_ids has the id -1"),
        ({"input_ids": [5]}, r"input_ids has the shape \(1,\); expected \[B, S\]"),
        ({"input_ids": np.zeros((1, 0))}, "at least one row of one token"),
        ({"attention_mask": [[1, 1]]}, r"attention_mask has the shape \(1, 2\)"),
        ({"input_ids": [[5] * 10]}, "source needs 10 positions; the encoder has 9"),
        ({"decoder_input_ids": [[30]]}, "decoder_input_ids has the id 30"),
        ({"decoder_input_ids": [[3], [3]]}, "decoder_input_ids has 2 rows"),
        (
            {"decoder_input_ids": [[3, 3, 3, 3]]},
            "6 new tokens are asked for after a prompt of 5; the decoder has 9",
        ),
        (
            {"encoder_hidden_states": np.zeros((1, 2, 16))},
            "to a EncoderDecoder, which makes its own",
        ),
        ({"config": GenerationConfig(eos_token_id=30)}, "eos_token_id has the id 30"),
        ({"seeds": [1, 2]}, "seeds has 2 rows and input_ids has 1"),
        ({"decoder_attention_mask": [[1]]}, "was given without what it masks"),
    ],
)
def test_arguments_that_cannot_be_meant(params, more, message):
    arguments = {"input_ids": [[5]], "config": GREEDY, **more}
    with pytest.raises(ConfigError, match=message):
        generator.generate(MODEL, params, **arguments)
