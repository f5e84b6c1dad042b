"""SARI against the program of each variant, and for empty texts."""

import numpy as np
import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import baselines, sari
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs

PARTS = ("sari", "keep", "add", "delete")
SOURCE = "the old boat sank near the port and nobody was hurt ."
REFERENCE = "the old boat sank near the port . <::::> nobody was hurt ."
OTHER = "an old boat sank . <::::> nobody was hurt ."
PREDICTION = "the old boat sank . <::::> nobody was hurt near the port ."


def compute(sources, predictions, references, *arguments, **options):
    outputs = Outputs.of(predictions, references, sources)
    return sari.compute(outputs, *arguments, **options)


def values(*arguments, **options):
    metrics = compute(*arguments, **options)
    return dict(zip(PARTS, [metric.value for metric in metrics], strict=True))


def percent(scores):
    return {name: 100 * score for name, score in scores.items()}


@pytest.mark.parametrize(
    ("prediction", "references", "separators", "beta0", "beta1", "parts"),
    # Computed by tensor2tensor's own code.
    [
        (
            PREDICTION,
            [REFERENCE],
            "kept",
            0.6799693,
            0.7216360,
            (0.7339015, 0.6810065, 0.625, 0.75),
        ),
        (
            PREDICTION,
            [REFERENCE],
            "removed",
            0.6566709,
            0.6983375,
            (0.7339015, 0.6111111, 0.625, 0.75),
        ),
        (SOURCE, [REFERENCE], "kept", 0.6158497, 0.2825163, (0.8475490, 0, 1, 0)),
        (SOURCE, [REFERENCE], "removed", 0.6991830, 0.3658497, (0.847549, 0.25, 1, 0)),
        (REFERENCE, [REFERENCE], "kept", 1, 1, (1, 1, 1, 1)),
        (
            PREDICTION,
            [REFERENCE, OTHER],
            "kept",
            0.7040071,
            0.6815279,
            (0.6553250, 0.7119048, 0.7447917, 0.6773539),
        ),
    ],
)
def test_worked_examples(prediction, references, separators, beta0, beta1, parts):
    keep, add, *deletes = parts
    for beta, total, delete in zip((0, 1), (beta0, beta1), deletes, strict=True):
        actual = values(
            [SOURCE], [prediction], [references], beta=beta, separators=separators
        )
        expected = {"sari": total, "keep": keep, "add": add, "delete": delete}
        assert actual == pytest.approx(percent(expected), abs=6e-6)


def test_the_example_of_the_authors(cases):
    for case in cases["sari"]["three_references"]:
        texts = [case["source"]], [case["prediction"]], [case["references"]]
        original = values(*texts, variant="original")["sari"]
        assert original == pytest.approx(100 * case["original"], rel=1e-6)
        assert original == pytest.approx(100 * case["published_original"], abs=0.01)
        for beta in (0, 1):
            expected = percent(case[f"beta{beta}"])
            assert values(*texts, beta=beta) == pytest.approx(expected, rel=1e-6)
    first = cases["sari"]["three_references"][0]
    texts = [first["source"]], [first["prediction"]], [first["references"]]
    huggingface = values(*texts, variant="huggingface")["sari"]
    assert huggingface == pytest.approx(26.953601953601954, rel=1e-12)


def test_each_order_of_that_example(cases):
    for case in cases["sari"]["three_references"]:
        counts = sari.operation_counts(
            [case["source"].lower().split()],
            [case["prediction"].lower().split()],
            [[text.lower().split() for text in case["references"]]],
            is_multiset=False,
            counting="sums",
        )
        for beta in (0, 1):
            (orders,) = sari.operation_scores(counts, beta=beta, empty_quotient=1)
            for scores, expected in zip(
                orders, case["per_order"][f"beta{beta}"], strict=True
            ):
                actual = dict(zip(sari.OPERATIONS, scores, strict=True))
                assert actual == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_tokens_may_be_ids(cases):
    for case in cases["sari"]["integer_ids"]:
        counts = sari.operation_counts(
            [case["source"]],
            [case["prediction"]],
            [case["references"]],
            is_multiset=False,
            counting="sums",
        )
        for beta in (0, 1):
            scores = sari.operation_scores(counts, beta=beta, empty_quotient=1)
            assert scores.mean() == pytest.approx(case[f"beta{beta}"], rel=1e-12)


