"""BLEU of sacreBLEU, of the TF Models script and of NLTK: texts in, scores out.

All clip the n-grams that match, take the geometric mean of the precisions of n-grams of
1 to 4 tokens, and punish what is shorter than the reference (Papineni et al. 2002).
They differ in tokens, in what no match at all counts as, and in little else.
"""

import functools
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import regex
from sacrebleu.metrics import BLEU

from bertgen_jax import errors
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import sacrebleu_counts
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.ngrams import ngrams
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.normalization import SEPARATOR

ORDERS = 4

Tokenization = Literal["13a", "intl", "none", "char", "zh"]
Smoothing = Literal["exp", "floor", "add-k", "none"]
Quotes = Literal["ascii", "kept"]
Separators = Literal["removed", "kept"]

# Those of sacreBLEU that need neither a download nor another library.
_TOKENIZATIONS = ("13a", "intl", "none", "char", "zh")
_QUOTES = {"ascii": str.maketrans("“”„«»‘’‚", '"""""\'\'\''), "kept": {}}
_SEPARATORS = ("removed", "kept")


def measure(
    outputs: Outputs,
    *,
    tokenization: Tokenization = "13a",
    lowercase: bool = False,
    smoothing: Smoothing = "exp",
    smoothing_value: float | None = None,
    orders: int = ORDERS,
    effective_order: bool = False,
    name: str = "bleu",
) -> list[Measurement]:
    """sacreBLEU: the value and the signature are those of `sacrebleu.corpus_bleu`.

    Without any match the score is 0, so also where predictions or references are empty.
    An example alone scores 0 as well if it has fewer than 4 tokens; `effective_order`
    leaves out the n-grams that it is too short for.

    Args:
      outputs: predictions with one reference or several, which may differ in number.
      tokenization: "13a", mteval-v13a; "intl", mteval-v14, which splits at all
        punctuation of Unicode; "none", blanks; "char"; "zh".
      lowercase: whether case is ignored.
      smoothing: what takes the place of no match: "exp", half as much each time;
        "floor", a constant; "add-k", a constant added to all orders but the first;
        "none".
      smoothing_value: the constant; None is sacreBLEU's, 0.1 and 1.
      orders: the longest n-gram.
      effective_order: whether orders that have no n-gram are left out.
      name: of the measurement.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("tokenization", tokenization, _TOKENIZATIONS)
    errors.check_choice("smoothing", smoothing, BLEU.SMOOTH_DEFAULTS)
    if orders < 1:
        raise ConfigError(f"orders is {orders}; expected 1 or more.")
    if smoothing_value is None:
        smoothing_value = BLEU.SMOOTH_DEFAULTS[smoothing]
    elif BLEU.SMOOTH_DEFAULTS[smoothing] is None:
        raise ConfigError(f"Smoothing {smoothing!r} has no smoothing_value.")
    metric = BLEU(
        lowercase=lowercase,
        force=True,  # tokenised texts are meant
        tokenize=tokenization,
        smooth_method=smoothing,
        smooth_value=smoothing_value,
        max_ngram_order=orders,
        effective_order=effective_order,
    )
    statistics = sacrebleu_counts.statistics(metric, outputs)
    signature = sacrebleu_counts.signature(metric)
    if orders != ORDERS:
        signature += f"|orders:{orders}"
    value_of = functools.partial(
        sacrebleu_value,
        smoothing=smoothing,
        smoothing_value=smoothing_value,
        effective_order=effective_order,
    )
    return [Measurement(name, signature, statistics, value_of)]


def measure_tfmodels(
    outputs: Outputs,
    *,
    lowercase: bool = True,
    quotes: Quotes = "ascii",
    name: str = "bleu-tfmodels",
) -> list[Measurement]:
    """BLEU as the TF Models script compute_bleu.py computes it, for WMT in the paper.

    The script knows one reference; of several the first counts, and the signature says
    so. An empty prediction scores 0.

    Args:
      outputs: predictions and references; line ends are blanks.
      lowercase: "uncased" in the words of the paper.
      quotes: "ascii", curly and angular ones become " and ' on both sides (the paper
        does so and does not say which; ours are “ ” „ « » and ‘ ’ ‚); or "kept".
      name: of the measurement.

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
    return [Measurement(name, signature, np.array(statistics), tfmodels_value)]


def measure_nltk(
    outputs: Outputs,
    *,
    separators: Separators = "removed",
    name: str = "bleu-nltk",
) -> list[Measurement]:
    """BLEU of NLTK's `corpus_bleu`, for WikiSplit in the paper; tokens are cased.

    Without a match of every order, so of anything empty, the score is 0 (NLTK 3.2.2
    leaves such orders out, later versions give some 1e-77).

    Args:
      outputs: predictions with one reference or several.
      separators: "removed", the sentences between <::::> are joined by a blank, as
        Botha et al. 2018 did; "kept", it is a token.
      name: of the measurement.

    Raises:
      ConfigError: an unknown choice.
    """
    errors.check_choice("separators", separators, _SEPARATORS)

    def tokens(text: str) -> list[str]:
        return (
            text.replace(SEPARATOR, " ") if separators == "removed" else text
        ).split()

    statistics = [
        counts(tokens(prediction), [tokens(one) for one in references], least=1)
        for prediction, references in zip(
            outputs.predictions, outputs.references, strict=True
        )
    ]
    signature = (
        f"nrefs:{outputs.reference_count}|case:mixed|separators:{separators}"
        "|tok:blanks|smooth:none|program:nltk"
    )
    return [Measurement(name, signature, np.array(statistics), nltk_value)]


