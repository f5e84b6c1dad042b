"""chrF and TER against sacreBLEU, published values and worked examples."""

import itertools

import numpy as np
import pytest
import sacrebleu

from bertgen_jax.errors import DataError
from bertgen_jax.metrics import sacrebleu_metrics
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def chrf(predictions, references, **options):
    outputs = Outputs.of(predictions, references)
    (metric,) = sacrebleu_metrics.compute_chrf(outputs, **options)
    return metric


def ter(predictions, references, **options):
    outputs = Outputs.of(predictions, references)
    (metric,) = sacrebleu_metrics.compute_ter(outputs, **options)
    return metric


def random_texts(seed=0, count=30):
    """Predictions and one to three references each, some of them empty."""
    random = np.random.default_rng(seed)

    def text():
        return "".join(random.choice(list("aAbc.   "), random.integers(0, 16)))

    references = [[text() for _ in range(random.integers(1, 4))] for _ in range(count)]
    return [text() for _ in range(count)], references


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("compute", "options", "metric"),
    [
        (chrf, {}, sacrebleu.CHRF()),
        (chrf, {"word_orders": 2}, sacrebleu.CHRF(word_order=2)),
        (chrf, {"lowercase": True}, sacrebleu.CHRF(lowercase=True)),
        (ter, {}, sacrebleu.TER()),
    ],
)
def test_values_and_signatures_equal_those_of_sacrebleu(seed, compute, options, metric):
    predictions, references = random_texts(seed)
    ours = compute(predictions, references, **options)
    streams = list(itertools.zip_longest(*references))
    expected = metric.corpus_score(predictions, streams).score
    assert ours.value == pytest.approx(expected, rel=1e-12)
    assert ours.signature == str(metric.get_signature())
    for prediction, texts, score in zip(
        predictions, references, ours.per_example, strict=True
    ):
        alone = metric.sentence_score(prediction, texts).score
        assert score == pytest.approx(alone, rel=1e-12)


def test_three_sentences_of_sacrebleu(cases):
    case = cases["bleu"]
    references = list(zip(*case["reference_streams"], strict=True))
    expected = case["sacrebleu, computed"]
    for name, metric in (
        ("chrF2", chrf(case["hypotheses"], references)),
        ("chrF++", chrf(case["hypotheses"], references, word_orders=2)),
        ("TER", ter(case["hypotheses"], references)),
    ):
        assert metric.value == pytest.approx(expected[name], rel=1e-12)


def test_worked_examples_of_ter(cases):
    for case in cases["ter (0 to 100)"]:
        metric = ter([case["hypothesis"]], [[case["reference"]]])
        assert metric.value == pytest.approx(case["ter"], rel=1e-12)


def test_chrf_of_equal_texts_is_100_and_of_empty_ones_0():
    assert chrf(["a\0b"], [["a\0b"]]).value == pytest.approx(100)
    for prediction, reference in (("", "a"), ("a", ""), ("", ""), (" ", "\n")):
        assert chrf([prediction], [[reference]]).value == 0


def test_ter_of_words_without_reference_words_is_100():
    assert ter(["a b"], [[""]]).value == 100
    assert ter(["a\0b"], [["a\0b"]]).value == 0
    assert ter(["", "a"], [["", "x"], ["a"]]).value == 0


def test_a_long_line_is_a_text():
    line = "abcdefghij" * 10_000
    assert chrf([line], [[line]]).value == pytest.approx(100)
    line = "a b " + "c" * 10_000_000
    assert ter([line], [[line]]).value == 0


def test_ter_of_texts_that_would_take_minutes_is_refused():
    words = "word " * 2_000
    with pytest.raises(DataError, match="TER compares"):
        ter(["a", words], [["b"], ["c", words]])


@pytest.mark.parametrize("compute", [chrf, ter])
def test_values_of_resamples_equal_those_of_their_texts(compute):
    predictions, references = random_texts(seed=5)
    metric = compute(predictions, references)
    resamples = Resamples(len(predictions), samples=5)
    for sample, score in zip(
        resamples.counts.astype(int), resamples.values(metric), strict=True
    ):
        rows = np.repeat(np.arange(len(predictions)), sample)
        of_rows = compute([predictions[i] for i in rows], [references[i] for i in rows])
        assert score == pytest.approx(of_rows.value, rel=1e-12)


def test_the_name_can_be_chosen():
    assert chrf(["a"], [["a"]]).name == "chrf"
    assert chrf(["a"], [["a"]], word_orders=2, name="chrf++").name == "chrf++"
    assert ter(["a"], [["a"]], name="ter1").name == "ter1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("year", "letters"),
    [("wmt17_en_de", None), ("wmt21_en_de", "ACD"), ("wmt22_en_de", "AB")],
)
def test_chrf_of_all_systems_of_wmt(read_lines, read_json, year, letters):
    golden = read_json(f"{year}/golden.json")
    if letters is None:
        files = [f"{year}/references.de.gz"]
        golden = {system: scores["chrf2"] for system, scores in golden.items()}
    else:
        files = [f"{year}/references.{letter}.de.gz" for letter in letters]
        golden = {
            system: scores["all"]["chrf2"]
            for system, scores in golden["scores"].items()
        }
    references = list(zip(*map(read_lines, files), strict=True))
    assert len(golden) in (4, 6, 8)
    for system, expected in golden.items():
        predictions = read_lines(f"{year}/outputs.{system}.de.gz")
        metric = chrf(predictions, references)
        assert metric.value == pytest.approx(expected, abs=1e-6)
