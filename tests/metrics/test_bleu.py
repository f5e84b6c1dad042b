"""BLEU against the programs that it follows."""

import itertools
import math
import warnings

import numpy as np
import pytest
import sacrebleu
from nltk.translate import bleu_score

from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import bleu
from bertgen_jax.metrics.bootstrap import Resamples
from bertgen_jax.metrics.outputs import Outputs


def metric_of(predictions, references, compute=bleu.compute, **options):
    (metric,) = compute(Outputs.of(predictions, references), **options)
    return metric


def value(predictions, references, compute=bleu.compute, **options):
    return metric_of(predictions, references, compute, **options).value


@pytest.fixture
def three(cases):
    """Three predictions with two references each."""
    case = cases["bleu"]
    return case["hypotheses"], list(zip(*case["reference_streams"], strict=True)), case


def random_texts(seed=0, count=40):
    """Predictions with one to three references each, some empty, some equal."""
    random = np.random.default_rng(seed)
    words = [
        "The",
        "the",
        "dog",
        "dog's",
        "3.5",
        "2014.",
        "(a)",
        "–",
        "bit",
        "bit",
        ",",
    ]

    def text():
        return " ".join(random.choice(words, random.integers(0, 12)))

    references = [[text() for _ in range(random.integers(1, 4))] for _ in range(count)]
    predictions = [
        texts[-1] if random.random() < 0.3 else text() for texts in references
    ]
    return predictions, references


# The arguments of sacreBLEU for our arguments.
SACREBLEU_ARGUMENTS = {
    "lowercase": "lowercase",
    "tokenization": "tokenize",
    "smoothing": "smooth_method",
    "smoothing_value": "smooth_value",
    "orders": "max_ngram_order",
    "effective_order": "effective_order",
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lowercase": True, "tokenization": "intl"},
        {"tokenization": "none", "smoothing": "none"},
        {"tokenization": "char", "orders": 2},
        {"smoothing": "floor", "effective_order": True},
        {"smoothing": "add-k", "smoothing_value": 2},
        {"effective_order": True},
        {"tokenization": "zh", "orders": 6},
    ],
)
def test_values_and_signatures_equal_those_of_sacrebleu(seed, options):
    predictions, references = random_texts(seed)
    ours = metric_of(predictions, references, **options)
    metric = sacrebleu.BLEU(
        **{SACREBLEU_ARGUMENTS[name]: option for name, option in options.items()}
    )
    streams = list(itertools.zip_longest(*references))
    expected = metric.corpus_score(predictions, streams)
    assert expected.score > 0
    assert ours.value == pytest.approx(expected.score, rel=1e-12)
    signature = ours.signature.partition("|orders:")[0]
    assert signature == str(metric.get_signature())
    for row, score in enumerate(ours.per_example):
        counts = ours.statistics[row].tolist()
        alone = metric._compute_score_from_stats(counts).score
        assert score == pytest.approx(alone, rel=1e-12, abs=1e-300)


def test_three_sentences_of_sacrebleu(three):
    predictions, references, case = three
    golden = case["sacrebleu"]
    expected = {
        "default (13a)": {},
        "tokenize none": {"tokenization": "none"},
        "smoothing none": {"smoothing": "none"},
    }
    for key, options in expected.items():
        actual = value(predictions, references, **options)
        assert actual == pytest.approx(golden[key], abs=1e-6)
    for orders in (1, 2, 3, 4):
        actual = value(predictions, references, orders=orders)
        assert actual == pytest.approx(golden[f"max order {orders}"], abs=0.005)
    assert value(["", "", ""], references) == golden["empty hypotheses"] == 0
    computed = case["sacrebleu, computed"]
    for stream, key in enumerate(("first stream only", "second stream only")):
        alone = [[texts[stream]] for texts in references]
        assert value(predictions, alone) == pytest.approx(computed[key], rel=1e-9)


def test_three_sentences_of_nltk(three):
    predictions, references, case = three
    expected = case["nltk_style, blanks as tokens"]
    actual = value(predictions, references, bleu.compute_nltk)
    assert actual == pytest.approx(expected, rel=1e-9)


def test_effective_order_leaves_out_orders_without_ngrams(cases):
    for case in cases["bleu"]["effective order (scale 0 to 1)"]:
        actual = value(
            [case["hypothesis"]],
            [[case["reference"]]],
            effective_order=True,
            smoothing="floor",
            smoothing_value=0.01,
        )
        assert actual == pytest.approx(100 * case["bleu"], rel=1e-12)
    assert value(["a test"], [["a test"]]) == 0


