"""ROUGE against the rouge-score library and published values."""

import gzip
import json

import numpy as np
import pytest
from rouge_score import rouge_scorer

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import rouge
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def compute(predictions, references, **options):
    metrics = rouge.compute(Outputs.of(predictions, references), **options)
    return {metric.name: metric for metric in metrics}


def values(predictions, references, **options):
    metrics = compute(predictions, references, **options)
    return {name: metric.value for name, metric in metrics.items()}


def per_example(predictions, references, **options):
    metrics = compute(predictions, references, **options)
    return {name: metric.per_example for name, metric in metrics.items()}


def lines_of(file):
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return lines.read().split("\n")[:-1]


def test_equal_texts_score_100_and_disjoint_ones_0():
    assert set(values(["a cat sat"], [["a cat sat"]]).values()) == {100.0}
    assert set(values(["a cat sat"], [["no dog ran"]]).values()) == {0.0}


def test_line_ends_separate_the_sentences_of_rouge_lsum():
    prediction = "the dog barked.\nthe cat sat."
    reference = "the cat sat on the mat.\nthe dog barked."
    assert values([prediction], [[reference]]) == pytest.approx(
        {"rouge1": 80.0, "rouge2": 61.5385, "rougeL": 40.0, "rougeLsum": 80.0},
        abs=1e-4,
    )
    flat = values([prediction.replace("\n", " ")], [[reference.replace("\n", " ")]])
    assert flat["rougeLsum"] == flat["rougeL"] == pytest.approx(40.0)


def test_values_equal_those_of_the_library():
    random = np.random.default_rng(0)
    words = ["The", "cat", "running", "runs", "a", "mats", ".", "naïve", "x-ray", "\n"]
    texts = [" ".join(random.choice(words, random.integers(0, 30))) for _ in range(120)]
    predictions, references = texts[:60], texts[60:]
    for stemming in (True, False):
        scorer = rouge_scorer.RougeScorer(rouge.NAMES, use_stemmer=stemming)
        f1 = per_example(predictions, [[r] for r in references], stemming=stemming)
        for index, (prediction, reference) in enumerate(
            zip(predictions, references, strict=True)
        ):
            expected = scorer.score(reference, prediction)
            for name in rouge.NAMES:
                assert f1[name][index] == 100 * expected[name].fmeasure


def test_stemming_can_be_switched_off():
    assert values(["he was running"], [["he runs"]])["rouge1"] == pytest.approx(80.0)
    unstemmed = values(["he was running"], [["he runs"]], stemming=False)
    assert unstemmed["rouge1"] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("multi_reference", "rouge1", "rouge2"),
    # F1 of "a b c" with "a x c", "a b": rouge1 2/3 and 4/5, rouge2 0 and 2/3.
    [("best", 80.0, 200 / 3), ("mean", 220 / 3, 100 / 3), ("first", 200 / 3, 0.0)],
)
def test_several_references_count_as_chosen(multi_reference, rouge1, rouge2):
    scores = values(["a b c"], [["a x c", "a b"]], multi_reference=multi_reference)
    assert scores["rouge1"] == pytest.approx(rouge1)
    assert scores["rouge2"] == pytest.approx(rouge2)


def test_the_best_reference_is_taken_for_each_metric():
    reference_sets = [["a b x y", "b a d c"], ["c d"]]
    predictions = ["a b c d", "c d"]
    scorer = rouge_scorer.RougeScorer(rouge.NAMES, use_stemmer=True)
    expected = [
        scorer.score_multi(references, prediction)
        for references, prediction in zip(reference_sets, predictions, strict=True)
    ]
    f1 = per_example(predictions, reference_sets)
    for name in rouge.NAMES:
        assert list(f1[name]) == [100 * scores[name].fmeasure for scores in expected]


def test_values_have_signatures_and_examples():
    metrics = compute(["a b", "c", ""], [["a"], ["c"], ["d"]])
    assert list(metrics) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    rouge1 = metrics["rouge1"]
    np.testing.assert_allclose(rouge1.per_example, [200 / 3, 100, 0])
    assert rouge1.value == pytest.approx(np.mean(rouge1.per_example), rel=1e-12)
    assert rouge1.signature == (
        "rouge-score 0.1.2|stem:yes|sentences:newline|references:best"
    )
    unstemmed = compute(["a"], [["a"]], stemming=False, multi_reference="mean")
    assert "|stem:no|" in unstemmed["rougeL"].signature
    assert "|references:mean" in unstemmed["rougeL"].signature


