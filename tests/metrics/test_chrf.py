"""chrF against sacreBLEU and published values."""

import itertools

import numpy as np
import pytest
import sacrebleu

from bertgen_jax.metrics import chrf
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def measured(predictions, references, **options):
    (found,) = chrf.measure(Outputs.of(predictions, references), **options)
    return found


def random_texts(seed=0, count=30):
    random = np.random.default_rng(seed)

    def text():
        return "".join(random.choice(list("aAbc. "), random.integers(0, 12)))

    references = [[text() for _ in range(random.integers(1, 4))] for _ in range(count)]
    return [text() for _ in range(count)], references


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("options", "spelled"),
    [
        ({}, {}),
        ({"word_orders": 2}, {"word_order": 2}),
        ({"lowercase": True}, {"lowercase": True}),
    ],
)
def test_the_scores_are_those_of_sacrebleu_itself(seed, options, spelled):
    predictions, references = random_texts(seed)
    found = measured(predictions, references, **options)
    metric = sacrebleu.CHRF(**spelled)
    streams = list(itertools.zip_longest(*references))
    expected = metric.corpus_score(predictions, streams).score
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.signature == str(metric.get_signature())
    for prediction, several, score in zip(
        predictions, references, found.per_example, strict=True
    ):
        alone = metric.sentence_score(prediction, several).score
        assert score == pytest.approx(alone, rel=1e-12)


def test_three_sentences_of_sacrebleu(cases):
    case = cases["bleu"]
    references = list(zip(*case["reference_streams"], strict=True))
    for name, word_orders in (("chrF2", 0), ("chrF++", 2)):
        found = measured(case["hypotheses"], references, word_orders=word_orders)
        expected = case["sacrebleu, computed"][name]
        assert found.value == pytest.approx(expected, rel=1e-12)


def test_equal_texts_score_100_and_empty_ones_0():
    assert measured(["a\0b"], [["a\0b"]]).value == pytest.approx(100)
    for prediction, reference in (("", "a"), ("a", ""), ("", ""), (" ", "\n")):
        assert measured([prediction], [[reference]]).value == 0


def test_a_long_line_is_a_text():
    line = "abcdefghij" * 10_000
    assert measured([line], [[line]]).value == pytest.approx(100)


def test_resamples_score_as_their_texts():
    predictions, references = random_texts(seed=5)
    found = measured(predictions, references)
    resamples = Resamples(len(predictions), samples=5)
    for sample, score in zip(
        resamples.counts.astype(int), resamples.values(found), strict=True
    ):
        drawn = np.repeat(np.arange(len(predictions)), sample)
        part = measured([predictions[i] for i in drawn], [references[i] for i in drawn])
        assert score == pytest.approx(part.value, rel=1e-12)


def test_the_name_can_be_chosen():
    assert measured(["a"], [["a"]]).name == "chrf"
    assert measured(["a"], [["a"]], word_orders=2, name="chrf++").name == "chrf++"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("year", "letters"),
    [("wmt17_en_de", None), ("wmt21_en_de", "ACD"), ("wmt22_en_de", "AB")],
)
def test_all_systems_of_wmt(read_lines, read_json, year, letters):
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
        found = measured(predictions, references)
        assert found.value == pytest.approx(expected, abs=1e-6)