def test_values_are_computed_from_counts(cases):
    case = cases["bleu"]["from counts"]
    sums = np.array([*case["lengths"], *case["matches"], *case["totals"]], float)
    for value_of in (bleu.sacrebleu_value, bleu.tfmodels_value, bleu.nltk_value):
        expected = 100 * case["bleu (0 to 1)"]
        assert value_of(sums) == pytest.approx(expected, rel=1e-9)


def test_sentence_scores_with_effective_order(cases):
    case = cases["bleu"]["sentence bleu, effective order"]
    for key, options in {
        "exp, 13a": {},
        "none, 13a": {"smoothing": "none"},
        "floor 0.1, 13a": {"smoothing": "floor", "smoothing_value": 0.1},
        "add-k 1, 13a": {"smoothing": "add-k", "smoothing_value": 1},
        "exp, no tokenisation": {"tokenization": "none"},
    }.items():
        actual = value(
            [case["hypothesis"]], [[case["reference"]]], effective_order=True, **options
        )
        assert actual == pytest.approx(case[key], abs=1e-3)


def test_tokens_of_tf_models(cases):
    for case in cases["bleu"]["TF Models tokens"]:
        assert bleu.tokenize_tfmodels(case["text"]) == case["tokens"]
    tokens = bleu.tokenize_tfmodels("well-known (see p. 3)")
    assert tokens == ["well", "-", "known", "(", "see", "p", ".", "3)"]


def test_small_corpora_of_tensor2tensor(cases):
    for case in cases["bleu"]["tensor2tensor / TF Models (scale 0 to 1)"]:
        texts = [
            [text.split() if isinstance(text, str) else text for text in case[side]]
            for side in ("hypotheses", "references")
        ]
        rows = [
            (prediction, [reference])
            for prediction, reference in zip(*texts, strict=True)
        ]
        sums = np.sum([bleu.counts(*row) for row in rows], axis=0)
        assert float(bleu.tfmodels_value(sums)) == pytest.approx(
            100 * case["bleu"], abs=0.1
        )


def test_a_file_of_tf_models(cases):
    case = cases["bleu"]["TF Models file score"]
    references = [[text] for text in case["references"]]
    for lowercase, key in ((True, "uncased"), (False, "cased")):
        actual = value(
            case["hypotheses"], references, bleu.compute_tfmodels, lowercase=lowercase
        )
        assert actual == pytest.approx(case[key], rel=1e-12)
    nothing_matches = ["Dog", "Cat"], [["Testing"], ["more tests!"]]
    actual = value(*nothing_matches, bleu.compute_tfmodels)
    assert actual == pytest.approx(26.01, abs=0.005)
    assert value(*nothing_matches, tokenization="intl", lowercase=True) == 0


def test_a_pair_of_tf_models():
    references = [
        ["The boat, built in 1950, sank near the port."],
        ["Nobody was hurt in the accident."],
    ]
    predictions = [
        "the boat built in 1950 sank near the port.",
        "Nobody was hurt in that accident.",
    ]
    for lowercase, expected in ((True, 48.265162), (False, 46.374412)):
        actual = value(
            predictions, references, bleu.compute_tfmodels, lowercase=lowercase
        )
        assert actual == pytest.approx(expected, abs=1e-6)


def test_unicode_quotes_can_be_replaced_by_ascii():
    prediction = "“a” „b“ «c» ‘d’ ‚e‘ f"
    reference = '"a" "b" "c" \'d\' \'e\' f'
    assert value([prediction], [[reference]], bleu.compute_tfmodels) == pytest.approx(
        100
    )
    kept = value([prediction], [[reference]], bleu.compute_tfmodels, quotes="kept")
    assert kept < 50


def test_tf_models_counts_the_first_reference_only():
    metric = metric_of(["a b c d"], [["a b x d", "a b c d"]], bleu.compute_tfmodels)
    alone = metric_of(["a b c d"], [["a b x d"]], bleu.compute_tfmodels)
    assert metric.value == alone.value
    assert metric.signature == (
        "nrefs:first|case:lc|quotes:ascii|tok:tfmodels|smooth:exp"
    )
    assert alone.signature.startswith("nrefs:1|")


