"""`generate` returns what a search over whole forward passes finds for each source."""

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
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from tests.fixtures.models import START, pair_config, prefix_config, stack_config

EOS, PAD, STEPS = 1, 0, 6
STACK = stack_config(vocab_size=25, intermediate_size=16, max_position_embeddings=9)
CONFIG = pair_config(STACK, share_encoder_decoder=True)
MODEL = EncoderDecoder(CONFIG)
GPT2 = dataclasses.replace(
    STACK, max_position_embeddings=13, is_decoder=True, pre_layer_norm=True
)
PREFIX = PrefixLanguageModel(prefix_config(GPT2))
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
    return rng.integers(3, STACK.vocab_size, (6, 7)).astype(np.int32), mask


@pytest.fixture(scope="module")
def prefix_params(draw_params):
    # `draw_params` knows no GPT-2 with a bias, so its LayerNorm is moved by hand.
    post_layer_norm = dataclasses.replace(GPT2, pre_layer_norm=False)
    params = draw_params(prefix_config(post_layer_norm), seed=11, stddev=0.6)
    trunk = params["decoder"]["bert"]
    trunk["LayerNorm"] = trunk["embeddings"].pop("LayerNorm")
    params["decoder"]["lm_head"]["bias"][EOS] += 2.5
    return params


def whole_passes(model, params):
    """Makes a function (source ids, mask, tokens so far) -> log-probabilities f32[V].

    They are those of the next token, from one forward pass over the whole target.
    """

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
    """Beam search of one source with lists, as Hugging Face describes it."""
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
    result = generate(params, *sources, config, model)
    log_probs, lengths = whole_passes(model, params), set()
    for row, (ids, mask) in enumerate(zip(*sources, strict=True)):
        expected = search(functools.partial(log_probs, ids, mask), config)
        for rank, (tokens, score) in enumerate(expected):
            length = result.lengths[row, rank]
            assert result.sequences[row, rank, :length].tolist() == tokens
            assert (result.sequences[row, rank, length:] == PAD).all()
            np.testing.assert_allclose(result.scores[row, rank], score, rtol=1e-4)
            lengths.add(length)
    assert len(lengths) > 2  # otherwise the test says little


SEARCHES = pytest.mark.parametrize(
    ("config", "search"), [(GREEDY, greedy), (BEAMS, beams)], ids=["greedy", "beams"]
)
SETTINGS = pytest.mark.parametrize("config", [GREEDY, BEAMS], ids=["greedy", "beams"])


@SEARCHES
def test_the_result_is_that_of_a_search_over_whole_forward_passes(
    params, sources, config, search
):
    check_search(MODEL, params, sources, config, search)


@SEARCHES
def test_a_prefix_language_model_searches_after_its_source(
    prefix_params, sources, config, search
):
    check_search(PREFIX, prefix_params, sources, config, search)


@SETTINGS
def test_a_decoder_alone_continues_from_its_last_token(prefix_params, sources, config):
    """As a prefix language model does whose source ends before that token."""
    ids, mask = sources
    rows, last = np.arange(len(ids)), mask.sum(axis=1) - 1
    ids[rows, last] = START
    before = mask.copy()
    before[rows, last] = False
    expected = generate(prefix_params, ids, before, config, PREFIX)
    decoder, params = BertGenerationDecoder(GPT2), prefix_params["decoder"]
    # A row of one token has no source before it, so its expected row is a filler.
    several = last > 0
    assert 0 < several.sum() < len(ids)
    padded_left = [
        np.stack([np.roll(row, -n - 1) for row, n in zip(x, last, strict=True)])
        for x in (ids, mask)
    ]
    for inputs in ((ids, mask), padded_left):
        result = generate(params, *inputs, config, decoder)
        np.testing.assert_array_equal(
            result.sequences[several], expected.sequences[several]
        )
        np.testing.assert_allclose(
            result.scores[several], expected.scores[several], rtol=1e-5
        )
        assert (result.lengths > 0).all()
    with_start = dataclasses.replace(config, decoder_start_token_id=START)
    result = generate(params, ids, before, with_start, decoder)
    np.testing.assert_array_equal(result.sequences, expected.sequences)


