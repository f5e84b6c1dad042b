"""BLEU as computed by sacreBLEU, by the TF Models script and by NLTK.

Each takes the geometric mean of the clipped precisions of n-grams of 1 to 4 tokens and
multiplies it by a brevity penalty (Papineni et al. 2002). They differ mainly in the
tokens and in the smoothing of orders without a match.
"""

import functools
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import numpy as np
import regex
from sacrebleu.metrics.bleu import BLEU

from bertgen_jax import errors
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import sacrebleu_metrics
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.text import Separators, ngrams
from bertgen_jax.normalization import SEPARATOR

ORDERS = 4

# The tokenizations of sacreBLEU that need neither a download nor another library.
Tokenization = Literal["13a", "intl", "none", "char", "zh"]
Smoothing = Literal["exp", "floor", "add-k", "none"]
Quotes = Literal["ascii", "kept"]

_QUOTES = {"ascii": str.maketrans("“”„«»‘’‚", '"""""\'\'\''), "kept": {}}


def compute(
    outputs: Outputs,
    *,
    tokenization: Tokenization = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
    smoothing_value: float | None = None,
    orders: int = ORDERS,
    effective_order: bool = False,
    name: str = "bleu",
) -> list[MetricValue]:
    """Computes BLEU with the value and the signature of `sacrebleu.corpus_bleu`.

    Without any match the value is 0, and so it is for empty predictions or references.
    A single example of fewer than 4 tokens also scores 0, unless `effective_order`
    leaves out the orders for which it is too short.

    Args:
      outputs: predictions and references; the number of references may vary.
      tokenization: "13a", as mteval-v13a; "intl", as mteval-v14, which splits at all
        punctuation of Unicode; "none", at whitespace; "char"; "zh".
      lowercase: whether case is ignored.
      smoothing: of orders without a match. "exp": 1/2 match for the first such order,
        1/4 for the second, and so on; "floor": a constant; "add-k": a constant that is
        added to all orders but the first; "none".
      smoothing_value: the constant; None for sacreBLEU's, 0.1 for "floor" and 1 for
        "add-k".
      orders: the length of the longest n-grams.
      effective_order: whether orders that have no n-gram are left out.
      name: of the value.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("tokenization", tokenization, get_args(Tokenization))
    errors.check_choice("smoothing", smoothing, BLEU.SMOOTH_DEFAULTS)
    if orders < 1:
        raise ConfigError(f"orders is {orders}; expected 1 or more.")
    if smoothing_value is None:
        smoothing_value = BLEU.SMOOTH_DEFAULTS[smoothing]
    elif BLEU.SMOOTH_DEFAULTS[smoothing] is None:
        raise ConfigError(f"Smoothing {smoothing!r} has no smoothing_value.")
    metric = BLEU(
        lowercase=lowercase,
        force=True,  # no warning about texts that are tokenized already
        tokenize=tokenization,
        smooth_method=smoothing,
        smooth_value=smoothing_value,
        max_ngram_order=orders,
        effective_order=effective_order,
    )
    statistics = sacrebleu_metrics.statistics(metric, outputs)
    signature = sacrebleu_metrics.signature(metric)
    if orders != ORDERS:
        signature += f"|orders:{orders}"
    value_of = functools.partial(
        sacrebleu_value,
        smoothing=smoothing,
        smoothing_value=smoothing_value or 0.0,
        effective_order=effective_order,
    )
    return [MetricValue(name, signature, statistics, value_of)]


def compute_tfmodels(
    outputs: Outputs,
    *,
    lowercase: bool = True,
    quotes: Quotes = "ascii",
    name: str = "bleu-tfmodels",
) -> list[MetricValue]:
    """Computes BLEU as compute_bleu.py of TF Models does, for WMT in the paper.

    The script takes one reference: of several the first counts, and the signature says
    so. An empty prediction scores 0.

    Args:
      outputs: predictions and references; line ends count as spaces.
      lowercase: whether case is ignored ("uncased" in the paper).
      quotes: "ascii": curly and angular quotes are replaced by " and ' on both sides
        (the paper does not say which ones; here “ ” „ « » and ‘ ’ ‚); or "kept".
      name: of the value.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("quotes", quotes, _QUOTES)

    def tokens(text: str) -> list[str]:
        text = text.translate(_QUOTES[quotes])
        return tokenize_tfmodels(text.lower() if lowercase else text)

    statistics = [
        counts(tokens(prediction), [tokens(references[0])])
        for prediction, references in zip(
            outputs.predictions, outputs.references, strict=True
        )
    ]
    references = "1" if outputs.reference_count == "1" else "first"
    signature = (
        f"nrefs:{references}|case:{'lc' if lowercase else 'mixed'}|quotes:{quotes}"
        "|tok:tfmodels|smooth:exp"
    )
    return [MetricValue(name, signature, np.array(statistics), tfmodels_value)]