def counts(
    prediction: Sequence[Hashable],
    references: Sequence[Sequence[Hashable]],
    least: int = 0,
) -> np.ndarray:
    """What BLEU needs to know of one text.

    Args:
      prediction: its tokens.
      references: tokens of one or several.
      least: how many n-grams of an order even a shorter prediction counts as having; 1
        as in NLTK, or 0.

    Returns:
      f64[10]: tokens of the prediction; of the reference nearest in length, the shorter
      of two; n-grams of 1 to 4 tokens that match, each at most as often as in the
      reference that has it most often; n-grams.
    """
    length = len(prediction)
    nearest = min(
        (len(one) for one in references), key=lambda other: (abs(other - length), other)
    )
    matches = []
    for order in range(1, ORDERS + 1):
        own = Counter(ngrams(prediction, order))
        allowed = functools.reduce(
            Counter.__or__, (Counter(ngrams(one, order)) for one in references)
        )
        matches.append(sum(min(count, allowed[gram]) for gram, count in own.items()))
    totals = [max(least, length - order) for order in range(ORDERS)]
    return np.array([length, nearest, *matches, *totals], np.float64)


def sacrebleu_value(
    sums: np.ndarray,
    smoothing: Smoothing = "exp",
    smoothing_value: float | None = None,
    effective_order: bool = False,
) -> np.ndarray:
    """Sums f64[..., 2 + 2 orders], as `counts` has them, to scores f64[...]."""
    brevity, matches, totals = _parts(sums)
    something = matches.any(axis=-1)
    if smoothing == "add-k":
        added = smoothing_value * (np.arange(matches.shape[-1]) > 0)
        matches, totals = matches + added, totals + added
    # Nothing is asked of n-grams longer than the first that do not exist.
    exist = np.logical_and.accumulate(totals > 0, axis=-1)
    if smoothing == "exp":
        matches = _halved(matches, exist)
    elif smoothing == "floor":
        matches = np.where(matches == 0, smoothing_value, matches)
    mean = _geometric_mean(
        np.where(exist, matches, 0),
        totals,
        counted=exist if effective_order else np.ones_like(exist),
        orders=exist.sum(axis=-1) if effective_order else exist.shape[-1],
    )
    return np.where(something, brevity * mean, 0)


def tfmodels_value(sums: np.ndarray) -> np.ndarray:
    """Sums f64[..., 10] to scores f64[...], with the smoothing of TF Models.

    It goes on where nothing matches, and n-grams that do not exist count as 1.
    """
    brevity, matches, totals = _parts(sums)
    exist = totals > 0
    mean = _geometric_mean(_halved(matches, exist), totals, exist, ORDERS)
    return np.where(exist.any(axis=-1), brevity * mean, 0)


def nltk_value(sums: np.ndarray) -> np.ndarray:
    """Sums f64[..., 10] to scores f64[...], without smoothing."""
    brevity, matches, totals = _parts(sums)
    return brevity * _geometric_mean(
        matches, totals, np.ones_like(totals, bool), ORDERS
    )


def tokenize_tfmodels(text: str) -> list[str]:
    r"""Splits off punctuation, unless a digit is beside it, and symbols.

    "1,000.5 (see p. 3)" -> ["1,000.5", "(", "see", "p", ".", "3)"]
    "in 2014." -> ["in", "2014."]
    "a\b" -> ["a\b"]
    """
    text = _AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _SYMBOL.sub(r" \1 ", text).split()


# The script pastes its punctuation into a set unescaped, and loses the backslash there.
_PUNCTUATION = r"((?!\\)\p{P})"
_AFTER_NO_DIGIT = regex.compile(rf"([^\d]){_PUNCTUATION}")
_BEFORE_NO_DIGIT = regex.compile(rf"{_PUNCTUATION}([^\d])")
_SYMBOL = regex.compile(r"(\p{S})")


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums to brevity penalties [...], matches and totals [..., orders]."""
    length, reference = sums[..., 0], sums[..., 1]
    ratio = np.divide(
        reference, length, out=np.full_like(length, np.inf), where=length > 0
    )
    matches, totals = np.split(sums[..., 2:], 2, axis=-1)
    return np.exp(np.minimum(0, 1 - ratio)), matches, totals


def _halved(matches: np.ndarray, exist: np.ndarray) -> np.ndarray:
    """Puts 1/2, 1/4, ... into the orders without a match (NIST's mteval)."""
    are_zero = (matches == 0) & exist
    return np.where(are_zero, 0.5 ** np.cumsum(are_zero, axis=-1), matches)


def _geometric_mean(
    matches: np.ndarray,
    totals: np.ndarray,
    counted: np.ndarray,
    orders: np.ndarray | int,
) -> np.ndarray:
    """The mean precision of the orders that are counted, in percent."""
    precisions = np.divide(matches, totals, out=np.zeros_like(totals), where=totals > 0)
    with np.errstate(divide="ignore"):  # the logarithm of 0 makes the mean 0
        logarithms = np.log(precisions, out=np.zeros_like(totals), where=counted)
    return 100 * np.exp(logarithms.sum(axis=-1) / np.maximum(1, orders))
