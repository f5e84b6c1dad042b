"""Translation edit rate against sacreBLEU and worked examples."""

import itertools

import numpy as np
import pytest
import sacrebleu

from bertgen_jax.metrics import ter
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def measured(predictions, references, **options):
    (found,) = ter.measure(Outputs.of(predictions, references), **options)
    return found


def random_texts(seed=0, count=30):
    random = np.random.default_rng(seed)

    def text():
        return " ".join(random.choice(list("aAbcde"), random.integers(0, 9)))

    references = [[text() for _ in range(random.integers(1, 4))] for _ in range(count)]
    return [text() for _ in range(count)], references


def test_small_cases(cases):
    for case in cases["ter (0 to 100)"]:
        found = measured([case["hypothesis"]], [[case["reference"]]])
        assert found.value == pytest.approx(case["ter"], rel=1e-12)
    case = cases["bleu"]
    references = list(zip(*case["reference_streams"], strict=True))
    found = measured(case["hypotheses"], references)
    assert found.value == pytest.approx(case["sacrebleu, computed"]["TER"], rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_are_those_of_sacrebleu_itself(seed):
    predictions, references = random_texts(seed)
    found = measured(predictions, references)
    metric = sacrebleu.TER()
    streams = list(itertools.zip_longest(*references))
    expected = metric.corpus_score(predictions, streams).score
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.signature == str(metric.get_signature())
    for prediction, several, score in zip(
        predictions, references, found.per_example, strict=True
    ):
        alone = metric.sentence_score(prediction, several).score
        assert score == pytest.approx(alone, rel=1e-12)


def test_words_where_none_are_wanted_score_100():
    assert measured(["a b"], [[""]]).value == 100
    assert measured(["a\0b"], [["a\0b"]]).value == 0
    assert measured(["", "a"], [["", "x"], ["a"]]).value == 0


def test_a_line_of_ten_megabytes_is_a_text():
    line = "a b " + "c" * 10_000_000
    assert measured([line], [[line]]).value == 0


def test_resamples_score_as_their_texts():
    predictions, references = random_texts(seed=5)
    found = measured(predictions, references, name="ter1")
    assert found.name == "ter1"
    resamples = Resamples(len(predictions), samples=5)
    for sample, score in zip(
        resamples.counts.astype(int), resamples.values(found), strict=True
    ):
        drawn = np.repeat(np.arange(len(predictions)), sample)
        part = measured([predictions[i] for i in drawn], [references[i] for i in drawn])
        assert score == pytest.approx(part.value, rel=1e-12)
