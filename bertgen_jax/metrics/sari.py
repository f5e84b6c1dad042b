"""SARI in six variants, one for each program that computes it differently.

SARI compares, for n-grams of 1 to 4 tokens, which n-grams of the source a prediction
keeps, adds and deletes with those that the references keep, add and delete (Xu et al.
2016). The programs agree on nothing more, and their values differ by many points.
"""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from sacrebleu.tokenizers import tokenizer_13a

from bertgen_jax import errors
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import metric_value
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.text import Separators, ngrams
from bertgen_jax.normalization import SEPARATOR

ORDERS = 4
OPERATIONS = ("keep", "add", "delete")

VariantName = Literal[
    "lasertagger", "tensor2tensor", "original", "easse", "easse-legacy", "huggingface"
]
Tokenization = Literal["blanks", "single-blanks", "13a", "13a-but-sources"]
Counting = Literal["sums", "ratios", "mixed"]

Tokens = Sequence[Hashable]

_ZEROS = itertools.repeat(0)


@dataclasses.dataclass(frozen=True)
class _Variant:
    """How one program computes SARI.

    Attributes:
      is_multiset: whether an n-gram that occurs twice in a text counts twice.
      counting: how precision and recall are taken over n-grams, see `operation_counts`.
      beta: of the F score of deletions; 0 is their precision alone.
      empty_quotient: the value of a quotient 0/0.
      tokenization, lowercase, separators: how texts are prepared.
      of_corpus: whether counts are summed over the examples; if not, the scores of
        examples are averaged.
      has_betas: whether values with another beta are also called SARI.
    """

    is_multiset: bool
    counting: Counting
    beta: int
    empty_quotient: int
    tokenization: Tokenization
    lowercase: bool = True
    separators: Separators = "kept"
    of_corpus: bool = False
    has_betas: bool = False


_LASERTAGGER = _Variant(
    is_multiset=False,
    counting="sums",
    beta=1,
    empty_quotient=1,
    tokenization="blanks",
    separators="removed",
    has_betas=True,
)
_ORIGINAL = _Variant(
    is_multiset=True,
    counting="ratios",
    beta=0,
    empty_quotient=0,
    tokenization="single-blanks",
)
_EASSE = _Variant(
    is_multiset=True,
    counting="sums",
    beta=1,
    empty_quotient=0,
    tokenization="13a",
    of_corpus=True,
)
VARIANTS: Mapping[str, _Variant] = {
    # score_lib.py of LaserTagger: most likely what the paper reports.
    "lasertagger": _LASERTAGGER,
    # sari_hook.py of tensor2tensor, which the paper's footnote names.
    "tensor2tensor": dataclasses.replace(
        _LASERTAGGER, beta=0, lowercase=False, separators="kept"
    ),
    # SARI.py by the authors of the metric, github.com/cocoxu/simplification.
    "original": _ORIGINAL,
    # EASSE (Alva-Manchego et al. 2019), common in text simplification.
    "easse": _EASSE,
    # EASSE before 2019, for texts that are already tokenized and lower-cased.
    "easse-legacy": dataclasses.replace(
        _EASSE, tokenization="13a-but-sources", lowercase=False
    ),
    # The metrics sari and wiki_split of Hugging Face.
    "huggingface": dataclasses.replace(
        _ORIGINAL, counting="mixed", empty_quotient=1, tokenization="13a"
    ),
}


def compute(
    outputs: Outputs,
    variant: VariantName = "lasertagger",
    *,
    beta: int | None = None,
    lowercase: bool | None = None,
    separators: Separators | None = None,
    tokenization: Tokenization | None = None,
    name: str = "sari",
) -> list[MetricValue]:
    """Computes SARI and its three parts, each 0 to 100.

    An operation that neither the references nor the prediction do scores 100 in
    lasertagger, tensor2tensor and huggingface, and 0 in the others. Three empty texts
    therefore score 100 or 0 (8.3 in original, where an empty text has an empty token).

    Args:
      outputs: predictions, references and sources; every reference counts.
      variant: the program to follow, one of `VARIANTS`.
      beta: 1, deletions score by F1; 0, by precision; None for that of the variant.
        Only lasertagger and tensor2tensor have both.
      lowercase: whether case is ignored; None for the variant's own.
      separators: "removed": each " <::::> " is replaced by a space; "kept": it is a
        token; None for the variant's own.
      tokenization: "blanks": at whitespace; "single-blanks": at each space, so that two
        spaces enclose an empty token; "13a": as sacreBLEU; "13a-but-sources": "13a",
        but "blanks" for sources; None for the variant's own.
      name: of SARI; its parts are called NAME_keep, NAME_add and NAME_delete.

    Raises:
      ConfigError: an unknown choice.
      DataError: the sources are not known.
    """
    errors.check_choice("variant", variant, VARIANTS)
    settings = VARIANTS[variant]
    if beta is not None and beta != settings.beta and not settings.has_betas:
        raise ConfigError(
            f"SARI {variant} is defined for beta {settings.beta} only; found {beta}."
        )
    overrides = {
        "beta": beta,
        "lowercase": lowercase,
        "separators": separators,
        "tokenization": tokenization,
    }
    settings = dataclasses.replace(
        settings,
        **{field: value for field, value in overrides.items() if value is not None},
    )
    errors.check_choice("beta", settings.beta, (0, 1))
    errors.check_choice("separators", settings.separators, get_args(Separators))
    errors.check_choice("tokenization", settings.tokenization, _TOKENIZERS)

    counts = operation_counts(
        *_tokens(outputs, settings),
        is_multiset=settings.is_multiset,
        counting=settings.counting,
    )
    signature = "|".join(
        (
            f"variant:{variant}",
            f"nrefs:{outputs.reference_count}",
            f"beta:{settings.beta}",
            f"case:{'lc' if settings.lowercase else 'mixed'}",
            f"separators:{settings.separators}",
            f"tok:{settings.tokenization}",
        )
    )
    names = value_names(name)
    rules = {"beta": settings.beta, "empty_quotient": settings.empty_quotient}
    statistics = counts.reshape(len(outputs), -1)  # [n, 48]
    if settings.of_corpus:
        return [
            MetricValue(
                part_name,
                signature,
                statistics,
                functools.partial(_value, column=column, **rules),
            )
            for column, part_name in enumerate(names)
        ]
    values = _values(statistics, **rules)
    return [
        metric_value.mean(part_name, column, signature)
        for part_name, column in zip(names, values.T, strict=True)
    ]


