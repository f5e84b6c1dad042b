import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.decoding import beam_search
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.step_function import LOWEST_SCORE
from tests.decoding.searches import START, compiled

PAD, EOS = 0, 1


def run(search, model, config, sources, active=True):
    """A compiled search over sources of a `HistoryModel`; host arrays come out."""
    start_ids = np.full((len(sources),), START, np.int32)
    active = np.broadcast_to(active, start_ids.shape)
    return jax.device_get(search(model.cache(sources, config), start_ids, active))


def hypotheses(result, row):
    """[(tokens, score)] of one source, best first, without padding."""
    places = zip(
        result.sequences[row], result.lengths[row], result.scores[row], strict=True
    )
    return [(tuple(ids[:length].tolist()), score) for ids, length, score in places]


def assert_same(found, expected):
    """Equal sequences; scores of the size of log-probabilities equal to 1e-5."""
    np.testing.assert_array_equal(found.sequences, expected.sequences)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


# Truth on a drawing


class Trellis:
    """Four letters; the next depends on the last one only.

    ::

                .5         .45
        start ──────▶ A ──────────▶ EOS        A EOS    .5 * .45       = .225  greedy
          │           │ .35          ▲         A C EOS  .5 * .35 * .9  = .1575
          │           ▼       .9     │         B C EOS  .4 * .9  * .9  = .324  best
          ├─ .1 ────▶ C ─────────────┘         C EOS    .1 * .9        = .09
          │           ▲
          └─ .4 ─▶ B ─┘ .9

    What a letter lacks to 1 leads back to itself. Two beams are {A, B} after one step
    and {B C, A C} after two: they have changed places. Apart from all that stands D:
    after it comes D (.9) or EOS (.1).
    """

    A, B, C, D = 3, 4, 5, 6
    edges = (
        (START, A, 0.5),
        (START, B, 0.4),
        (START, C, 0.1),
        (A, EOS, 0.45),
        (A, C, 0.35),
        (A, A, 0.2),
        (B, C, 0.9),
        (B, B, 0.1),
        (C, EOS, 0.9),
        (C, C, 0.1),
        (D, EOS, 0.1),
        (D, D, 0.9),
    )

    @classmethod
    def step(cls, cache, ids, position, ancestors):
        table = np.zeros((7, 7), np.float32)
        for source, target, probability in cls.edges:
            table[source, target] = probability
        logits = jnp.log(jnp.asarray(table))[ids]  # no edge: log 0 = -inf
        return jnp.moveaxis(logits, 2, 0), cache


def search_trellis(step, start_ids, active=None, **settings):
    """A search, one beam being greedy, on the drawing; ids and settings as given."""
    config = GenerationConfig(eos_token_id=EOS, pad_token_id=PAD, **settings)
    active = np.ones(len(start_ids), bool) if active is None else active
    return compiled(step, config)((), np.array(start_ids, np.int32), active)


def test_two_beams_find_the_best_path_that_greedy_misses():
    a, b, c = Trellis.A, Trellis.B, Trellis.C
    settings = {"max_new_tokens": 4, "length_penalty": 0.0}
    greedy = search_trellis(Trellis.step, [START], **settings)
    np.testing.assert_array_equal(greedy.sequences, [[[a, EOS, PAD, PAD]]])
    np.testing.assert_allclose(np.exp(greedy.scores), [[0.225]], rtol=1e-5)

    beams = search_trellis(
        Trellis.step, [START], num_beams=2, num_return_sequences=2, **settings
    )
    np.testing.assert_array_equal(
        beams.sequences, [[[b, c, EOS, PAD], [a, EOS, PAD, PAD]]]
    )
    np.testing.assert_allclose(np.exp(beams.scores), [[0.324, 0.225]], rtol=1e-5)
    np.testing.assert_array_equal(beams.lengths, [[3, 2]])


def test_a_negative_length_penalty_prefers_the_short_path():
    beams = search_trellis(
        Trellis.step,
        [START],
        max_new_tokens=4,
        num_beams=2,
        num_return_sequences=2,
        length_penalty=-1.0,
    )
    np.testing.assert_array_equal(beams.lengths, [[2, 3]])
    np.testing.assert_allclose(
        beams.scores, [[np.log(0.225) * 2, np.log(0.324) * 3]], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("early_stopping", "start", "length_penalty", "steps"),
    [
        # Three hypotheses are finished after three steps.
        (True, START, 1.0, 3),
        # And the best running beam, B C C, log .036 / 3, is worse than all of them.
        (False, START, 1.0, 3),
        # The worst of the best two is A C EOS, log .1575 / 3 = -.616. After step t the
        # best running beam is B C^(t-1), and log(.36 * .1^(t-2)) / 50 < -.616 at 15.
        ("never", START, 1.0, 15),
        # Longer is worse here, so a running beam is judged at its present length: D^t
        # by log(.9^t) * t, which is less than the second best, log .09 * 2, at 7.
        ("never", Trellis.D, -1.0, 7),
    ],
)
def test_the_loop_ends_when_all_is_decided(
    counted, early_stopping, start, length_penalty, steps
):
    step = counted(Trellis.step)
    search_trellis(
        step,
        [start],
        max_new_tokens=50,
        num_beams=2,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
    )
    assert step.calls == steps


