"""SARI in its variants: sources, predictions and references in, scores out.

SARI asks of every n-gram, n from 1 to 4, what became of it: was it kept, added or
deleted, and did the references do the same (Xu et al. 2016). The programs that compute
it agree on that alone, and their numbers lie many points apart.
"""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from sacrebleu.tokenizers import tokenizer_13a

from bertgen_jax import errors
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import measurement
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.ngrams import ngrams
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.normalization import SEPARATOR

ORDERS = 4
OPERATIONS = ("keep", "add", "delete")

VariantName = Literal[
    "lasertagger", "tensor2tensor", "original", "easse", "easse-legacy", "huggingface"
]
Separators = Literal["removed", "kept"]
Tokenization = Literal["blanks", "single-blanks", "13a", "13a-but-sources"]
Counting = Literal["sums", "ratios", "mixed"]

Tokens = Sequence[Hashable]

_SEPARATORS = ("removed", "kept")
_ZEROS = itertools.repeat(0)


@dataclasses.dataclass(frozen=True)
class _Variant:
    """What one program does.

    Attributes:
      is_multiset: whether an n-gram that stands twice in a text counts twice.
      counting: how a share is taken over n-grams, see `operation_counts`.
      beta: of the F score of deletions; 0 is their precision alone.
      nothing: what a quotient 0/0 counts as.
      of_corpus: whether counts are summed over the examples, or scores averaged.
      has_betas: whether another beta is known as SARI.
      lowercase, separators, tokenization: of the texts.
    """

    is_multiset: bool
    counting: Counting
    beta: int
    nothing: int
    tokenization: Tokenization
    lowercase: bool = True
    separators: Separators = "kept"
    of_corpus: bool = False
    has_betas: bool = False


_LASERTAGGER = _Variant(
    is_multiset=False,
    counting="sums",
    beta=1,
    nothing=1,
    tokenization="blanks",
    separators="removed",
    has_betas=True,
)
_ORIGINAL = _Variant(
    is_multiset=True,
    counting="ratios",
    beta=0,
    nothing=0,
    tokenization="single-blanks",
)
_EASSE = _Variant(
    is_multiset=True,
    counting="sums",
    beta=1,
    nothing=0,
    tokenization="13a",
    of_corpus=True,
)
VARIANTS: Mapping[str, _Variant] = {
    # LaserTagger's score_lib.py: most likely what the paper reports.
    "lasertagger": _LASERTAGGER,
    # tensor2tensor's sari_hook.py as it is, which the paper's footnote names.
    "tensor2tensor": dataclasses.replace(
        _LASERTAGGER, beta=0, lowercase=False, separators="kept"
    ),
    # SARI.py by the authors of the metric, github.com/cocoxu/simplification.
    "original": _ORIGINAL,
    # EASSE (Alva-Manchego et al. 2019), the usual one of text simplification.
    "easse": _EASSE,
    # EASSE's numbers before 2019, on texts that are tokenised and lower-cased.
    "easse-legacy": dataclasses.replace(
        _EASSE, tokenization="13a-but-sources", lowercase=False
    ),
    # Hugging Face's metrics sari and wiki_split.
    "huggingface": dataclasses.replace(
        _ORIGINAL, counting="mixed", nothing=1, tokenization="13a"
    ),
}


