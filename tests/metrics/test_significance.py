"""Paired tests: those of sacreBLEU to the digit, and what they say of easy cases."""

import numpy as np
import pytest

from bertgen_jax.errors import DataError
from bertgen_jax.metrics import bleu, measurement, significance
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def mean_of(scores):
    return measurement.mean("score", np.asarray(scores, float), "")


def both_tests(system, baseline):
    resamples = Resamples(len(system.statistics), samples=500)
    return (
        significance.paired_bootstrap(system, baseline, resamples),
        significance.approximate_randomization(system, baseline, trials=500),
    )


def test_a_system_beside_itself_differs_by_nothing():
    scores = mean_of(np.random.default_rng(0).uniform(0, 100, 50))
    assert significance.approximate_randomization(scores, scores, 500) == 1 / 501
    assert significance.paired_bootstrap(scores, scores, Resamples(50, 500)) == 1 / 501


def test_a_clear_difference_is_not_chance_and_a_small_one_may_be():
    random = np.random.default_rng(0)
    scores = random.uniform(0, 50, 100)
    for p in both_tests(
        mean_of(scores + 20 + random.normal(0, 5, 100)), mean_of(scores)
    ):
        assert p < 0.01
    for p in both_tests(mean_of(scores + random.normal(0, 20, 100)), mean_of(scores)):
        assert p > 0.1


def test_which_of_the_two_is_the_baseline_does_not_matter():
    random = np.random.default_rng(1)
    one, other = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    resamples = Resamples(40, samples=200)
    assert significance.paired_bootstrap(
        one, other, resamples
    ) == significance.paired_bootstrap(other, one, resamples)
    found = significance.approximate_randomization(one, other, 2_000)
    swapped = significance.approximate_randomization(other, one, 2_000)
    assert found == swapped  # the same coins give the same pairs


def test_the_seed_alone_decides():
    random = np.random.default_rng(2)
    one, other = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    values = [
        significance.approximate_randomization(one, other, 500, seed)
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


def test_how_many_trials_are_made_at_once_changes_nothing(monkeypatch):
    random = np.random.default_rng(3)
    one, other = (mean_of(random.uniform(0, 50, 40)) for _ in range(2))
    expected = significance.approximate_randomization(one, other, 500)
    monkeypatch.setattr(significance, "_TRIALS_AT_ONCE", 7)
    assert significance.approximate_randomization(one, other, 500) == expected


def test_other_examples_are_refused():
    with pytest.raises(DataError, match="2 examples and on 3"):
        significance.approximate_randomization(mean_of([1, 2]), mean_of([1, 2, 3]))
    with pytest.raises(DataError, match="2 examples and on 3"):
        significance.paired_bootstrap(mean_of([1, 2]), mean_of([1, 2, 3]), Resamples(2))


@pytest.fixture
def newstest2017(read_lines):
    """BLEU on blanks of a system of WMT17."""
    references = [[line] for line in read_lines("wmt17_en_de/references.de.gz")]

    def measured(system):
        predictions = read_lines(f"wmt17_en_de/outputs.{system}.de.gz")
        (found,) = bleu.measure(
            Outputs.of(predictions, references), tokenization="none"
        )
        return found

    return measured


def mean_and_half_width(values):
    """As sacreBLEU prints them: its percentiles are samples."""
    tail = len(values) // 40
    values = np.sort(values)
    return values.mean(), (values[-tail - 1] - values[tail]) / 2


@pytest.mark.slow
def test_systems_of_wmt17_against_lium(newstest2017, read_json):
    golden = read_json("wmt17_en_de/golden_significance.json")
    baseline = newstest2017("LIUM")
    resamples = Resamples(len(baseline.statistics), samples=2_000, seed=12345)
    expected = golden["LIUM bootstrap mean and half width of the 95% interval"]
    found = mean_and_half_width(resamples.values(baseline))
    assert found == pytest.approx(expected, abs=1e-6)
    assert len(golden["against LIUM"]) == 7
    for name, scores in golden["against LIUM"].items():
        system = newstest2017(name)
        p = significance.paired_bootstrap(system, baseline, resamples)
        key = "paired bootstrap p, {}"
        assert p == pytest.approx(
            scores[key.format("sacreBLEU 2.6.0, 2,000 samples, seed 12345")], abs=1e-6
        )
        assert p == pytest.approx(
            scores[key.format("Moses script, 2,000 samples (published)")], abs=0.01
        )
        found = mean_and_half_width(resamples.values(system))
        expected = scores["sacreBLEU bootstrap mean and half width of the 95% interval"]
        assert found == pytest.approx(expected, abs=1e-6)
        p = significance.approximate_randomization(system, baseline, 10_000, seed=12345)
        key = "approximate randomization p, {}"
        assert p == pytest.approx(
            scores[key.format("sacreBLEU 2.6.0, seed 12345")], abs=1e-6
        )
        assert p == pytest.approx(
            scores[key.format("MultEval, 10,000 trials (published)")], abs=0.01
        )