def value_names(name: str) -> tuple[str, ...]:
    """Returns the names of SARI and its parts: "sari" -> "sari", "sari_keep", ..."""
    return (name, *(f"{name}_{operation}" for operation in OPERATIONS))


def operation_counts(
    sources: Sequence[Tokens],
    predictions: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    *,
    is_multiset: bool,
    counting: Counting,
) -> np.ndarray:
    """Counts for each operation what is done, what should be done, and their overlap.

    With s, c and r the counts of an n-gram in source, prediction and all m references:

      operation  done                to be done         correctly done
      keep       min(m s, m c)       min(m s, r)        the smaller of the two
      delete     max(0, m s - m c)   max(0, m s - r)    the smaller of the two ("sums");
                                                        max(0, m s - m c - r) (others)

    Added n-grams are those that the source does not have; each counts once.

    Args:
      sources, predictions: the tokens of n texts.
      references: for each text the tokens of one reference or several.
      is_multiset: whether an n-gram counts as often as it occurs. If not, s, c and the
        count in a single reference are at most 1, and m is the number of references
        that are long enough to have n-grams of the order.
      counting: "sums": counts are summed over the n-grams before a quotient is taken;
        "ratios": the quotients of single n-grams are summed; "mixed": "ratios", but
        "sums" for the recall of "keep".

    Returns:
      f64[n, 4, 3, 2, 2]: by text, order, operation, precision and recall, the numerator
      and the denominator.
    """
    segments = _segments(sources, predictions, references, is_multiset)
    source, prediction, reference = segments.grams
    sizes = segments.sizes
    counts = np.empty((len(sizes), len(OPERATIONS), 2, 2))

    in_both = segments.total((prediction > 0) & (reference > 0))
    correct = sizes[:, 3] - in_both
    added = sizes[:, 1] - segments.total(prediction > 0)
    to_add = sizes[:, 2] - segments.total(reference > 0)
    counts[:, 1] = np.stack([_pair(correct, added), _pair(correct, to_add)], axis=1)

    multiples = np.repeat(segments.reference_counts, sizes[:, 0])
    source, prediction = multiples * source, multiples * prediction
    kept, to_keep = np.minimum(source, prediction), np.minimum(source, reference)
    deleted = np.maximum(0, source - prediction)
    to_delete = np.maximum(0, source - reference)
    if counting == "sums":
        correctly_deleted = np.minimum(deleted, to_delete)
    else:
        correctly_deleted = np.maximum(0, deleted - reference)
    for operation, correct, *wholes in (
        (0, np.minimum(kept, to_keep), kept, to_keep),
        (2, correctly_deleted, deleted, to_delete),
    ):
        for column, whole in enumerate(wholes):
            if counting == "sums" or (counting == "mixed" and column == 1):
                pair = _pair(segments.total(correct), segments.total(whole))
            else:
                shares = _quotients(correct, whole, empty_quotient=0)
                pair = _pair(segments.total(shares), segments.total(whole > 0))
            counts[:, operation, column] = pair
    return counts.reshape(len(sources), ORDERS, len(OPERATIONS), 2, 2)


def operation_scores(
    counts: np.ndarray, *, beta: int, empty_quotient: int
) -> np.ndarray:
    """Returns the scores, 0 to 1, of keeping, adding and deleting.

    Args:
      counts: f64[..., 3, 2, 2], of `operation_counts` or sums of them.
      beta: of the F score of deletions, 0 or 1.
      empty_quotient: the value of 0/0.

    Returns:
      f64[..., 3]: F scores; 0 where precision or recall is 0.
    """
    shares = _quotients(counts[..., 0], counts[..., 1], empty_quotient)
    precision, recall = shares[..., 0], shares[..., 1]
    scores = _quotients(2 * precision * recall, precision + recall, 0)
    if beta == 0:
        scores[..., 2] = precision[..., 2]
    return scores


