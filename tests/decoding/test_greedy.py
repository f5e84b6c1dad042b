import jax
import numpy as np
import pytest

from bertgen_jax.decoding.beam_search import beam_search
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import LOWEST_SCORE
from bertgen_jax.decoding.greedy import greedy_search
from bertgen_jax.decoding.search import search

START, PAD, EOS = 2, 0, 1
SOURCES = np.arange(8)
START_IDS = np.full((8,), START, np.int32)


def follow(model, source, config):
    """(tokens, score) of the likeliest token at every step, without a cache."""
    tokens, total = [], 0.0
    while len(tokens) < config.num_new_tokens:
        log_probs = model.log_probs(source, (START, *tokens))
        tokens.append(int(log_probs.argmax()))
        total += log_probs.max()
        if tokens[-1] in config.eos_ids:
            break
    return tokens, total


@pytest.mark.parametrize(
    ("eos_token_id", "form", "penalty"),
    [(EOS, "power", 1.0), ((EOS, 3), "gnmt", 0.6), (None, "power", 0.0)],
)
def test_it_takes_the_likeliest_token_until_eos(
    history_model, eos_token_id, form, penalty
):
    config = GenerationConfig(
        max_new_tokens=7,
        length_penalty=penalty,
        length_penalty_form=form,
        eos_token_id=eos_token_id,
        pad_token_id=PAD,
    )
    model = history_model.draw(0, 9, config.eos_ids, eos_bias=1.0)
    result = jax.jit(
        lambda cache, start_ids: greedy_search(model.step, cache, start_ids, config)
    )(model.cache(SOURCES, config), START_IDS)
    for row, source in enumerate(SOURCES):
        tokens, total = follow(model, source, config)
        n = len(tokens)
        np.testing.assert_array_equal(
            result.sequences[row, 0], tokens + [PAD] * (config.num_new_tokens - n)
        )
        assert result.lengths[row, 0] == n
        norm = n**penalty if form == "power" else ((5 + n) / 6) ** penalty
        np.testing.assert_allclose(result.scores[row, 0], total / norm, rtol=1e-5)


def test_the_loop_ends_with_the_last_active_row(history_model, counted):
    config = GenerationConfig(max_new_tokens=30, eos_token_id=EOS, pad_token_id=PAD)
    model = history_model.draw(0, 9, config.eos_ids, eos_bias=1.0)
    lengths = np.array([len(follow(model, s, config)[0]) for s in SOURCES])
    step = counted(model.step)

    @jax.jit
    def run(active):
        cache = model.cache(SOURCES, config)
        return greedy_search(step, cache, START_IDS, config, active)

    everyone = run(np.ones((8,), bool))
    assert step.calls == lengths.max() < 30

    step.calls = 0
    active = lengths < lengths.max()
    some = run(active)
    assert step.calls == lengths[active].max()
    np.testing.assert_array_equal(some.sequences[active], everyone.sequences[active])
    assert (some.sequences[~active] == PAD).all()
    assert (some.lengths[~active] == 0).all()
    assert (some.scores[~active] == np.float32(LOWEST_SCORE)).all()


@pytest.mark.parametrize(
    ("num_beams", "chosen"), [(1, greedy_search), (3, beam_search)]
)
def test_search_is_greedy_for_one_beam_and_beam_search_for_more(
    history_model, num_beams, chosen
):
    model = history_model.draw(0, 9)
    config = GenerationConfig(max_new_tokens=7, num_beams=num_beams, eos_token_id=EOS)
    cache = model.cache(SOURCES, config)

    def program(run):
        return str(
            jax.make_jaxpr(lambda c: run(model.step, c, START_IDS, config))(cache)
        )

    assert program(search) == program(chosen)
