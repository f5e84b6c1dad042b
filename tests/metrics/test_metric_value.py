"""Values are functions of sums; scores print and list their signatures."""

import numpy as np

from bertgen_jax.metrics import bootstrap, metric_value
from bertgen_jax.metrics.bootstrap import Resamples


def test_a_ratio_is_taken_of_sums():
    metric = metric_value.ratio("length", [1, 3], [2, 2], "")
    assert metric.value == 100
    np.testing.assert_array_equal(metric.per_example, [50, 150])
    resamples = Resamples(2, samples=50)
    expected = resamples.counts @ [1, 3] / (resamples.counts @ [2, 2])
    np.testing.assert_allclose(resamples.values(metric), 100 * expected)


def test_a_ratio_of_nothing_to_nothing_is_0():
    assert metric_value.ratio("length", [0.0], [0.0], "").value == 0


def test_a_choice_is_appended_to_each_signature():
    metric = metric_value.mean("x", [1.0], "tok:a")
    (with_choice,) = metric_value.with_choice([metric], "texts:quotes")
    assert with_choice.signature == "tok:a|texts:quotes"
    assert with_choice.value == metric.value


def test_scores_print_their_intervals_and_share_signatures():
    metrics = [metric_value.mean(name, [40.0, 60.0], "tok:a") for name in ("x", "y")]
    scores = bootstrap.scores(metrics, Resamples(2, samples=100, seed=3))
    assert str(scores["x"]) == "x 50.00 [40.00, 60.00]"
    assert metric_value.signatures(scores) == ["x, y: tok:a|bootstrap:100|seed:3|n:2"]