@dataclasses.dataclass(frozen=True)
class _Segments:
    """Counts of n-grams; a segment holds the n-grams of one example and one order.

    Attributes:
      grams: f64[3, G], the counts of each distinct n-gram of a source in the source, in
        the prediction and in all references, segment by segment.
      sizes: i64[segments, 4], the numbers of distinct n-grams of the source, of the
        prediction, of the references, and of prediction and references in common.
      reference_counts: i64[segments], the number of references that count.
    """

    grams: np.ndarray
    sizes: np.ndarray
    reference_counts: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums values [G] by segment: f64[segments]."""
        segments = np.repeat(np.arange(len(self.sizes)), self.sizes[:, 0])
        return np.bincount(segments, values, minlength=len(self.sizes))


def _segments(
    sources: Sequence[Tokens],
    predictions: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    is_multiset: bool,
) -> _Segments:
    count = Counter if is_multiset else _count_once
    grams: tuple[list[int], ...] = ([], [], [])
    sizes, reference_counts = [], []
    for source, prediction, texts in zip(sources, predictions, references, strict=True):
        for order in range(1, ORDERS + 1):
            original = count(ngrams(source, order))
            predicted = count(ngrams(prediction, order))
            wanted = _count_all([ngrams(text, order) for text in texts], is_multiset)
            grams[0].extend(original.values())
            grams[1].extend(map(predicted.get, original, _ZEROS))
            grams[2].extend(map(wanted.get, original, _ZEROS))
            shared = len(predicted.keys() & wanted.keys())
            sizes.append((len(original), len(predicted), len(wanted), shared))
            # In sets a reference too short for n-grams of this order does not count.
            long_enough = sum(len(text) >= order for text in texts) or 1
            reference_counts.append(len(texts) if is_multiset else long_enough)
    return _Segments(
        np.array(grams, np.float64), np.array(sizes), np.array(reference_counts)
    )


def _count_once(grams: Iterable[Hashable]) -> dict[Hashable, int]:
    """Counts every distinct n-gram as 1."""
    return dict.fromkeys(grams, 1)


def _count_all(
    texts: Sequence[Iterable[Hashable]], is_multiset: bool
) -> dict[Hashable, int]:
    """Counts n-grams over all texts; if sets, the texts that have each n-gram."""
    if is_multiset:
        return Counter(itertools.chain.from_iterable(texts))
    if len(texts) == 1:
        return _count_once(texts[0])
    return Counter(itertools.chain.from_iterable(map(set, texts)))


def _pair(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.stack([part, whole], axis=-1)


def _quotients(
    parts: np.ndarray, wholes: np.ndarray, empty_quotient: float
) -> np.ndarray:
    quotients = np.full_like(parts, empty_quotient)
    return np.divide(parts, wholes, out=quotients, where=wholes != 0)


def _values(statistics: np.ndarray, beta: int, empty_quotient: int) -> np.ndarray:
    """Maps counts f64[..., 48] to SARI and its parts f64[..., 4], 0 to 100."""
    shape = (*statistics.shape[:-1], ORDERS, len(OPERATIONS), 2, 2)
    scores = operation_scores(
        statistics.reshape(shape), beta=beta, empty_quotient=empty_quotient
    )
    parts = 100 * scores.mean(axis=-2)  # over the orders
    return np.concatenate([parts.mean(axis=-1, keepdims=True), parts], axis=-1)


def _value(
    statistics: np.ndarray, column: int, beta: int, empty_quotient: int
) -> np.ndarray:
    return _values(statistics, beta, empty_quotient)[..., column]


def _tokens(
    outputs: Outputs, settings: _Variant
) -> tuple[list[Tokens], list[Tokens], list[list[Tokens]]]:
    split, split_source = _TOKENIZERS[settings.tokenization]

    def prepare(text: str) -> str:
        if settings.lowercase:
            text = text.lower()
        if settings.separators == "removed":
            text = text.replace(f" {SEPARATOR} ", " ")
        return text

    return (
        [split_source(prepare(text)) for text in outputs.known_sources("SARI")],
        [split(prepare(text)) for text in outputs.predictions],
        [[split(prepare(text)) for text in texts] for texts in outputs.references],
    )


def _split_13a(text: str) -> list[str]:
    return _TOKENIZER_13A(text).split()


def _split_single_blanks(text: str) -> list[str]:
    return text.split(" ")


_TOKENIZER_13A = tokenizer_13a.Tokenizer13a()
# How to split predictions and references, and how to split sources.
_TOKENIZERS: Mapping[str, tuple[Callable[[str], Tokens], Callable[[str], Tokens]]] = {
    "blanks": (str.split, str.split),
    "single-blanks": (_split_single_blanks, _split_single_blanks),
    "13a": (_split_13a, _split_13a),
    "13a-but-sources": (_split_13a, str.split),
}
