"""Length, repetition and novelty, by hand and on the outputs of XSum systems."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import analysis, baselines
from bertgen_jax.metrics.outputs import Outputs


def values(found):
    return {one.name: one.value for one in found}


def repetition(predictions, references, **options):
    outputs = Outputs.of(predictions, references)
    (found,) = analysis.measure_repetition(outputs, **options)
    return found


def test_length_is_a_mean_and_a_share_of_the_references():
    outputs = Outputs.of(["a b c", "d"], [["e f", "g h i j"], ["k"]])
    mean, ratio = analysis.measure_length(outputs)
    assert (mean.name, ratio.name) == ("length", "length_ratio")
    assert mean.value == 2
    np.testing.assert_array_equal(mean.per_example, [3, 1])
    assert ratio.value == 100  # 4 of 3 + 1
    assert mean.signature == "tok:blanks"
    assert ratio.signature == "nrefs:var|tok:blanks"


def test_a_rare_word_repeats_in_a_share_of_the_predictions(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 2)
    references = [["the cat and the dog and"], ["the end"], ["x"], ["y"]]
    predictions = ["the the and and cat", "dog dog", "Dog dog", "The The"]
    found = repetition(predictions, references)
    np.testing.assert_array_equal(found.per_example, [0, 100, 0, 100])
    assert found.value == 50
    assert found.signature == "frequent:2 of references|case:mixed|tok:blanks"
    found = repetition(predictions, references, lowercase=True)
    np.testing.assert_array_equal(found.per_example, [0, 100, 100, 0])
    assert found.signature == "frequent:2 of references|case:lc|tok:blanks"


def test_what_is_frequent_is_a_choice(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 1)
    references, predictions = [["a a a"]], ["b b c c c"]
    # Frequent is a; c; or a, which the alphabet puts before c.
    for frequent, expected in (
        ("references", 100),
        ("predictions", 100),
        ("both", 100),
    ):
        assert repetition(predictions, references, frequent=frequent).value == expected
    predictions = ["c c c c b"]
    for frequent, expected in (("references", 100), ("predictions", 0), ("both", 0)):
        assert repetition(predictions, references, frequent=frequent).value == expected
    with pytest.raises(ConfigError, match="frequent is one of references, predictions"):
        repetition(["a"], [["a"]], frequent="all")


def test_of_words_as_frequent_the_alphabet_decides(monkeypatch):
    monkeypatch.setattr(analysis, "FREQUENT_WORDS", 1)
    assert repetition(["a a"], [["b a b a"]]).value == 0
    assert repetition(["b b"], [["b a b a"]]).value == 100


def test_novel_is_what_the_source_does_not_have():
    outputs = Outputs.of(["A b\nx a b", ""], [["-"], ["-"]], ["c a B a b", "d"])
    found = analysis.measure_novelty(outputs)
    assert values(found) == pytest.approx(
        {"novelty1": 20, "novelty2": 50, "novelty3": 100, "novelty4": 100}
    )
    np.testing.assert_array_equal(found[0].per_example, [20, 0])
    assert found[0].signature == "case:lc|tok:blanks"
    with pytest.raises(DataError, match="Novelty compares predictions with their sour"):
        analysis.measure_novelty(Outputs.of(["a"], [["a"]]))


def test_empty_texts_have_a_value():
    outputs = Outputs.of(["", "\0"], [[""], [" "]], ["", ""])
    found = values(
        [
            *analysis.measure_length(outputs),
            *analysis.measure_repetition(outputs),
            *analysis.measure_novelty(outputs),
        ]
    )
    assert found == {
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
    assert values(analysis.measure_length(outputs))["length_ratio"] == 100
    assert values(analysis.measure_novelty(outputs))["novelty3"] == 0
    assert values(analysis.measure_repetition(outputs)) == {"repetition": 0}


@pytest.mark.parametrize(
    "system", ["references", "outputs.tconvs2s", "outputs.ptgen", "outputs.lead"]
)
def test_systems_of_xsum(read_lines, read_json, system):
    references = [[line] for line in read_lines("xsum_outputs/references.txt.gz")]
    predictions = read_lines(f"xsum_outputs/{system}.txt.gz")
    outputs = Outputs.of(predictions, references)
    ((_, golden),) = read_json("xsum_outputs/golden_analysis.json").items()
    golden = golden[system]
    length = values(analysis.measure_length(outputs))
    assert length["length"] == pytest.approx(golden["mean tokens"], rel=1e-12)
    assert length["length_ratio"] == pytest.approx(
        100 * golden["length ratio to references"], rel=1e-12
    )
    for frequent, texts in (
        ("references", "the references"),
        ("predictions", "this file"),
    ):
        found = repetition(predictions, references, frequent=frequent).value
        expected = golden[f"repetition % (500 most frequent of {texts} removed)"]
        assert found == pytest.approx(expected, rel=1e-12)


def test_references_of_fifty_documents(read_rows, read_json):
    rows = read_rows("xsum_outputs/documents50.jsonl.gz")
    summaries = [row["summary"] for row in rows]
    outputs = Outputs.of(
        summaries, [[one] for one in summaries], [row["document"] for row in rows]
    )
    golden = read_json("xsum_outputs/golden_documents50.json")
    key = "reference summaries, lower-cased, blank-separated tokens, with multiplicity"
    for order, one in enumerate(analysis.measure_novelty(outputs), start=1):
        expected = golden[key][f"novel {order}-grams %"]
        assert one.value == pytest.approx(expected, abs=1e-6)


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
    _, ratio = analysis.measure_length(outputs)
    assert ratio.value == pytest.approx(100 * golden["length_ratio_ws"], abs=1e-4)