def compute_nltk(
    outputs: Outputs,
    *,
    separators: Separators = "removed",
    name: str = "bleu-nltk",
) -> list[MetricValue]:
    """Computes BLEU as `corpus_bleu` of NLTK does, for WikiSplit in the paper.

    Case counts. Without a match of every order, as in empty texts, the value is 0 (NLTK
    3.2.2 leaves such orders out; later versions give about 1e-77).

    Args:
      outputs: predictions and references.
      separators: "removed": each <::::> between sentences is replaced by a space, as in
        Botha et al. (2018); "kept": it is a token.
      name: of the value.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("separators", separators, get_args(Separators))

    def tokens(text: str) -> list[str]:
        return (
            text.replace(SEPARATOR, " ") if separators == "removed" else text
        ).split()

    statistics = [
        counts(tokens(prediction), [*map(tokens, references)], min_total=1)
        for prediction, references in zip(
            outputs.predictions, outputs.references, strict=True
        )
    ]
    signature = (
        f"nrefs:{outputs.reference_count}|case:mixed|separators:{separators}"
        "|tok:blanks|smooth:none|program:nltk"
    )
    return [MetricValue(name, signature, np.array(statistics), nltk_value)]


def counts(
    prediction: Sequence[Hashable],
    references: Sequence[Sequence[Hashable]],
    min_total: int = 0,
) -> np.ndarray:
    """Returns the counts of one example that BLEU is computed from.

    Args:
      prediction: its tokens.
      references: the tokens of each reference.
      min_total: the least number of n-grams of each order, even of a shorter
        prediction: 1 as in NLTK, or 0.

    Returns:
      f64[10]: the number of tokens of the prediction; that of the reference nearest in
      length, the shorter of two; the number of matching n-grams of 1 to 4 tokens, each
      n-gram at most as often as in the reference that has it most often; and the number
      of n-grams of the prediction of 1 to 4 tokens.
    """
    length = len(prediction)
    nearest_length = min(
        map(len, references), key=lambda other: (abs(other - length), other)
    )
    matches = []
    for order in range(1, ORDERS + 1):
        predicted = Counter(ngrams(prediction, order))
        allowed = functools.reduce(
            Counter.__or__, (Counter(ngrams(tokens, order)) for tokens in references)
        )
        matches.append(
            sum(min(count, allowed[gram]) for gram, count in predicted.items())
        )
    totals = [max(min_total, length - order) for order in range(ORDERS)]
    return np.array([length, nearest_length, *matches, *totals], np.float64)


def sacrebleu_value(
    sums: np.ndarray,
    smoothing: Smoothing = "exp",
    smoothing_value: float = 0.0,
    effective_order: bool = False,
) -> np.ndarray:
    """Maps sums f64[..., 2 + 2 orders] of `counts` to values f64[...] of sacreBLEU."""
    brevity, matches, totals = _parts(sums)
    any_match = matches.any(axis=-1)
    if smoothing == "add-k":
        added = smoothing_value * (np.arange(matches.shape[-1]) > 0)
        matches, totals = matches + added, totals + added
    # From the first order without n-grams on, no order counts.
    exist = np.logical_and.accumulate(totals > 0, axis=-1)
    if smoothing == "exp":
        matches = _smooth_exponentially(matches, exist)
    elif smoothing == "floor":
        matches = np.where(matches == 0, smoothing_value, matches)
    mean = _geometric_mean(
        np.where(exist, matches, 0),
        totals,
        counted=exist if effective_order else np.ones_like(exist),
        orders=exist.sum(axis=-1) if effective_order else exist.shape[-1],
    )
    return np.where(any_match, brevity * mean, 0)


def tfmodels_value(sums: np.ndarray) -> np.ndarray:
    """Maps sums f64[..., 10] of `counts` to values f64[...] of the TF Models script.

    It smooths also where nothing matches, and orders without n-grams have precision 1.
    """
    brevity, matches, totals = _parts(sums)
    exist = totals > 0
    mean = _geometric_mean(_smooth_exponentially(matches, exist), totals, exist, ORDERS)
    return np.where(exist.any(axis=-1), brevity * mean, 0)


def nltk_value(sums: np.ndarray) -> np.ndarray:
    """Maps sums f64[..., 10] of `counts` to values f64[...] without smoothing."""
    brevity, matches, totals = _parts(sums)
    return brevity * _geometric_mean(
        matches, totals, np.ones_like(totals, bool), ORDERS
    )


def tokenize_tfmodels(text: str) -> list[str]:
    r"""Splits off symbols, and punctuation that has no digit beside it.

    "1,000.5 (see p. 3)" -> ["1,000.5", "(", "see", "p", ".", "3)"]
    "in 2014." -> ["in", "2014."]
    "a\b" -> ["a\b"]
    """
    text = _AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _SYMBOL.sub(r" \1 ", text).split()


# The script puts punctuation unescaped into a character set, which loses the backslash.
_PUNCTUATION = r"((?!\\)\p{P})"
_AFTER_NO_DIGIT = regex.compile(rf"([^\d]){_PUNCTUATION}")
_BEFORE_NO_DIGIT = regex.compile(rf"{_PUNCTUATION}([^\d])")
_SYMBOL = regex.compile(r"(\p{S})")


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns brevity penalties [...], matches and totals [..., orders] of sums."""
    length, reference = sums[..., 0], sums[..., 1]
    ratio = np.divide(
        reference, length, out=np.full_like(length, np.inf), where=length > 0
    )
    matches, totals = np.split(sums[..., 2:], 2, axis=-1)
    return np.exp(np.minimum(0, 1 - ratio)), matches, totals


def _smooth_exponentially(matches: np.ndarray, exist: np.ndarray) -> np.ndarray:
    """Gives 1/2, 1/4, ... matches to the orders without a match (NIST's mteval)."""
    are_zero = (matches == 0) & exist
    return np.where(are_zero, 0.5 ** np.cumsum(are_zero, axis=-1), matches)


def _geometric_mean(
    matches: np.ndarray,
    totals: np.ndarray,
    counted: np.ndarray,
    orders: np.ndarray | int,
) -> np.ndarray:
    """Returns the mean precision in percent of the orders that count."""
    precisions = np.divide(matches, totals, out=np.zeros_like(totals), where=totals > 0)
    with np.errstate(divide="ignore"):  # the logarithm of 0 makes the mean 0
        logarithms = np.log(precisions, out=np.zeros_like(totals), where=counted)
    return 100 * np.exp(logarithms.sum(axis=-1) / np.maximum(1, orders))