def test_rows_that_are_not_active_are_not_waited_for(counted):
    step = counted(Trellis.step)
    # From C the beams need two steps to finish twice; from the start they need three.
    search_trellis(
        step,
        [Trellis.C, START],
        active=np.array([True, False]),
        max_new_tokens=50,
        num_beams=2,
        early_stopping=True,
    )
    assert step.calls == 2


# Truth by exhaustion


@pytest.mark.parametrize(("form", "penalty"), [("power", 1.0), ("gnmt", 0.6)])
def test_wide_beams_return_the_best_of_all_sequences(history_model, form, penalty):
    vocab_size, steps, num_returned = 5, 4, 10
    model = history_model.draw(seed=1, vocab_size=vocab_size)
    config = GenerationConfig(
        max_new_tokens=steps,
        num_beams=80,  # step 3 has 4 * 4 * 5 candidates: none is ever dropped
        num_return_sequences=num_returned,
        length_penalty=penalty,
        length_penalty_form=form,
        early_stopping="never",
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    sources = [0, 1, 2]
    result = run(compiled(model.step, config), model, config, sources)

    for row, source in enumerate(sources):
        finished, unfinished = [], [((), 0.0)]
        while unfinished:
            tokens, log_prob = unfinished.pop()
            n = len(tokens)
            if tokens[-1:] == (EOS,) or n == steps:
                base = n if form == "power" else (5 + n) / 6
                finished.append((tokens, log_prob / base**penalty))
            else:
                log_probs = model.log_probs(source, (START, *tokens))
                unfinished += [
                    ((*tokens, token), log_prob + log_probs[token])
                    for token in range(vocab_size)
                ]
        assert len(finished) == 1 + 4 + 16 + 64 * 5
        finished.sort(key=lambda hypothesis: -hypothesis[1])
        found = hypotheses(result, row)
        assert [f[0] for f in found] == [e[0] for e in finished[:num_returned]]
        np.testing.assert_allclose(
            [f[1] for f in found], [e[1] for e in finished[:num_returned]], rtol=1e-5
        )


# The peer's decisions


def peer_beam_search(model, sources, config):
    """The peer's search from its description, a whole batch at a time, in float32.

    Hypotheses are tuples of tokens, and the model is asked anew about each of them.

    Returns:
      For each source [(tokens, score)], best first; tokens is None in a free place.
    """
    beams, max_length = config.num_beams, config.num_new_tokens
    num_candidates = max(2, 1 + len(config.eos_ids)) * beams
    low = np.float32(-1e9)

    def norm(n):
        base = (5 + n) / 6 if config.length_penalty_form == "gnmt" else n
        return np.float32(base**config.length_penalty)

    def best(scored, count):  # stable: of equals the first
        return sorted(scored, key=lambda pair: -pair[1])[:count]

    def is_full(pool):
        return all(tokens is not None for tokens, _ in pool)

    running = [[((), np.float32(0))] + [((), low)] * (beams - 1) for _ in sources]
    pools = [[(None, low)] * beams for _ in sources]
    may_improve = [True for _ in sources]
    for length in range(1, max_length + 1):
        everything_stops = True
        for row, source in enumerate(sources):
            candidates = best(
                [
                    ((*tokens, token), np.float32(score + log_prob))
                    for tokens, score in running[row]
                    for token, log_prob in enumerate(
                        model.log_probs(source, (START, *tokens))
                    )
                ],
                num_candidates,
            )
            runners, finishers = [], []
            closed = is_full(pools[row]) and config.early_stopping is True
            for rank, (tokens, score) in enumerate(candidates):
                stops = tokens[-1] in config.eos_ids or length == max_length
                everything_stops &= stops
                runners.append((tokens, score + low if stops else score))
                final = score / norm(length)
                final += low if closed else 0
                final += low if not may_improve[row] else 0
                if stops and rank < beams:
                    finishers.append((tokens, final))
                else:
                    finishers.append((None, final + low))
            running[row] = best(runners, beams)
            pools[row] = best(pools[row] + finishers, beams)

            to_the_end = config.early_stopping == "never" and config.length_penalty > 0
            bound = running[row][0][1] / norm(max_length if to_the_end else length)
            worst = min(score for _, score in pools[row])
            may_improve[row] &= bound > (worst if is_full(pools[row]) else low)
        closed = config.early_stopping is True and all(map(is_full, pools))
        if closed or everything_stops or not any(may_improve):
            break
    return [pool[: config.num_return_sequences] for pool in pools]


EOS_BIASES = (-2.0, 0.0, 2.0, 4.0)


def drawn_settings(number):
    """(vocabulary size, config) over all that a search reads.

    Fifteen numbers in a row meet every way of stopping with every number of beams and
    with every length penalty.
    """
    rng = np.random.default_rng(number)
    num_beams = 1 + number % 5
    return int(rng.choice([5, 11, 200])), GenerationConfig(
        max_new_tokens=int(rng.choice([1, 4, 8, 12])),
        num_beams=num_beams,
        num_return_sequences=int(rng.integers(1, num_beams + 1)),
        length_penalty=(0.6, 2.0, 0.0, -1.0, 1.0)[number // 3 % 5],
        length_penalty_form=("power", "power", "gnmt")[rng.integers(3)],
        early_stopping=(False, True, "never")[number % 3],
        eos_token_id=None if number % 7 == 6 else (EOS, (EOS, 3))[number % 2],
        pad_token_id=(PAD, 7)[rng.integers(2)],
    )


@pytest.mark.parametrize("number", range(15))
def test_every_decision_is_the_peers(history_model, number):
    vocab_size, config = drawn_settings(number)
    search = compiled(history_model.step, config, beam_search)
    sources = [0, 1, 2, 3, 4]
    for bias in EOS_BIASES:
        model = history_model.draw(number, vocab_size, config.eos_ids, bias)
        result = run(search, model, config, sources)
        expected = peer_beam_search(model, sources, config)
        for row in range(len(sources)):
            found = hypotheses(result, row)
            assert [f[0] for f in found] == [e[0] or () for e in expected[row]]
            np.testing.assert_allclose(
                [f[1] for f in found],
                [e[1] for e in expected[row]],
                rtol=1e-5,
                atol=1e-5,
            )
        unused = np.arange(config.num_new_tokens)[None, None]
        unused = unused >= result.lengths[:, :, None]
        assert (result.sequences[unused] == config.fill_id).all()


# Invariances


@pytest.fixture(scope="module")
def drawn(history_model):
    """(model, config, compiled search) with short and long results."""
    config = GenerationConfig(
        max_new_tokens=8, num_beams=3, num_return_sequences=2, eos_token_id=EOS
    )
    model = history_model.draw(3, 11, config.eos_ids, eos_bias=1.0)
    return model, config, compiled(model.step, config)


SOURCES = np.arange(6)


def test_a_source_has_the_same_result_anywhere_in_any_batch(drawn):
    model, config, search = drawn
    in_order = run(search, model, config, SOURCES)
    assert len(np.unique(in_order.lengths)) > 2
    order = np.array([4, 2, 0, 5, 1, 3])
    shuffled = run(search, model, config, SOURCES[order])
    assert_same(shuffled, jax.tree.map(lambda x: x[order], in_order))
    alone = run(search, model, config, SOURCES[2:3])
    assert_same(alone, jax.tree.map(lambda x: x[2:3], in_order))


def test_rows_that_are_not_active_are_empty_and_change_nothing(drawn):
    model, config, search = drawn
    everyone = run(search, model, config, SOURCES)
    active = np.array([True, False, True, False, False, True])
    some = run(search, model, config, SOURCES, active)
    assert_same(*(jax.tree.map(lambda x: x[active], r) for r in (some, everyone)))
    assert (some.lengths[~active] == 0).all()
    assert (some.sequences[~active] == config.fill_id).all()
    assert (some.scores[~active] == np.float32(LOWEST_SCORE)).all()


def test_scores_are_float32_whatever_the_logits(drawn, history_model):
    model, config, search = drawn
    rounded = history_model(np.asarray(jnp.asarray(model.table, jnp.bfloat16), "f4"))

    def bfloat16_step(*args):
        logits, cache = rounded.step(*args)
        return logits.astype(jnp.bfloat16), cache

    result = run(compiled(bfloat16_step, config), rounded, config, SOURCES)
    assert result.scores.dtype == np.float32
    assert_same(result, run(search, rounded, config, SOURCES))


def test_one_beam_that_stops_early_is_greedy(drawn):
    model, _, _ = drawn
    config = GenerationConfig(
        max_new_tokens=8, early_stopping=True, eos_token_id=(EOS, 4), pad_token_id=PAD
    )
    sources = np.arange(20)
    expected = run(compiled(model.step, config), model, config, sources)
    assert len(np.unique(expected.lengths)) > 2
    beams = compiled(model.step, config, beam_search)
    assert_same(run(beams, model, config, sources), expected)


# Groups, as version 4 of Hugging Face searched


def group_cases():
    path = pathlib.Path(__file__).with_name("group_beam_goldens.json")
    return json.loads(path.read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", group_cases(), ids=lambda case: f"{case['seed']}")
def test_groups_of_beams_find_what_the_peer_found(history_model, case):
    config = GenerationConfig(**case["settings"])
    model = history_model.draw(
        case["seed"], case["vocab_size"], config.eos_ids, case["eos_bias"]
    )
    found = run(compiled(model.step, config), model, config, case["sources"])
    for row, (sequences, scores) in enumerate(
        zip(case["sequences"], case["scores"], strict=True)
    ):
        ours = [list(tokens) for tokens, _ in hypotheses(found, row)]
        for tokens in ours:  # Hugging Face writes its first EOS, whichever came
            if tokens[-1] in config.eos_ids:
                tokens[-1] = config.eos_ids[0]
        # Hypotheses of equal score may come in either order.
        assert sorted(ours) == sorted(sequences)
        np.testing.assert_allclose(found.scores[row], scores, atol=2e-5)