def test_a_deletion_that_was_missed_costs_nothing_under_beta_0():
    counts = sari.operation_counts(
        [[1, 2]], [[1, 2]], [[[1]]], is_multiset=False, counting="sums"
    )
    for beta, expected in ((0, 1.0), (1, 0.0)):
        scores = sari.operation_scores(counts, beta=beta, empty_quotient=1)
        assert scores[0, 0, 2] == expected


def test_separators_are_kept_or_removed(cases):
    case = cases["sari"]["separators"]
    texts = [case["source"]], [case["prediction"]], [case["references"]]
    for separators, key in (("removed", "stripped"), ("kept", "kept")):
        expected = percent(case[f"beta1, separators {key}"])
        actual = values(*texts, separators=separators)
        assert actual == pytest.approx(expected, rel=1e-9)


def test_the_readme_of_easse(cases):
    case = cases["sari"]["easse_readme"]
    texts = case["sources"], case["predictions"], case["references"]
    expected = {name: case[name] for name in PARTS}
    assert values(*texts, variant="easse") == pytest.approx(expected, abs=1e-9)


def test_wiki_split_of_hugging_face(cases):
    case = cases["sari"]["hf_wiki_split"]
    texts = [case["source"]], [case["prediction"]], [case["references"]]
    actual = values(*texts, variant="huggingface")["sari"]
    assert actual == pytest.approx(case["sari"], rel=1e-12)


@pytest.mark.parametrize("variant", ["lasertagger", "tensor2tensor", "huggingface"])
def test_three_equal_texts_score_100(variant):
    for beta in (0, 1) if sari.VARIANTS[variant].has_betas else (None,):
        actual = values(["a b a"], ["a b a"], [["a b a"]], variant, beta=beta)
        assert set(actual.values()) == {100.0}


@pytest.mark.parametrize("variant", sari.VARIANTS)
def test_empty_texts_have_a_score(variant):
    nothing = 100 * sari.VARIANTS[variant].empty_quotient
    empty = values([""], [""], [[""]], variant)
    if variant == "original":  # an empty text has an empty token, which is kept
        assert empty["sari"] == pytest.approx(100 / 4 / 3)
    else:
        assert set(empty.values()) == {nothing}
    for texts in ((["a b"], [""], [["a"]]), (["a b"], ["a"], [[""]])):
        assert 0 <= values(*texts, variant)["sari"] <= 100
    assert 0 <= values([""], ["a b"], [["\0", ""]], variant)["sari"] <= 100


def test_a_reference_too_short_for_an_order_does_not_count():
    alone = values(["a b c"], ["a b"], [["a b c d"]])
    among = sari.operation_counts(
        [list("abc")],
        [list("ab")],
        [[list("abcd"), ["a"]]],
        is_multiset=False,
        counting="sums",
    )
    scores = sari.operation_scores(among, beta=1, empty_quotient=1)[0]
    only = sari.operation_counts(
        [list("abc")],
        [list("ab")],
        [[list("abcd")]],
        is_multiset=False,
        counting="sums",
    )
    expected = sari.operation_scores(only, beta=1, empty_quotient=1)[0]
    np.testing.assert_array_equal(scores[1:], expected[1:])
    assert 100 * expected.mean() == pytest.approx(alone["sari"])


def test_a_line_of_ten_megabytes_is_a_text():
    line = "ab " * 100_000 + "c" * 9_700_000
    assert values([line], [line], [[line]])["sari"] == pytest.approx(100.0)


def test_sources_are_needed():
    with pytest.raises(DataError, match="SARI compares predictions with their sources"):
        sari.compute(Outputs.of(["a"], [["a"]]))


