"""Length, repetition and novelty, by hand and on the outputs of XSum systems."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import analysis, baselines
from bertgen_jax.metrics.outputs import Outputs


def values(metrics):
    return {metric.name: metric.value for metric in metrics}


def repetition(predictions, references, **options):
    outputs = Outputs.of(predictions, references)
    (metric,) = analysis.compute_repetition(outputs, **options)
    return metric


def test_length_is_a_mean_and_a_percentage_of_the_references():
    outputs = Outputs.of(["a b c", "d"], [["e f", "g h i j"], ["k"]])
    mean, ratio = analysis.compute_length(outputs)
    assert (mean.name, ratio.name) == ("length", "length_ratio")
    assert mean.value == 2
    np.testing.assert_array_equal(mean.per_example, [3, 1])
    assert ratio.value == 100  # 4 of 3 + 1
    assert mean.signature == "tok:blanks"
    assert ratio.signature == "nrefs:var|tok:blanks"


def test_repetition_counts_predictions_that_repeat_a_rare_word(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 2)
    references = [["the cat and the dog and"], ["the end"], ["x"], ["y"]]
    predictions = ["the the and and cat", "dog dog", "Dog dog", "The The"]
    cased = repetition(predictions, references)
    np.testing.assert_array_equal(cased.per_example, [0, 100, 0, 100])
    assert cased.value == 50
    assert cased.signature == "frequent:2 of references|case:mixed|tok:blanks"
    uncased = repetition(predictions, references, lowercase=True)
    np.testing.assert_array_equal(uncased.per_example, [0, 100, 100, 0])
    assert uncased.signature == "frequent:2 of references|case:lc|tok:blanks"


def test_frequent_words_come_from_the_chosen_texts(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 1)
    references, predictions = [["a a a"]], ["b b c c c"]
    # The frequent word is a; c; or a, which stands before c in the alphabet.
    for frequent, expected in (
        ("references", 100),
        ("predictions", 100),
        ("both", 100),
    ):
        assert repetition(predictions, references, frequent=frequent).value == expected
    predictions = ["c c c c b"]
    for frequent, expected in (("references", 100), ("predictions", 0), ("both", 0)):
        assert repetition(predictions, references, frequent=frequent).value == expected
    with pytest.raises(ConfigError, match=r"frequent is .*; expected one of refer"):
        repetition(["a"], [["a"]], frequent="all")


def test_equally_frequent_words_are_ranked_alphabetically(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 1)
    assert repetition(["a a"], [["b a b a"]]).value == 0
    assert repetition(["b b"], [["b a b a"]]).value == 100


def test_novelty_counts_ngrams_that_the_source_lacks():
    outputs = Outputs.of(["A b\nx a b", ""], [["-"], ["-"]], ["c a B a b", "d"])
    metrics = analysis.compute_novelty(outputs)
    assert values(metrics) == pytest.approx(
        {"novelty1": 20, "novelty2": 50, "novelty3": 100, "novelty4": 100}
    )
    np.testing.assert_array_equal(metrics[0].per_example, [20, 0])
    assert metrics[0].signature == "case:lc|tok:blanks"
    with pytest.raises(DataError, match="Novelty compares predictions with their sour"):
        analysis.compute_novelty(Outputs.of(["a"], [["a"]]))


def test_empty_texts_have_a_value():
    outputs = Outputs.of(["", "\0"], [[""], [" "]], ["", ""])
    actual = values(
        [
            *analysis.compute_length(outputs),
            *analysis.compute_repetition(outputs),
            *analysis.compute_novelty(outputs),
        ]
    )
    assert actual == {
        "length": 0.5,
        "length_ratio": 0,
        "repetition": 0,
        "novelty1": 100,
        "novelty2": 0,
        "novelty3": 0,
        "novelty4": 0,
    }


def test_a_line_of_ten_megabytes_is_a_text():
    line = "a b " + "c" * 10_000_000
    outputs = Outputs.of([line], [[line]], [line])
    assert values(analysis.compute_length(outputs))["length_ratio"] == 100
    assert values(analysis.compute_novelty(outputs))["novelty3"] == 0
    assert values(analysis.compute_repetition(outputs)) == {"repetition": 0}


@pytest.mark.parametrize(
    "system", ["references", "outputs.tconvs2s", "outputs.ptgen", "outputs.lead"]
)
def test_systems_of_xsum(read_lines, read_json, system):
    references = [[line] for line in read_lines("xsum_outputs/references.txt.gz")]
    predictions = read_lines(f"xsum_outputs/{system}.txt.gz")
    outputs = Outputs.of(predictions, references)
    ((_, golden),) = read_json("xsum_outputs/golden_analysis.json").items()
    golden = golden[system]
    length = values(analysis.compute_length(outputs))
    assert length["length"] == pytest.approx(golden["mean tokens"], rel=1e-12)
    assert length["length_ratio"] == pytest.approx(
        100 * golden["length ratio to references"], rel=1e-12
    )
    for frequent, texts in (
        ("references", "the references"),
        ("predictions", "this file"),
    ):
        actual = repetition(predictions, references, frequent=frequent).value
        expected = golden[f"repetition % (500 most frequent of {texts} removed)"]
        assert actual == pytest.approx(expected, rel=1e-12)


def test_references_of_fifty_documents(read_rows, read_json):
    rows = read_rows("xsum_outputs/documents50.jsonl.gz")
    summaries = [row["summary"] for row in rows]
    outputs = Outputs.of(
        summaries, [[text] for text in summaries], [row["document"] for row in rows]
    )
    golden = read_json("xsum_outputs/golden_documents50.json")
    key = "reference summaries, lower-cased, blank-separated tokens, with multiplicity"
    for order, metric in enumerate(analysis.compute_novelty(outputs), start=1):
        expected = golden[key][f"novel {order}-grams %"]
        assert metric.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("data", "split", "baseline"),
    [
        ("wikisplit", "test", "copy"),
        ("wikisplit", "test", "halve"),
        ("desse", "test", "copy"),
        ("minwiki", "test", "copy"),
    ],
)
def test_the_length_of_baselines(read_lines, read_json, data, split, baseline):
    rows = [line.split("\t") for line in read_lines(f"{data}/{split}.tsv.gz")]
    predictions = [baselines.BASELINES[baseline](left) for left, _ in rows]
    outputs = Outputs.of(predictions, [[right] for _, right in rows])
    golden = read_json(f"{data}/golden.json")
    golden = golden.get("splits", golden)[f"{data}/{split}/{baseline}"]
    _, ratio = analysis.compute_length(outputs)
    assert ratio.value == pytest.approx(100 * golden["length_ratio_ws"], abs=1e-4)
