"""`bg.score` says of a given target what `generate` says of the one that it finds."""

import dataclasses

import jax
import numpy as np
import pytest

import bertgen_jax as bg
from bertgen_jax.errors import ConfigError

EOS, START = 1, 2
STACK = bg.BertGenerationConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=32,
)
CAUSAL = dataclasses.replace(STACK, is_decoder=True)
PAIR = bg.EncoderDecoderConfig.from_stacks(STACK, STACK, decoder_start_token_id=START)
PREFIX = bg.PrefixLanguageModelConfig(CAUSAL, decoder_start_token_id=START)
MODELS = {
    "pair": (bg.EncoderDecoder(PAIR), PAIR),
    "prefix": (bg.PrefixLanguageModel(PREFIX), PREFIX),
    "decoder alone": (bg.BertGenerationDecoder(CAUSAL), CAUSAL),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, draw_params):
    module, config = MODELS[request.param]
    params = draw_params(config, seed=3, stddev=0.6)
    params.get("decoder", params)["lm_head"]["bias"][EOS] += 5.0
    return module, params


def drawn_sources():
    rng = np.random.default_rng(1)
    lengths = np.array([[7], [3], [5], [7]])
    return rng.integers(3, 40, (4, 7)).astype(np.int32), np.arange(7) < lengths


def test_scores_are_those_of_a_search(model):
    ids, mask = drawn_sources()
    config = bg.GenerationConfig(
        max_new_tokens=9, num_beams=3, num_return_sequences=3, length_penalty=1.0
    )
    found = jax.device_get(bg.generate(*model, ids, mask, config))
    assert len(np.unique(found.lengths)) > 2
    for place in range(3):
        labels = found.sequences[:, place].copy()
        labels[np.arange(9)[None] >= found.lengths[:, place, None]] = -100
        scores = bg.score(*model, ids, mask, labels)
        np.testing.assert_allclose(
            scores.sequences / found.lengths[:, place],
            found.scores[:, place],
            rtol=1e-4,
        )
        np.testing.assert_allclose(scores.tokens.sum(1), scores.sequences, rtol=1e-5)
        assert (np.asarray(scores.tokens)[labels == -100] == 0).all()


def test_padding_may_stand_on_either_side(model):
    ids, mask = drawn_sources()
    labels = np.array([[5, 6, EOS]] * 4)
    right = bg.score(*model, ids, mask, labels)
    order = np.argsort(mask, axis=1, kind="stable")
    left = bg.score(
        *model,
        np.take_along_axis(ids, order, 1),
        np.take_along_axis(mask, order, 1),
        labels,
    )
    np.testing.assert_allclose(left.tokens, right.tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[5, 40]] * 4, "labels has the id 40; expected ids from 0 to 39"),
        ([[5, -1]] * 4, "labels has the id -1"),
        ([[5, 6]] * 3, "labels has 3 rows and input_ids has 4"),
        ([[5] * 40] * 4, r"positions|may have 32"),
    ],
)
def test_targets_that_cannot_be(model, labels, message):
    ids, mask = drawn_sources()
    with pytest.raises(ConfigError, match=message):
        bg.score(*model, ids, mask, np.array(labels))