def test_unknown_choices_are_refused():
    texts = ["a"], ["a"], [["a"]]
    with pytest.raises(ConfigError, match=r"variant is 'orginal'; .* mean 'original'"):
        values(*texts, "orginal")
    with pytest.raises(ConfigError, match="beta is 2; expected one of 0, 1"):
        values(*texts, beta=2)
    with pytest.raises(ConfigError, match="SARI easse is defined for beta 1 only"):
        values(*texts, "easse", beta=0)
    with pytest.raises(ConfigError, match=r"separators is .*; expected one of removed"):
        values(*texts, separators="stripped")
    with pytest.raises(
        ConfigError, match=r"tokenization is .*; expected one of blanks"
    ):
        values(*texts, tokenization="intl")


def test_names_and_signatures_state_the_choices():
    texts = ["a", "b"], ["a", "b"], [["a"], ["b", "c"]]
    metrics = compute(*texts, beta=0, name="sari-beta0")
    assert [metric.name for metric in metrics] == [
        "sari-beta0",
        "sari-beta0_keep",
        "sari-beta0_add",
        "sari-beta0_delete",
    ]
    assert {metric.signature for metric in metrics} == {
        "variant:lasertagger|nrefs:var|beta:0|case:lc|separators:removed|tok:blanks"
    }
    (metric, *_) = compute(["a"], ["a"], [["a"]], "easse-legacy")
    assert metric.signature == (
        "variant:easse-legacy|nrefs:1|beta:1|case:mixed|separators:kept"
        "|tok:13a-but-sources"
    )


@pytest.mark.parametrize("variant", sari.VARIANTS)
def test_values_of_subsets_equal_those_of_their_texts(variant):
    texts = [
        ("a b c d e", "a b d", ["a b e", "a c d e"]),
        ("A cat , a dog .", "A cat .", ["a cat .", "A dog ."]),
        ("x y", "x y <::::> z", ["x <::::> y", "x z"]),
    ]
    sources, predictions, references = (
        list(column) for column in zip(*texts, strict=True)
    )
    whole = compute(sources, predictions, references, variant)
    for rows in ([0], [2], [1, 2, 2]):
        part = compute(
            [sources[row] for row in rows],
            [predictions[row] for row in rows],
            [references[row] for row in rows],
            variant,
        )
        for metric, of_part in zip(whole, part, strict=True):
            sums = metric.statistics[rows].sum(axis=0)
            assert metric.value_of(sums) == pytest.approx(of_part.value)
            np.testing.assert_allclose(metric.per_example[rows], of_part.per_example)
    resamples = Resamples(len(texts), samples=20)
    for index, sample in enumerate(resamples.counts.astype(int)):
        rows = np.repeat(np.arange(len(texts)), sample)
        part = compute(
            [sources[row] for row in rows],
            [predictions[row] for row in rows],
            [references[row] for row in rows],
            variant,
        )
        assert resamples.values(whole[0])[index] == pytest.approx(part[0].value)


# The options of each variant of the golden files.
ASSET_VARIANTS = {
    "sari_easse": {"variant": "easse"},
    "sari_t2t_beta0": {"beta": 0, "tokenization": "13a"},
    "sari_t2t_beta1": {"tokenization": "13a"},
    "sari_original": {"variant": "original", "tokenization": "13a"},
    "sari_hf": {"variant": "huggingface"},
}
SPLIT_VARIANTS = {
    "sari_beta1_strip_lc": {},
    "sari_beta1_raw_cased": {"lowercase": False, "separators": "kept"},
    "sari_beta1_raw_lc": {"separators": "kept"},
    "sari_beta0_strip_lc": {"beta": 0},
    "sari_beta0_raw_cased": {"variant": "tensor2tensor"},
    "sari_beta0_raw_lc": {"variant": "tensor2tensor", "lowercase": True},
    "sari_hf_13a_lc": {"variant": "huggingface"},
    "sari_easse_13a_lc": {"variant": "easse"},
}


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["asset", "turkcorpus"])
def test_fourteen_systems_of_simplification(simplification, corpus):
    sources, references, systems = simplification(corpus)
    for _, predictions, golden in systems:
        for variant, options in ASSET_VARIANTS.items():
            actual = values(sources, predictions, references, **options)
            assert actual["sari"] == pytest.approx(golden[variant], abs=1e-6)
            if variant == "sari_easse":
                expected = {name: golden[name] for name in PARTS[1:]}
                parts = {name: actual[name] for name in expected}
                assert parts == pytest.approx(expected, abs=1e-6)