def test_precision_and_recall_have_names_of_their_own():
    precision = values(["a b c d"], [["a b"]], quantity="precision")
    recall = values(["a b c d"], [["a b"]], quantity="recall")
    assert precision["rouge1_precision"] == 50
    assert recall["rouge1_recall"] == 100


def test_sentences_can_be_split_within_lines():
    prediction, reference = "It rained. A dog ran.", "A dog ran. It rained."
    assert values([prediction], [[reference]])["rougeLsum"] < 100
    split = values([prediction], [[reference]], sentence_ends="split")
    assert split["rougeLsum"] == 100
    assert split["rougeL"] < 100


@pytest.mark.parametrize("prediction", ["", "\n\n", "...", "…", "日本語", "\0"])
def test_a_prediction_without_words_scores_0(prediction):
    assert set(values([prediction], [["a reference"]]).values()) == {0.0}
    assert set(values(["a prediction"], [[prediction]]).values()) == {0.0}


def test_texts_that_are_too_long_are_refused():
    for text in ("word " * 6_000, "a," * 6_000):  # the second has no spaces
        with pytest.raises(DataError, match="ROUGE compares"):
            values([text], [[text]])


def test_an_unknown_choice_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match="is 'all'; expected one of best, mean, first"
    ):
        values(["a"], [["a"]], multi_reference="all")
    with pytest.raises(ConfigError, match="is 'nltk'; expected one of newline, split"):
        values(["a"], [["a"]], sentence_ends="nltk")


def test_irregular_forms_are_read_from_either_layout(tmp_path):
    lines = tmp_path / "exceptions.txt"
    lines.write_text("went|go\nmice|mouse\n")
    folder = tmp_path / "WordNet-2.0-Exceptions"
    folder.mkdir()
    (folder / "verb.exc").write_text("went go\n")
    (folder / "noun.exc").write_text("mice mouse\n")
    assert rouge.read_exceptions(lines) == rouge.read_exceptions(folder)
    outputs = Outputs.of(["mice went"], [["a mice-go"]])
    (rouge1, *_) = rouge.compute_155(outputs, lines)
    assert rouge1.value == pytest.approx(100 * 2 * 2 / 5)


@pytest.mark.parametrize("content", [None, "", "one\n", b"\xff\xfe|\n"])
def test_an_invalid_list_of_irregular_forms_is_refused(content, tmp_path):
    path = tmp_path / "exceptions.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"exceptions\.txt.*irregular"):
        rouge.read_exceptions(path)


def test_the_small_cases_of_rouge_1_5_5(data_dir):
    cases = json.loads((data_dir / "rouge_golden" / "small_cases.json").read_text())
    expected = cases["expected_rouge_1.5.5"]
    texts = {
        "pair 0": (cases["predictions"][0], cases["targets"][0]),
        "pair 1": (cases["predictions"][1], cases["targets"][1]),
        "multi_0": (cases["prediction_multi_0"], cases["target_multi_0"]),
    }
    for case, (prediction, target) in texts.items():
        for key, published in expected[case].items():
            name, _, stemmed = key.partition(" ")
            f1 = per_example([prediction], [[target]], stemming=bool(stemmed))
            assert f1[name][0] == pytest.approx(100 * published["f"], abs=6e-4)


