"""Intervals by their properties; paired tests also against sacreBLEU to the digit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import bleu, bootstrap, metric_value
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs

SCORES = hypothesis_numpy.arrays(
    np.float64, st.integers(1, 40), elements=st.floats(0, 100)
)


def mean_of(scores):
    return metric_value.mean("score", scores, "")


def interval(scores, samples=1_000, seed=0, confidence=0.95):
    resamples = Resamples(len(scores), samples, seed)
    return resamples.interval(mean_of(scores), confidence)


@given(SCORES)
def test_the_interval_contains_the_mean_and_stays_within_the_scores(scores):
    low, high = interval(scores, samples=200)
    rounding = 1e-9
    assert scores.min() - rounding <= low <= scores.mean() + rounding
    assert scores.mean() - rounding <= high <= scores.max() + rounding


@given(SCORES)
def test_more_confidence_is_a_wider_interval(scores):
    low, high = interval(scores, samples=100, confidence=0.8)
    lower, higher = interval(scores, samples=100, confidence=0.99)
    assert lower <= low
    assert high <= higher


def test_intervals_depend_on_the_seed_only():
    scores = np.random.default_rng(0).uniform(0, 100, 50)
    assert interval(scores, seed=5) == interval(scores, seed=5)
    assert interval(scores, seed=0) != interval(scores, seed=1)


def test_better_scores_move_the_interval_with_them():
    scores = np.random.default_rng(0).uniform(0, 90, 50)
    ends = np.asarray(interval(scores))
    np.testing.assert_allclose(interval(scores + 10), ends + 10, rtol=1e-12)


def test_the_width_is_that_of_the_normal_approximation():
    for n in (100, 10_000):
        scores = np.random.default_rng(n).uniform(0, 100, n)
        low, high = interval(scores)
        standard_error = scores.std(ddof=1) / n**0.5
        assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)


def test_every_sample_has_as_many_examples():
    counts = Resamples(17, samples=30).counts
    assert counts.shape == (30, 17)
    np.testing.assert_array_equal(counts.sum(axis=1), 17)


def test_samples_do_not_depend_on_the_size_of_blocks(monkeypatch):
    expected = Resamples(101).counts
    for drawn_at_once in (1, 1_000, 101_000):
        monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", drawn_at_once)
        np.testing.assert_array_equal(Resamples(101).counts, expected)


@pytest.mark.parametrize(("examples", "samples"), [(0, 10), (1, 0)])
def test_resamples_without_examples_or_samples_are_refused(examples, samples):
    with pytest.raises(ConfigError, match="needs examples and samples"):
        Resamples(examples, samples)


def test_negative_seeds_and_too_many_samples_are_refused():
    with pytest.raises(ConfigError, match="the seed is -1"):
        Resamples(3, seed=-1)
    with pytest.raises(ConfigError, match="do not fit in memory"):
        Resamples(1_000, samples=10**14)


def test_a_confidence_outside_0_to_1_is_refused():
    with pytest.raises(ConfigError, match=r"confidence is 1\.0"):
        interval([1.0], confidence=1.0)


def both_tests(system, baseline):
    resamples = Resamples(len(system.statistics), samples=500)
    return (
        bootstrap.paired_bootstrap(system, baseline, resamples),
        bootstrap.approximate_randomization(system, baseline, trials=500),
    )


def test_a_system_compared_with_itself_has_the_smallest_p_value():
    scores = mean_of(np.random.default_rng(0).uniform(0, 100, 50))
    assert bootstrap.approximate_randomization(scores, scores, 500) == 1 / 501
    assert bootstrap.paired_bootstrap(scores, scores, Resamples(50, 500)) == 1 / 501


def test_a_clear_difference_is_significant_and_a_small_one_is_not():
    random = np.random.default_rng(0)
    scores = random.uniform(0, 50, 100)
    for p in both_tests(
        mean_of(scores + 20 + random.normal(0, 5, 100)), mean_of(scores)
    ):
        assert p < 0.01
    for p in both_tests(mean_of(scores + random.normal(0, 20, 100)), mean_of(scores)):
        assert p > 0.1


def test_system_and_baseline_can_be_swapped():
    random = np.random.default_rng(1)
    system, baseline = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    resamples = Resamples(40, samples=200)
    assert bootstrap.paired_bootstrap(
        system, baseline, resamples
    ) == bootstrap.paired_bootstrap(baseline, system, resamples)
    p = bootstrap.approximate_randomization(system, baseline, 2_000)
    swapped = bootstrap.approximate_randomization(baseline, system, 2_000)
    assert p == swapped  # the same coins give the same pairs


def test_randomization_depends_on_the_seed_only():
    random = np.random.default_rng(2)
    system, baseline = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    values = [
        bootstrap.approximate_randomization(system, baseline, 500, seed)
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_randomization_does_not_depend_on_the_size_of_blocks(monkeypatch):
    random = np.random.default_rng(3)
    system, baseline = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    expected = bootstrap.approximate_randomization(system, baseline, 500)
    monkeypatch.setattr(bootstrap, "_TRIALS_AT_ONCE", 7)
    assert bootstrap.approximate_randomization(system, baseline, 500) == expected


def test_systems_with_different_numbers_of_examples_are_refused():
    with pytest.raises(DataError, match="2 examples and over 3"):
        bootstrap.approximate_randomization(mean_of([1, 2]), mean_of([1, 2, 3]))
    with pytest.raises(DataError, match="2 examples and over 3"):
        bootstrap.paired_bootstrap(mean_of([1, 2]), mean_of([1, 2, 3]), Resamples(2))


@pytest.fixture
def newstest2017(read_lines):
    """BLEU, with tokens at whitespace, of a system of WMT17."""
    references = [[line] for line in read_lines("wmt17_en_de/references.de.gz")]

    def bleu_of(system):
        predictions = read_lines(f"wmt17_en_de/outputs.{system}.de.gz")
        outputs = Outputs.of(predictions, references)
        (metric,) = bleu.compute(outputs, tokenization="none")
        return metric

    return bleu_of


def mean_and_half_width(values):
    """As sacreBLEU prints them; its percentiles are values of samples."""
    tail = len(values) // 40
    values = np.sort(values)
    return values.mean(), (values[-tail - 1] - values[tail]) / 2


@pytest.mark.slow
def test_systems_of_wmt17_against_lium(newstest2017, read_json):
    golden = read_json("wmt17_en_de/golden_significance.json")
    baseline = newstest2017("LIUM")
    resamples = Resamples(len(baseline.statistics), samples=2_000, seed=12345)
    expected = golden["LIUM bootstrap mean and half width of the 95% interval"]
    assert mean_and_half_width(resamples.values(baseline)) == pytest.approx(
        expected, abs=1e-6
    )
    assert len(golden["against LIUM"]) == 7
    for name, scores in golden["against LIUM"].items():
        system = newstest2017(name)
        p = bootstrap.paired_bootstrap(system, baseline, resamples)
        key = "paired bootstrap p, {}"
        assert p == pytest.approx(
            scores[key.format("sacreBLEU 2.6.0, 2,000 samples, seed 12345")], abs=1e-6
        )
        assert p == pytest.approx(
            scores[key.format("Moses script, 2,000 samples (published)")], abs=0.01
        )
        expected = scores["sacreBLEU bootstrap mean and half width of the 95% interval"]
        mean_and_width = mean_and_half_width(resamples.values(system))
        assert mean_and_width == pytest.approx(expected, abs=1e-6)
        p = bootstrap.approximate_randomization(system, baseline, 10_000, seed=12345)
        key = "approximate randomization p, {}"
        assert p == pytest.approx(
            scores[key.format("sacreBLEU 2.6.0, seed 12345")], abs=1e-6
        )
        assert p == pytest.approx(
            scores[key.format("MultEval, 10,000 trials (published)")], abs=0.01
        )
