"""Metrics by name: all of them measure, and what cannot be is refused at once."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import catalogue, measurement
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
def test_every_metric_measures_examples_and_resamples(name, options):
    found = catalogue.measure([name], OUTPUTS, options)
    assert tuple(one.name for one in found) == catalogue.METRICS[name].names
    resamples = Resamples(len(OUTPUTS), samples=50)
    for one in found:
        assert one.name.startswith(name)
        assert one.statistics.shape[0] == one.per_example.shape[0] == len(OUTPUTS)
        assert one.statistics.dtype == np.float64
        assert np.isfinite([one.value, *one.per_example]).all()
        assert np.isfinite(resamples.values(one)).all()
        _, *choices = one.signature.split("|")  # ROUGE begins with its program
        assert all(":" in choice for choice in choices)
    assert "\n" not in catalogue.METRICS[name].description


def test_all_metrics_together_have_names_of_their_own(options):
    found = catalogue.measure(list(catalogue.METRICS), OUTPUTS, options)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert {"rouge1", "rouge155_1", "sari", "sari-easse_delete"} <= set(names)
    assert [one.name for one in catalogue.measure(["bleu", "exact"], OUTPUTS)] == [
        "bleu",
        "exact",
    ]


def test_an_unknown_name_is_answered_by_the_nearest():
    with pytest.raises(ConfigError, match=r"no metric 'blue'\. Did you mean 'bleu'\?"):
        catalogue.measure(["exact", "blue"], OUTPUTS)
    with pytest.raises(ConfigError, match=r"no metric 'xyz'\. Known are rouge, "):
        catalogue.metric("xyz")


def test_what_a_metric_needs_is_asked_for_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(measurement, "mean", None)  # whoever measures, fails
    without_sources = Outputs.of(OUTPUTS.predictions, OUTPUTS.references)
    for name, metric in catalogue.METRICS.items():
        if metric.needs_sources:
            with pytest.raises(DataError, match=f"{name} compares predictions"):
                catalogue.measure(["exact", name], without_sources)
        if metric.needs_exceptions:
            with pytest.raises(ConfigError, match=f"{name} needs a list of irregular"):
                catalogue.measure(["exact", name], OUTPUTS)


def test_a_metric_asked_for_twice_is_measured_once():
    assert len(catalogue.measure(["exact", "exact"], OUTPUTS)) == 1


def test_options_are_of_their_metric():
    stemmed, plain = (
        catalogue.measure(["rouge", "exact"], OUTPUTS, {"rouge": {"stemming": stem}})
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
    lower = [name for name, one in catalogue.METRICS.items() if one.lower_is_better]
    assert lower == ["ter"]


def test_every_value_leads_back_to_its_metric():
    for metric in catalogue.METRICS.values():
        for name in metric.names:
            assert catalogue.metric_of(name) is metric
    assert catalogue.metric_of("loss") is None


def test_only_what_needs_sources_fails_without(options):
    without_sources = Outputs.of(OUTPUTS.predictions, OUTPUTS.references)
    names = [name for name, one in catalogue.METRICS.items() if not one.needs_sources]
    assert catalogue.measure(names, without_sources, options)
    for name in set(catalogue.METRICS) - set(names):
        with pytest.raises(DataError):
            catalogue.METRICS[name].measure(without_sources)