def measure(
    outputs: Outputs,
    variant: VariantName = "lasertagger",
    *,
    beta: int | None = None,
    lowercase: bool | None = None,
    separators: Separators | None = None,
    tokenization: Tokenization | None = None,
    name: str = "sari",
) -> list[Measurement]:
    """SARI and its three parts, each 0 to 100.

    In lasertagger, tensor2tensor and huggingface an operation scores 100 where nothing
    was to be done and nothing is; in the others 0. So three empty texts score 100 or 0
    (8.3 in original, which finds an empty token and keeps it).

    Args:
      outputs: predictions, references and sources; every reference counts.
      variant: the program whose numbers are meant.
      beta: 1, deletions score by F1, or 0, by precision; None is the variant's own, and
        the only one but for lasertagger and tensor2tensor.
      lowercase, separators, tokenization: None is the variant's own. Separators are
        "removed", every " <::::> " is a blank, or "kept", it is a word. Tokens are
        "blanks", separated by blanks; "single-blanks", of which two enclose an empty
        token; "13a", sacreBLEU's; "13a-but-sources", where sources are "blanks".
      name: of SARI; its parts are NAME_keep, NAME_add and NAME_delete.

    Raises:
      ConfigError: an unknown choice.
      DataError: the sources are not known.
    """
    errors.check_choice("variant", variant, VARIANTS)
    settings = VARIANTS[variant]
    if beta is not None and beta != settings.beta and not settings.has_betas:
        raise ConfigError(f"SARI {variant} is defined by beta {settings.beta} alone.")
    given = {
        "beta": beta,
        "lowercase": lowercase,
        "separators": separators,
        "tokenization": tokenization,
    }
    settings = dataclasses.replace(
        settings, **{key: one for key, one in given.items() if one is not None}
    )
    errors.check_choice("beta", str(settings.beta), ("0", "1"))
    errors.check_choice("separators", settings.separators, _SEPARATORS)
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
    rules = {"beta": settings.beta, "nothing": settings.nothing}
    statistics = counts.reshape(len(outputs), -1)  # [n, 48]
    if settings.of_corpus:
        return [
            Measurement(
                one,
                signature,
                statistics,
                functools.partial(_value, column=column, **rules),
            )
            for column, one in enumerate(names)
        ]
    values = _values(statistics, **rules)
    return [
        measurement.mean(one, column, signature)
        for one, column in zip(names, values.T, strict=True)
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
    """What was done, what was to be done, and how much of the two is the same.

    With s, c and r the counts of an n-gram in source, prediction and all m references,
    kept is min(m s, m c), to be kept min(m s, r); deleted is max(0, m s - m c), to be
    deleted max(0, m s - r); right is the smaller of the two (of deletions, but for
    "sums", max(0, m s - m c - r)). Added are n-grams, once, that the source does not
    have.

    Args:
      sources, predictions: n texts.
      references: for each text one or several.
      is_multiset: whether counts are more than 0 and 1; if not, m is the number of
        references that have n-grams at all.
      counting: "sums", all of one kind are summed before a quotient is taken; "ratios",
        quotients of single n-grams are; "mixed", quotients, but for the recall of what
        is kept.

    Returns:
      f64[n, 4, 3, 2, 2]: of each text, for n-grams of each order, of what is kept,
      added and deleted, for precision and recall, a part and its whole.
    """
    found = _find(sources, predictions, references, is_multiset)
    source, prediction, reference = found.grams
    sizes = found.sizes
    counts = np.empty((len(sizes), len(OPERATIONS), 2, 2))

    in_both = found.total((prediction > 0) & (reference > 0))
    right = sizes[:, 3] - in_both
    added = sizes[:, 1] - found.total(prediction > 0)
    wanted = sizes[:, 2] - found.total(reference > 0)
    counts[:, 1] = np.stack([_pair(right, added), _pair(right, wanted)], axis=1)

    voices = np.repeat(found.voices, sizes[:, 0])
    source, prediction = voices * source, voices * prediction
    kept, to_keep = np.minimum(source, prediction), np.minimum(source, reference)
    gone, to_go = np.maximum(0, source - prediction), np.maximum(0, source - reference)
    if counting == "sums":
        rightly_gone = np.minimum(gone, to_go)
    else:
        rightly_gone = np.maximum(0, gone - reference)
    for operation, right, *wholes in (
        (0, np.minimum(kept, to_keep), kept, to_keep),
        (2, rightly_gone, gone, to_go),
    ):
        for column, whole in enumerate(wholes):
            if counting == "sums" or (counting == "mixed" and column == 1):
                pair = _pair(found.total(right), found.total(whole))
            else:
                shares = _quotients(right, whole, nothing=0)
                pair = _pair(found.total(shares), found.total(whole > 0))
            counts[:, operation, column] = pair
    return counts.reshape(len(sources), ORDERS, len(OPERATIONS), 2, 2)


def operation_scores(counts: np.ndarray, *, beta: int, nothing: int) -> np.ndarray:
    """The scores 0 to 1 of what is kept, added and deleted.

    Args:
      counts: f64[..., 3, 2, 2], of `operation_counts` or summed.
      beta: of the F score of deletions, 0 or 1.
      nothing: what 0/0 counts as.

    Returns:
      f64[..., 3]: F scores; 0 where precision or recall is 0.
    """
    shares = _quotients(counts[..., 0], counts[..., 1], nothing)
    precision, recall = shares[..., 0], shares[..., 1]
    scores = _quotients(2 * precision * recall, precision + recall, nothing=0)
    if beta == 0:
        scores[..., 2] = precision[..., 2]
    return scores


@dataclasses.dataclass(frozen=True)
class _Found:
    """The n-grams of some texts; a segment is those of one text and one order.

    Attributes:
      grams: f64[3, G], of every distinct n-gram of a source, in the order of segments,
        the counts in source, prediction and all references.
      sizes: i64[segments, 4], how many distinct n-grams source, prediction and
        references have, and prediction and references in common.
      voices: i64[segments], how many references count.
    """

    grams: np.ndarray
    sizes: np.ndarray
    voices: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums of values [G] over segments: f64[segments]."""
        segments = np.repeat(np.arange(len(self.sizes)), self.sizes[:, 0])
        return np.bincount(segments, values, minlength=len(self.sizes))


def _find(
    sources: Sequence[Tokens],
    predictions: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    is_multiset: bool,
) -> _Found:
    count = Counter if is_multiset else _count_once
    grams: tuple[list[int], ...] = ([], [], [])
    sizes, voices = [], []
    for source, prediction, several in zip(
        sources, predictions, references, strict=True
    ):
        for order in range(1, ORDERS + 1):
            own = count(ngrams(source, order))
            predicted = count(ngrams(prediction, order))
            wanted = _count_all([ngrams(one, order) for one in several], is_multiset)
            grams[0].extend(own.values())
            grams[1].extend(map(predicted.get, own, _ZEROS))
            grams[2].extend(map(wanted.get, own, _ZEROS))
            shared = len(predicted.keys() & wanted.keys())
            sizes.append((len(own), len(predicted), len(wanted), shared))
            # A reference too short to have n-grams of this order has no say in sets.
            voices.append(
                len(several)
                if is_multiset
                else sum(len(one) >= order for one in several) or 1
            )
    return _Found(np.array(grams, np.float64), np.array(sizes), np.array(voices))


def _count_once(grams: Iterable[Hashable]) -> dict[Hashable, int]:
    return dict.fromkeys(grams, 1)


def _count_all(
    texts: Sequence[Iterable[Hashable]], is_multiset: bool
) -> dict[Hashable, int]:
    """Counts over all texts; of sets, in how many texts an n-gram stands."""
    if is_multiset:
        return Counter(itertools.chain.from_iterable(texts))
    if len(texts) == 1:
        return _count_once(texts[0])
    return Counter(itertools.chain.from_iterable(map(set, texts)))


def _pair(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.stack([part, whole], axis=-1)


def _quotients(parts: np.ndarray, wholes: np.ndarray, nothing: float) -> np.ndarray:
    empty = np.full_like(parts, nothing)
    return np.divide(parts, wholes, out=empty, where=wholes != 0)


def _values(statistics: np.ndarray, beta: int, nothing: int) -> np.ndarray:
    """Counts f64[..., 48] to SARI and its parts f64[..., 4], 0 to 100."""
    shape = (*statistics.shape[:-1], ORDERS, len(OPERATIONS), 2, 2)
    scores = operation_scores(statistics.reshape(shape), beta=beta, nothing=nothing)
    parts = 100 * scores.mean(axis=-2)  # over the orders
    return np.concatenate([parts.mean(axis=-1, keepdims=True), parts], axis=-1)


def _value(statistics: np.ndarray, column: int, beta: int, nothing: int) -> np.ndarray:
    return _values(statistics, beta, nothing)[..., column]


def _tokens(
    outputs: Outputs, settings: _Variant
) -> tuple[list[Tokens], list[Tokens], list[list[Tokens]]]:
    split, split_source = _TOKENIZERS[settings.tokenization]

    def prepared(text: str) -> str:
        if settings.lowercase:
            text = text.lower()
        if settings.separators == "removed":
            text = text.replace(f" {SEPARATOR} ", " ")
        return text

    return (
        [split_source(prepared(one)) for one in outputs.known_sources("SARI")],
        [split(prepared(one)) for one in outputs.predictions],
        [[split(prepared(one)) for one in several] for several in outputs.references],
    )


def _split_13a(text: str) -> list[str]:
    return _TOKENIZER_13A(text).split()


def _split_single_blanks(text: str) -> list[str]:
    return text.split(" ")


_TOKENIZER_13A = tokenizer_13a.Tokenizer13a()
# How to split predictions and references, and how sources.
_TOKENIZERS: Mapping[str, tuple[Callable[[str], Tokens], Callable[[str], Tokens]]] = {
    "blanks": (str.split, str.split),
    "single-blanks": (_split_single_blanks, _split_single_blanks),
    "13a": (_split_13a, _split_13a),
    "13a-but-sources": (_split_13a, str.split),
}
