"""`bg.score` gives a target the score that `generate` gives it."""

import dataclasses

import jax
import numpy as np
import pytest

import bertgen_jax as bg
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.create import create_model
from tests.fixtures.models import pair_config, prefix_config, stack_config

EOS = 1
STACK = stack_config(num_hidden_layers=2, intermediate_size=16)
CONFIGS = {
    "pair": pair_config(STACK),
    "prefix": prefix_config(STACK),
    "decoder alone": dataclasses.replace(STACK, is_decoder=True),
}


@pytest.fixture(scope="module", params=CONFIGS)
def model(request, draw_params):
    """A model and its params."""
    config = CONFIGS[request.param]
    params = draw_params(config, seed=3, stddev=0.6)
    params.get("decoder", params)["lm_head"]["bias"][EOS] += 5.0
    return create_model(config), params


def drawn_sources():
    rng = np.random.default_rng(1)
    lengths = np.array([[7], [3], [5], [7]])
    return rng.integers(3, 40, (4, 7)).astype(np.int32), np.arange(7) < lengths


def test_scores_are_those_of_the_search_that_found_the_targets(model):
    ids, mask = drawn_sources()
    config = bg.GenerationConfig(
        max_new_tokens=9, num_beams=3, num_return_sequences=3, length_penalty=1.0
    )
    result = jax.device_get(bg.generate(*model, ids, mask, config))
    assert len(np.unique(result.lengths)) > 2
    for rank in range(3):
        labels = result.sequences[:, rank].copy()
        labels[np.arange(9)[None] >= result.lengths[:, rank, None]] = -100
        scores = bg.score(*model, ids, mask, labels)
        np.testing.assert_allclose(
            scores.sequences / result.lengths[:, rank],
            result.scores[:, rank],
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
        ([[5] * 40] * 4, r"needs \d+ positions; .* has 32"),
    ],
)
def test_invalid_targets(model, labels, message):
    ids, mask = drawn_sources()
    with pytest.raises(ConfigError, match=message):
        bg.score(*model, ids, mask, np.array(labels))