def test_the_thousand_pairs_of_rouge_1_5_5(data_dir):
    folder = data_dir / "rouge_golden"
    predictions = lines_of(folder / "prediction_large.txt.gz")
    targets = [[line] for line in lines_of(folder / "target_large.txt.gz")]
    golden = json.loads((folder / "large_cases.json").read_text())
    stemmed = values(predictions, targets)
    unstemmed = values(predictions, targets, stemming=False)
    published = golden["rouge_1.5.5 (delta 0.002)"]
    assert unstemmed["rouge1"] == pytest.approx(100 * published["rouge1"]["f"], abs=0.2)
    assert stemmed["rouge1"] == pytest.approx(
        100 * published["rouge1 stemmed"]["f"], abs=0.2
    )
    computed = golden["rouge_score 0.1.2 plain mean [p, r, f]"]
    assert unstemmed["rouge1"] == pytest.approx(100 * computed["rouge1"][2], abs=5e-4)
    assert unstemmed["rougeL"] == pytest.approx(100 * computed["rougeL"][2], abs=5e-4)
    assert stemmed["rouge1"] == pytest.approx(
        100 * computed["rouge1 stemmed"][2], abs=5e-4
    )


@pytest.mark.parametrize(
    ("multi_reference", "golden_name"),
    [("first", "first_target"), ("best", "max_over_targets")],
)
def test_the_first_sentences_of_scitldr(data_dir, multi_reference, golden_name):
    folder = data_dir / "scitldr"
    rows = [json.loads(line) for line in lines_of(folder / "test.jsonl.gz")]
    scores = values(
        [row["source"][0] for row in rows],
        [row["target"] for row in rows],
        multi_reference=multi_reference,
    )
    golden = json.loads((folder / "golden.json").read_text())
    expected = golden["rouge_score 0.1.2, F1 x100, plain mean"]
    assert scores == pytest.approx(
        expected[f"scitldr/test/lead1/{golden_name}"]["stem"], rel=1e-6
    )


def test_the_first_lines_of_xsum_documents(data_dir):
    rows = [
        json.loads(line)
        for line in lines_of(data_dir / "xsum_outputs" / "documents50.jsonl.gz")
    ]
    scores = values(
        [row["document"].split("\n")[0] for row in rows],
        [[row["summary"]] for row in rows],
    )
    assert scores["rouge1"] == pytest.approx(16.66, abs=0.005)
    assert scores["rouge2"] == pytest.approx(1.60, abs=0.005)
    assert scores["rougeL"] == pytest.approx(12.08, abs=0.005)


@pytest.fixture
def xsum(data_dir):
    folder = data_dir / "xsum_outputs"
    references = [[line] for line in lines_of(folder / "references.txt.gz")]
    golden = json.loads((folder / "golden.json").read_text())

    def outputs(system):
        predictions = lines_of(folder / f"outputs.{system}.txt.gz")
        return Outputs.of(predictions, references), golden[system]

    return outputs


@pytest.mark.slow
@pytest.mark.parametrize("stemming", [True, False])
@pytest.mark.parametrize("system", ["tconvs2s", "ptgen", "lead"])
def test_the_published_outputs_on_xsum(xsum, system, stemming):
    outputs, golden = xsum(system)
    metrics = {
        metric.name: metric for metric in rouge.compute(outputs, stemming=stemming)
    }
    resamples = Resamples(len(outputs))
    computed = golden["rouge_score_0.1.2"]["stem" if stemming else "nostem"]
    for name, expected in computed.items():
        assert metrics[name].value == pytest.approx(expected["f"], rel=1e-6)
        low, high = resamples.interval(metrics[name])
        width = 2 * 1.96 * expected["f_std_error"]
        assert high - low == pytest.approx(width, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("quantity", ["fmeasure", "precision", "recall"])
@pytest.mark.parametrize("system", ["tconvs2s", "ptgen", "lead"])
def test_rouge_1_5_5_gives_the_published_figures_of_xsum(
    data_dir, xsum, system, quantity
):
    outputs, golden = xsum(system)
    exceptions = data_dir / "rouge_golden" / "wordnet_exceptions.txt.gz"
    metrics = rouge.compute_155(outputs, exceptions, quantity=quantity)
    names = {
        "fmeasure": ("f", "f-score"),
        "precision": ("p", "precision"),
        "recall": ("r", "recall"),
    }
    letter, word = names[quantity]
    computed = golden["rouge155 variant of reference/metrics.md"]
    published = golden["published_rouge_1.5.5"][word]
    for metric in metrics[:3]:
        name = metric.name.partition("_")[0]
        assert metric.value == pytest.approx(computed[name][letter], rel=1e-6)
        assert metric.value == pytest.approx(published[name], abs=0.02)