@SETTINGS
def test_the_result_of_a_source_does_not_depend_on_the_others(params, sources, config):
    ids, mask = sources
    expected = generate(params, ids, mask, config)
    order = np.array([3, 1, 0, 5, 4, 2])
    ids, mask = ids[order].copy(), mask[order].copy()
    mask[4] = False  # this row now only fills the batch
    result = generate(params, ids, mask, config)
    for row, original in enumerate(order):
        if row == 4:
            assert (result.lengths[row] == 0).all()
            assert (result.sequences[row] == PAD).all()
            assert (result.scores[row] == np.float32(LOWEST_SCORE)).all()
            continue
        np.testing.assert_array_equal(
            result.sequences[row], expected.sequences[original]
        )
        np.testing.assert_allclose(
            result.scores[row], expected.scores[original], rtol=1e-5
        )


def test_ids_in_the_padding_change_nothing(params, sources):
    ids, mask = sources
    expected = generate(params, ids, mask, GREEDY)
    result = generate(params, np.where(mask, ids, 7), mask, GREEDY)
    np.testing.assert_array_equal(result.sequences, expected.sequences)


def test_special_ids_that_the_config_leaves_out_are_the_models(params, sources):
    explicit = dataclasses.replace(
        GREEDY, decoder_start_token_id=START, eos_token_id=EOS, pad_token_id=PAD
    )
    results = [generate(params, *sources, config) for config in (GREEDY, explicit)]
    np.testing.assert_array_equal(results[0].sequences, results[1].sequences)
    padded = dataclasses.replace(GREEDY, pad_token_id=24)
    result = generate(params, *sources, padded)
    ended = np.arange(STEPS) >= result.lengths[..., None]
    assert ended.any()
    assert (result.sequences[ended] == 24).all()


class TracedModel(EncoderDecoder):
    """Counts how often it is traced, once for each compilation."""

    traces = 0

    def encode(self, *arguments, **options):
        TracedModel.traces += 1
        return super().encode(*arguments, **options)


def test_it_compiles_once_for_each_shape_and_configuration(params, sources):
    ids, mask = sources
    for _ in range(2):
        # Equal models and configs are enough; they need not be the same objects.
        config = GenerationConfig(max_new_tokens=2)
        model = TracedModel(dataclasses.replace(CONFIG))
        for rows in (4, 2, 4, 2):
            generator.generate(model, params, ids[:rows], mask[:rows], config)
    assert TracedModel.traces == 2


def test_bfloat16_models_generate_with_float32_scores(params, sources):
    model = EncoderDecoder(CONFIG, dtype=jnp.bfloat16)
    result = generator.generate(model, params, *sources, GREEDY)
    assert result.scores.dtype == jnp.float32
    assert np.isfinite(result.scores).all()


def test_a_generator_names_the_stack_that_generates(params, prefix_params):
    assert generator.Generator(MODEL, params).decoder == CONFIG.decoder
    assert generator.Generator(PREFIX, prefix_params).decoder == PREFIX.config.decoder


def test_more_new_tokens_than_positions(params, sources):
    config = GenerationConfig(max_new_tokens=10)
    with pytest.raises(ConfigError, match=r"the decoder has 9 .* 10 new tokens"):
        generator.generate(MODEL, params, *sources, config)


def test_a_prefix_and_new_tokens_share_the_positions(prefix_params, sources):
    config = GenerationConfig(max_new_tokens=7)
    message = r"a source of 7 tokens with a target of 7 tokens needs 14 .* has 13"
    with pytest.raises(ConfigError, match=message):
        generate(prefix_params, *sources, config, PREFIX)


def test_a_model_without_start_token(params, sources):
    model = EncoderDecoder(dataclasses.replace(CONFIG, decoder_start_token_id=None))
    with pytest.raises(ConfigError, match="decoder_start_token_id is not set"):
        generator.generate(model, params, *sources, GREEDY)


