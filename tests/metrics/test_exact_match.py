"""Exact match by each normalization, on small and on real data."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import baselines, exact_match
from bertgen_jax.metrics.outputs import Outputs


def compute(predictions, references, **options):
    (metric,) = exact_match.compute(Outputs.of(predictions, references), **options)
    return metric


def value(predictions, references, **options):
    return compute(predictions, references, **options).value


def test_one_of_the_references_is_enough():
    metric = compute(["a b c", "d ef"], [["x", "a b c"], ["d e f"]])
    assert metric.value == 50
    np.testing.assert_array_equal(metric.per_example, [100, 0])


@pytest.mark.parametrize(
    ("prediction", "reference", "equal"),
    [
        ("a b", "a b", {"none", "lowercase", "huggingface"}),
        ("A b", "a B", {"lowercase", "huggingface"}),
        ("a b ", "a b", {"huggingface"}),
        ("x . <::::> y", "x <::::> y", {"huggingface"}),
        ("The x, an y", "x y .", {"huggingface"}),
        ("theatre", "atre", set()),
        ("", "", {"none", "lowercase", "huggingface"}),
        ("", "the .", {"huggingface"}),
        ("a\0", "a", set()),
        ("don't", "dont", {"huggingface"}),
    ],
)
def test_texts_are_equal_after_normalization(prediction, reference, equal):
    for normalization in ("none", "lowercase", "huggingface"):
        actual = value([prediction], [[reference]], normalization=normalization)
        assert actual == 100 * (normalization in equal)


def test_wiki_split_of_hugging_face(cases):
    case = cases["sari"]["hf_wiki_split"]
    actual = value(
        [case["prediction"]], [case["references"]], normalization="huggingface"
    )
    assert actual == case["exact"]


def test_a_line_of_ten_megabytes_is_a_text():
    line = "a B. " * 2_000_000
    assert value([line], [[line]], normalization="lowercase") == 100


def test_names_and_signatures_state_the_choices():
    metric = compute(["a"], [["a", "b"]], normalization="lowercase", name="exact-lower")
    assert metric.name == "exact-lower"
    assert metric.signature == "nrefs:2|normalization:lowercase"
    with pytest.raises(ConfigError, match=r"normalization is .*; expected one of none"):
        value(["a"], [["a"]], normalization="lower")


@pytest.mark.parametrize(
    ("data", "split", "baseline"),
    [
        ("wikisplit", "validation", "copy"),
        ("wikisplit", "validation", "halve"),
        ("wikisplit", "test", "copy"),
        ("wikisplit", "test", "halve"),
        ("wikisplit_fusion", "validation", "concatenate"),
        ("wikisplit_fusion", "test", "concatenate"),
        ("minwiki", "test", "copy"),
        ("desse", "validation", "copy"),
        ("desse", "test", "copy"),
    ],
)
def test_baselines_on_real_data(read_lines, read_json, data, split, baseline):
    folder = data.removesuffix("_fusion")
    rows = [line.split("\t") for line in read_lines(f"{folder}/{split}.tsv.gz")]
    if data != folder:
        rows = [(right, left) for left, right in rows]
    predictions = [baselines.BASELINES[baseline](left) for left, _ in rows]
    references = [[right] for _, right in rows]
    golden = read_json(f"{folder}/golden.json")
    golden = golden.get("splits", golden)[f"{data}/{split}/{baseline}"]
    for normalization, key in (("none", "exact"), ("lowercase", "exact_lowercase")):
        actual = value(predictions, references, normalization=normalization)
        assert actual == pytest.approx(golden[key], abs=5e-7)
