"""Greedy search and sampling on a model that knows the whole history."""

import jax
import numpy as np
import pytest
from scipy import stats

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import LOWEST_SCORE
from tests.decoding.searches import START, compiled

PAD, EOS = 0, 1
SOURCES = np.arange(8)
START_IDS = np.full((8,), START, np.int32)
ALL = np.ones((8,), bool)


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
    cache = model.cache(SOURCES, config)
    result = compiled(model.step, config)(cache, START_IDS, ALL)
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
    search, cache = compiled(step, config), model.cache(SOURCES, config)

    everyone = search(cache, START_IDS, ALL)
    assert step.calls == lengths.max() < 30

    step.calls = 0
    active = lengths < lengths.max()
    some = search(cache, START_IDS, active)
    assert step.calls == lengths[active].max()
    np.testing.assert_array_equal(some.sequences[active], everyone.sequences[active])
    assert (some.sequences[~active] == PAD).all()
    assert (some.lengths[~active] == 0).all()
    assert (some.scores[~active] == np.float32(LOWEST_SCORE)).all()


# Draws

VOCAB_SIZE, DRAWS = 7, 1000


def sampled(history_model, **settings):
    """(model, result, config) of two tokens drawn many times for eight sources."""
    config = GenerationConfig(
        max_new_tokens=2,
        do_sample=True,
        num_return_sequences=DRAWS,
        pad_token_id=PAD,
        **{"top_k": 0, **settings},
    )
    model = history_model.draw(5, VOCAB_SIZE)
    cache = model.cache(SOURCES, config)
    result = compiled(model.step, config)(cache, START_IDS, ALL)
    return model, jax.device_get(result), config


def exact(log_probs, config):
    """The distribution that a draw is made from: the definitions, one by one."""
    p = np.exp(np.float64(log_probs) / config.temperature)
    order = np.argsort(-p)
    if config.top_k:
        p[order[config.top_k :]] = 0
    p /= p.sum()
    if config.top_p < 1:
        before = np.cumsum(p[order]) - p[order]  # mass of all that are likelier
        p[order[before >= config.top_p]] = 0
        p /= p.sum()
    return p


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 3},
        {"top_p": 0.7},
        {"temperature": 1.7, "top_k": 5, "top_p": 0.9},
    ],
    ids=str,
)
def test_draws_have_the_exact_distribution(history_model, settings):
    """A chi-square test over all sources, of the first token and of the second."""
    model, result, config = sampled(history_model, **settings)
    statistic, freedom = 0.0, 0
    for row, source in enumerate(SOURCES):
        first, second = result.sequences[row].T
        histories = [((START,), first)]
        histories += [((START, i), second[first == i]) for i in range(VOCAB_SIZE)]
        for history, drawn in histories:
            p = exact(model.log_probs(source, history), config)
            counts = np.bincount(drawn, minlength=VOCAB_SIZE)
            assert (counts[p == 0] == 0).all()
            wanted = len(drawn) * p
            rare = wanted < 5  # one cell together, or the approximation is none
            cells = [*zip(counts[~rare], wanted[~rare], strict=True)]
            if wanted[rare].sum() >= 5:
                cells.append((counts[rare].sum(), wanted[rare].sum()))
            if len(cells) > 1:
                statistic += sum((n - w) ** 2 / w for n, w in cells)
                freedom += len(cells) - 1
    assert freedom > 8
    assert 1e-4 < stats.chi2.sf(statistic, freedom) < 1 - 1e-4


def test_scores_of_draws_are_those_of_what_was_drawn_from(history_model):
    model, result, config = sampled(history_model, temperature=0.6, top_k=3)
    for row, source in enumerate(SOURCES):
        for tokens, score in zip(
            result.sequences[row, :5], result.scores[row, :5], strict=True
        ):
            total, history = 0.0, [START]
            for token in tokens:
                p = exact(model.log_probs(source, history), config)
                total += np.log(p[token])
                history.append(token)
            np.testing.assert_allclose(score, total / 2, rtol=1e-4)
    assert (np.diff(result.scores, axis=1) <= 0).all()  # best first


def test_a_source_draws_the_same_in_any_batch(history_model):
    config = GenerationConfig(
        max_new_tokens=6, do_sample=True, num_return_sequences=3, seed=4
    )
    model = history_model.draw(5, 30)
    search = compiled(model.step, config)

    def run(sources):
        n = len(sources)
        return search(model.cache(sources, config), START_IDS[:n], ALL[:n])

    together = run(SOURCES)
    np.testing.assert_array_equal(run(SOURCES[:2]).sequences, together.sequences[:2])
    other = compiled(model.step, GenerationConfig(**{**config.to_dict(), "seed": 5}))
    other = other(model.cache(SOURCES, config), START_IDS, ALL)
    assert (other.sequences != together.sequences).any()


@pytest.mark.parametrize("top_k", [0, 1])  # of one token each no beam could go on
def test_drawn_beams_are_without_replacement_and_ranked(history_model, top_k):
    config = GenerationConfig(
        max_new_tokens=3,
        num_beams=4,
        num_return_sequences=4,
        do_sample=True,
        top_k=top_k,
    )
    model = history_model.draw(5, 9)
    found = compiled(model.step, config)(model.cache(SOURCES, config), START_IDS, ALL)
    for row, source in enumerate(SOURCES):
        sequences = [tuple(x.tolist()) for x in np.asarray(found.sequences[row])]
        assert len(set(sequences)) == 4
        assert (np.diff(found.scores[row]) <= 0).all()
        for tokens, score in zip(sequences, found.scores[row], strict=True):
            total = sum(
                model.log_probs(source, (START, *tokens[:n]))[tokens[n]]
                for n in range(3)
            )
            np.testing.assert_allclose(score, total / 3, rtol=1e-4)