def test_published_scores_of_asset(simplification, published_on_asset):
    sources, references, systems = simplification("asset")
    for system, predictions, _ in systems:
        if system in published_on_asset:
            _, expected = published_on_asset[system]
            actual = values(sources, predictions, references, variant="easse")["sari"]
            # 34.6353 was printed as 34.63.
            assert actual == pytest.approx(expected, abs=0.006)


@pytest.mark.slow
def test_the_tokenized_files_of_turkcorpus(read_rows, read_json):
    rows = read_rows("turkcorpus/test_legacy.jsonl.gz")
    systems = read_rows("turkcorpus/test_legacy.outputs.jsonl.gz")
    golden = read_json("turkcorpus/golden.json")
    published = golden["published SARI, legacy files"]
    assert len(systems) == len(golden["computed legacy"]) == 9
    for system in systems:
        texts = (
            [row["orig"] for row in rows],
            system["outputs"],
            [row["refs"] for row in rows],
        )
        expected = golden["computed legacy"][system["system"]]
        for lowercase, scores in (
            (False, expected),
            (True, expected["lowercased_first"]),
        ):
            actual = values(*texts, "easse-legacy", lowercase=lowercase)
            parts = {name: scores[name] for name in PARTS[1:]}
            parts["sari"] = scores["sari_easse_legacy"]
            assert actual == pytest.approx(parts, abs=1e-6)
        if system["system"] in published:
            legacy = values(*texts, "easse-legacy")["sari"]
            assert legacy == pytest.approx(published[system["system"]], abs=0.0101)
        original = values(*texts, "original")["sari"]
        assert original == pytest.approx(expected["sari_original"], abs=1e-6)
        if system["system"] == "SBMT-SARI":
            assert original == pytest.approx(37.91, abs=0.01)  # in its paper


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["copy", "halve", "concatenate"])
def test_baselines_on_wikisplit(read_lines, read_json, baseline):
    rows = [line.split("\t") for line in read_lines("wikisplit/test.tsv.gz")]
    task = "wikisplit"
    if baseline == "concatenate":  # fusion is splitting read backwards
        task = "wikisplit_fusion"
        rows = [(baselines.concatenate(right), left) for left, right in rows]
    sources = [left for left, _ in rows]
    predictions = [baselines.BASELINES[baseline](source) for source in sources]
    references = [[right] for _, right in rows]
    golden = read_json("wikisplit/golden.json")["splits"][f"{task}/test/{baseline}"]
    for variant, options in SPLIT_VARIANTS.items():
        if variant in golden:
            check(values(sources, predictions, references, **options), golden[variant])


@pytest.mark.slow
def test_baselines_on_the_validation_split_of_wikisplit(read_lines, read_json):
    rows = [line.split("\t") for line in read_lines("wikisplit/validation.tsv.gz")]
    sources, references = [left for left, _ in rows], [[right] for _, right in rows]
    golden = read_json("wikisplit/golden.json")["splits"]
    for baseline in ("copy", "halve"):
        predictions = [baselines.BASELINES[baseline](source) for source in sources]
        check(
            values(sources, predictions, references),
            golden[f"wikisplit/validation/{baseline}"]["sari_beta1_strip_lc"],
        )


@pytest.mark.parametrize(
    ("data", "split"), [("desse", "validation"), ("desse", "test"), ("minwiki", "test")]
)
def test_copies_of_other_corpora(read_lines, read_json, data, split):
    rows = [line.split("\t") for line in read_lines(f"{data}/{split}.tsv.gz")]
    sources, references = [left for left, _ in rows], [[right] for _, right in rows]
    golden = read_json(f"{data}/golden.json")[f"{data}/{split}/copy"]
    for variant, options in SPLIT_VARIANTS.items():
        if variant in golden:
            check(values(sources, sources, references, **options), golden[variant])


def check(actual, golden):
    """Compares all four values, or SARI alone."""
    if isinstance(golden, dict):
        assert actual == pytest.approx(golden, abs=1e-6)
    else:
        assert actual["sari"] == pytest.approx(golden, abs=1e-6)
