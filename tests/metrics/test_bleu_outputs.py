"""BLEU of real outputs equals what the programs that it follows have printed."""

import pytest

from bertgen_jax.metrics import baselines, bleu
from tests.metrics.test_bleu import metric_of, value

pytestmark = pytest.mark.slow

# The function and its options for each variant of the golden files.
VARIANTS = {
    "bleu_13a": (bleu.compute, {}),
    "bleu_13a_lc": (bleu.compute, {"lowercase": True}),
    "bleu_intl": (bleu.compute, {"tokenization": "intl"}),
    "bleu_intl_lc": (bleu.compute, {"tokenization": "intl", "lowercase": True}),
    "bleu_none": (bleu.compute, {"tokenization": "none"}),
    "tfm_uncased": (bleu.compute_tfmodels, {"quotes": "kept"}),
    "tfm_cased": (bleu.compute_tfmodels, {"quotes": "kept", "lowercase": False}),
}


def check(predictions, references, golden, variants=tuple(VARIANTS)):
    """Compares values and counts with those of a golden file."""
    for variant in set(variants) & set(golden):
        compute, options = VARIANTS[variant]
        metric = metric_of(predictions, references, compute, **options)
        assert metric.value == pytest.approx(golden[variant], abs=1e-6)
        if variant == "bleu_13a":
            assert list(metric.statistics.sum(axis=0)) == [
                golden["sys_len"],
                golden["ref_len"],
                *golden["counts"],
                *golden["totals"],
            ]


@pytest.mark.parametrize(
    "system",
    ["LIUM", "FBK", "KIT", "LMU-reranked", "online-B", "online-G", "SYSTRAN", "uedin"],
)
def test_newstest2017(read_lines, read_json, system):
    predictions = read_lines(f"wmt17_en_de/outputs.{system}.de.gz")
    references = [[line] for line in read_lines("wmt17_en_de/references.de.gz")]
    golden = read_json("wmt17_en_de/golden.json")[system]
    assert set(VARIANTS) <= set(golden)
    check(predictions, references, golden)
    published = golden["published_mteval_v13a"]
    assert golden["bleu_13a"] == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(
    ("year", "letters"), [("wmt21_en_de", "ACD"), ("wmt22_en_de", "AB")]
)
def test_wmt_with_several_references(read_lines, read_json, year, letters):
    streams = {
        letter: read_lines(f"{year}/references.{letter}.de.gz") for letter in letters
    }
    scores = read_json(f"{year}/golden.json")["scores"]
    assert len(scores) == {"wmt21_en_de": 4, "wmt22_en_de": 6}[year]
    for system, golden in scores.items():
        predictions = read_lines(f"{year}/outputs.{system}.de.gz")
        together = list(zip(*streams.values(), strict=True))
        check(predictions, together, golden["all"])
        for letter in letters:
            # Of a single reference only some variants, because time is short.
            variants = ("bleu_13a", "tfm_uncased", "tfm_cased")
            alone = [[line] for line in streams[letter]]
            check(predictions, alone, golden[letter], variants)


@pytest.mark.parametrize("baseline", ["copy", "halve", "concatenate"])
def test_baselines_on_wikisplit(read_lines, read_json, baseline):
    rows = [line.split("\t") for line in read_lines("wikisplit/test.tsv.gz")]
    task = "wikisplit"
    if baseline == "concatenate":
        task = "wikisplit_fusion"
        rows = [(baselines.concatenate(right), left) for left, right in rows]
    predictions = [baselines.BASELINES[baseline](left) for left, _ in rows]
    joined = [baselines.concatenate(text) for text in predictions]
    references = [[right] for _, right in rows]
    golden = read_json("wikisplit/golden.json")["splits"][f"{task}/test/{baseline}"]
    nltk = value(predictions, references, bleu.compute_nltk)
    assert nltk == pytest.approx(golden["bleu_nltk_joined_cased"], abs=1e-6)
    raw = value(predictions, references)
    assert raw == pytest.approx(golden["bleu_13a_raw"], abs=1e-6)
    blanks = value(predictions, references, tokenization="none")
    assert blanks == pytest.approx(golden["bleu_none_raw"], abs=1e-6)
    kept = value(predictions, references, bleu.compute_nltk, separators="kept")
    assert kept == pytest.approx(golden["bleu_none_raw"], abs=1e-6)
    actual = value(
        joined,
        [[baselines.concatenate(text) for text in texts] for texts in references],
        tokenization="none",
    )
    assert actual == pytest.approx(golden["bleu_none_joined"], abs=1e-6)


@pytest.mark.parametrize("corpus", ["asset", "turkcorpus"])
def test_fourteen_systems_of_simplification(simplification, corpus):
    _, references, systems = simplification(corpus)
    for _, predictions, golden in systems:
        actual = value(predictions, references, lowercase=True)
        assert actual == pytest.approx(golden["bleu_lc_13a"], abs=1e-6)


def test_published_scores_of_asset(simplification, published_on_asset):
    _, references, systems = simplification("asset")
    for system, predictions, _ in systems:
        if system in published_on_asset:
            expected, _ = published_on_asset[system]
            actual = value(predictions, references, lowercase=True)
            assert actual == pytest.approx(expected, abs=0.005)