def test_wikisplit_bleu(cases):
    case = cases["bleu"]["wikisplit bleu"]
    references = [
        line.split("\t") for line in case["gold (tab separates alternatives)"]
    ]
    metric = metric_of(case["predictions"], references, bleu.compute_nltk)
    assert metric.value == pytest.approx(case["corpus"], rel=1e-12)
    mean = metric.per_example.mean()
    assert mean == pytest.approx(case["mean of sentence scores"], rel=1e-12)


def test_values_equal_those_of_nltk():
    predictions, references = random_texts(seed=1)
    metric = metric_of(predictions, references, bleu.compute_nltk, separators="kept")
    expected = bleu_score.corpus_bleu(
        [[text.split() for text in texts] for texts in references],
        [text.split() for text in predictions],
    )
    assert metric.value == pytest.approx(100 * expected, rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of orders without a match
        for row, score in enumerate(metric.per_example):
            alone = bleu_score.sentence_bleu(
                [text.split() for text in references[row]], predictions[row].split()
            )
            assert score == pytest.approx(100 * alone, rel=1e-12, abs=1e-60)


COMPUTE_FUNCTIONS = [
    bleu.compute,
    bleu.compute_tfmodels,
    bleu.compute_nltk,
]


@pytest.mark.parametrize("compute", COMPUTE_FUNCTIONS)
def test_empty_texts_score_0(compute):
    for prediction, references in (
        ("", ["a b c d e"]),
        ("", [""]),
        ("", ["", "a"]),
        ("\0", [""]),
        (" \n", ["a"]),
    ):
        actual = value([prediction], [references], compute)
        assert 0 <= actual < 100
        assert not math.isnan(actual)
        if not prediction.strip():
            assert actual == 0
    whole = value(["", "a b c d e"], [["x"], ["a b c d e"]], compute)
    assert 0 < whole < 100  # the brevity penalty


@pytest.mark.parametrize("compute", COMPUTE_FUNCTIONS)
def test_values_of_resamples_equal_those_of_their_texts(compute):
    predictions, references = random_texts(seed=2)
    metric = metric_of(predictions, references, compute)
    resamples = Resamples(len(predictions), samples=5)
    for sample, score in zip(
        resamples.counts.astype(int), resamples.values(metric), strict=True
    ):
        drawn = np.repeat(np.arange(len(predictions)), sample)
        expected = value(
            [predictions[row] for row in drawn],
            [references[row] for row in drawn],
            compute,
        )
        assert score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "compute",
    [
        bleu.compute,
        bleu.compute_nltk,
        pytest.param(bleu.compute_tfmodels, marks=pytest.mark.slow),
    ],
)
def test_nul_and_lines_of_ten_megabytes_are_scored(compute):
    line = "a\0b c d " + "e" * 10_000_000
    assert value([line], [[line]], compute) == pytest.approx(100)


def test_unknown_choices_are_refused():
    texts = ["a"], [["a"]]
    with pytest.raises(ConfigError, match="tokenization is 'international'; expected"):
        value(*texts, tokenization="international")
    with pytest.raises(
        ConfigError, match=r"smoothing is .*; expected one of none, floor"
    ):
        value(*texts, smoothing="exponential")
    with pytest.raises(ConfigError, match="'exp' has no smoothing_value"):
        value(*texts, smoothing_value=0.1)
    with pytest.raises(ConfigError, match="orders is 0"):
        value(*texts, orders=0)
    with pytest.raises(ConfigError, match="quotes is 'curly'; expected one of ascii"):
        value(*texts, bleu.compute_tfmodels, quotes="curly")
    with pytest.raises(ConfigError, match=r"separators is .*; expected one of removed"):
        value(*texts, bleu.compute_nltk, separators="stripped")


def test_names_and_signatures_state_the_choices():
    metric = metric_of(["a"], [["a"]], orders=2, name="bleu2", smoothing="floor")
    assert metric.name == "bleu2"
    assert metric.signature == (
        f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:floor[0.10]"
        f"|version:{sacrebleu.__version__}|orders:2"
    )
    varying = metric_of(["a", "b"], [["a"], ["b", "c"]])
    assert varying.signature.startswith("nrefs:var|")
    nltk = metric_of(["a", "b"], [["a"], ["b", "c"]], bleu.compute_nltk)
    assert nltk.name == "bleu-nltk"
    assert nltk.signature == (
        "nrefs:var|case:mixed|separators:removed|tok:blanks|smooth:none|program:nltk"
    )
