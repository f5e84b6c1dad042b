"""All metrics by name: their values, their directions, and what they need."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import catalogue, metric_value
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs

OUTPUTS = Outputs.of(
    ["The cat sat .", "a dog ran , he said .", ""],
    [["The cat sat down ."], ["A dog ran .", "a dog , he said ."], ["one word"]],
    ["The cat sat .", "a dog ran away , he said .", "nothing"],
)


@pytest.fixture
def options(tmp_path):
    path = tmp_path / "exceptions.txt"
    path.write_text("ran|run\n")
    return {"rouge155": {"exceptions": path}}


@pytest.mark.parametrize("name", catalogue.METRICS)
def test_every_metric_scores_examples_and_resamples(name, options):
    metrics = catalogue.compute([name], OUTPUTS, options)
    assert tuple(metric.name for metric in metrics) == catalogue.METRICS[name].names
    resamples = Resamples(len(OUTPUTS), samples=50)
    for metric in metrics:
        assert metric.name.startswith(name)
        assert len(metric.statistics) == len(metric.per_example) == len(OUTPUTS)
        assert metric.statistics.dtype == np.float64
        assert np.isfinite([metric.value, *metric.per_example]).all()
        assert np.isfinite(resamples.values(metric)).all()
        _, *choices = metric.signature.split("|")  # ROUGE begins with its program
        assert all(":" in choice for choice in choices)
    assert "\n" not in catalogue.METRICS[name].description


def test_all_metrics_together_have_names_of_their_own(options):
    metrics = catalogue.compute(list(catalogue.METRICS), OUTPUTS, options)
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    assert {"rouge1", "rouge155_1", "sari", "sari-easse_delete"} <= set(names)


def test_metrics_are_computed_in_the_given_order_and_once():
    metrics = catalogue.compute(["exact", "bleu", "exact"], OUTPUTS)
    assert [metric.name for metric in metrics] == ["exact", "bleu"]


def test_texts_are_normalized_first_and_signatures_say_so():
    outputs = Outputs.of(["“It”"], [['"it"']])
    (plain,) = catalogue.compute(["exact"], outputs)
    (normalized,) = catalogue.compute(
        ["exact"], outputs, normalization=("quotes", "lowercase")
    )
    assert (plain.value, normalized.value) == (0, 100)
    assert normalized.signature == f"{plain.signature}|texts:quotes+lowercase"


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"metric is 'blue'; .* Did you mean 'bleu'\?"
    ):
        catalogue.compute(["exact", "blue"], OUTPUTS)
    with pytest.raises(ConfigError, match=r"metric is 'xyz'; expected one of rouge, "):
        catalogue.get("xyz")


def test_missing_inputs_are_refused_before_any_metric_is_computed(monkeypatch):
    monkeypatch.setattr(metric_value, "mean", None)  # so that "exact" would fail
    without_sources = Outputs.of(OUTPUTS.predictions, OUTPUTS.references)
    for name, metric in catalogue.METRICS.items():
        if metric.needs_sources:
            with pytest.raises(DataError, match=f"{name} compares predictions"):
                catalogue.compute(["exact", name], without_sources)
        if metric.needs_exceptions:
            with pytest.raises(ConfigError, match=f"{name} needs a list of irregular"):
                catalogue.compute(["exact", name], OUTPUTS)


def test_options_apply_to_their_metric():
    stemmed, plain = (
        catalogue.compute(["rouge", "exact"], OUTPUTS, {"rouge": {"stemming": stem}})
        for stem in (True, False)
    )
    assert "stem:yes" in stemmed[0].signature
    assert "stem:no" in plain[0].signature


def test_names_of_values_are_known_without_texts():
    assert catalogue.value_names(["exact", "sari"]) == (
        "exact",
        "sari",
        "sari_keep",
        "sari_add",
        "sari_delete",
    )


def test_ter_alone_is_better_when_it_is_lower():
    lower = [
        name for name, metric in catalogue.METRICS.items() if metric.lower_is_better
    ]
    assert lower == ["ter"]


def test_every_value_leads_back_to_its_metric():
    for metric in catalogue.METRICS.values():
        for name in metric.names:
            assert catalogue.metric_of(name) is metric
    assert catalogue.metric_of("loss") is None


def test_metrics_that_need_no_sources_work_without_them(options):
    without_sources = Outputs.of(OUTPUTS.predictions, OUTPUTS.references)
    names = [
        name for name, metric in catalogue.METRICS.items() if not metric.needs_sources
    ]
    assert catalogue.compute(names, without_sources, options)
    for name in set(catalogue.METRICS) - set(names):
        with pytest.raises(DataError):
            catalogue.METRICS[name].compute(without_sources)