def test_a_model_that_cannot_generate(params, sources):
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
        expected = generate(params, ids, mask, config)
        result = generate(params, *left, config)
        np.testing.assert_array_equal(result.sequences, expected.sequences)
        np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-4)


@SETTINGS
def test_a_decoder_alone_attends_to_given_states(draw_params, sources, config):
    """The two halves of a pair return what the pair returns."""
    ids, mask = sources
    pair = pair_config(STACK)
    params = draw_params(pair, seed=29, stddev=0.6)
    params["decoder"]["lm_head"]["bias"][EOS] += 2.5
    expected = generate(params, ids, mask, config, EncoderDecoder(pair))
    states = BertGenerationEncoder(pair.encoder).apply(
        {"params": params["encoder"]}, ids, mask
    )
    start = np.full((len(ids), 1), START, np.int32)
    result = generator.generate(
        BertGenerationDecoder(pair.decoder),
        params["decoder"],
        start,
        None,
        config,
        encoder_hidden_states=states.last_hidden_state,
        encoder_attention_mask=mask,
    )
    np.testing.assert_array_equal(result.sequences, expected.sequences)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-4)
    assert len(np.unique(result.sequences[:, 0], axis=0)) > 3


@pytest.mark.parametrize("model", [MODEL, PREFIX], ids=["pair", "prefix"])
def test_a_target_continues_its_prompt(params, prefix_params, sources, model):
    """With and without the start token before the prompt, and with padding."""
    ids, mask = sources
    params = params if model is MODEL else prefix_params
    config = GenerationConfig(max_new_tokens=2)
    prompts = np.random.default_rng(5).integers(3, STACK.vocab_size, (len(ids), 2))
    result = jax.device_get(
        generator.generate(model, params, ids, mask, config, decoder_input_ids=prompts)
    )
    log_probs = whole_passes(model, params)
    for row, (source, keep) in enumerate(zip(ids, mask, strict=True)):
        tokens = prompts[row].tolist()
        while len(tokens) < 4 and EOS not in tokens:
            tokens.append(int(log_probs(source, keep, tokens).argmax()))
        length = result.lengths[row, 0]
        assert result.sequences[row, 0, :length].tolist() == tokens[2:]
    started = np.concatenate([np.full((len(ids), 1), START), prompts], axis=1)
    padded = np.concatenate([np.zeros_like(prompts), started], axis=1)
    for prompt in (
        {"decoder_input_ids": started},
        {
            "decoder_input_ids": padded,
            "decoder_attention_mask": np.arange(5)[None].repeat(len(ids), 0) > 1,
        },
    ):
        again = generator.generate(model, params, ids, mask, config, **prompt)
        np.testing.assert_array_equal(again.sequences, result.sequences)


def test_a_cache_that_grows_changes_nothing(params, sources, monkeypatch):
    """The KV cache grows during a search; here from the second token."""
    expected = generate(params, *sources, BEAMS)
    monkeypatch.setattr(generator, "_FIRST_CAPACITY", 1)
    config = dataclasses.replace(BEAMS, seed=1)  # otherwise it would not compile again
    result = generate(params, *sources, config)
    np.testing.assert_array_equal(result.sequences, expected.sequences)
    np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
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
            "the decoder has 9 .* 6 new tokens are asked for after a prompt of 5",
        ),
        (
            {"encoder_hidden_states": np.zeros((1, 2, 16))},
            r"to a model that computes its own \(EncoderDecoder\)",
        ),
        ({"config": GenerationConfig(eos_token_id=30)}, "eos_token_id has the id 30"),
        ({"seeds": [1, 2]}, "seeds has 2 rows and input_ids has 1"),
        ({"decoder_attention_mask": [[1]]}, "was given without decoder_input_ids"),
    ],
)
def test_invalid_arguments(params, arguments, message):
    arguments = {"input_ids": [[5]], "config": GREEDY, **arguments}
    with pytest.raises(ConfigError, match=message):
        generator.generate(MODEL, params, **arguments)
