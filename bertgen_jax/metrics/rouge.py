"""ROUGE-1, -2, -L and -Lsum by the rouge-score library, or as ROUGE-1.5.5 has them."""

import functools
import gzip
import importlib.metadata
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from bertgen_jax import errors
from bertgen_jax.errors import DataError
from bertgen_jax.metrics import metric_value
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.metrics.text import split_sentences

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

MultiReference = Literal["best", "mean", "first"]
SentenceEnds = Literal["newline", "split"]
Quantity = Literal["precision", "recall", "fmeasure"]  # in rouge-score's order

MULTI_REFERENCE = get_args(MultiReference)
WHERE_EXCEPTIONS_ARE = "ROUGE-1.5.5 ships one in data/WordNet-2.0-Exceptions."
_QUANTITIES = get_args(Quantity)
_SENTENCES: Mapping[str, Callable[[str], str]] = {
    "newline": lambda text: text,
    "split": lambda text: "\n".join(split_sentences(text)),
}
# Of the table of the longest common subsequence: a gigabyte, and five seconds.
_MAX_CELLS = 25_000_000
SENTENCE_ENDS = tuple(_SENTENCES)
_LIBRARY = f"rouge-score {importlib.metadata.version('rouge-score')}"


def compute(
    outputs: Outputs,
    *,
    stemming: bool = True,
    multi_reference: MultiReference = "best",
    sentence_ends: SentenceEnds = "newline",
    quantity: Quantity = "fmeasure",
) -> list[MetricValue]:
    """Computes ROUGE-1, -2, -L and -Lsum, each the mean over the examples.

    rougeL takes a text as one sequence of words. rougeLsum compares sentence by
    sentence; it equals rougeL if prediction and reference have one sentence each.

    Args:
      outputs: predictions and references; a text without words scores 0.
      stemming: whether words of more than three letters are cut to their Porter stem
        (it moves rouge1 by about a point).
      multi_reference: how several references of one example count. "best": the one
        with the best F1, for each of the four metrics (`score_multi` of rouge-score);
        "mean": the mean over them; "first": only the first.
      sentence_ends: where sentences end. "newline": at line ends only; "split": also
        where `text.split_sentences` finds an end.
      quantity: F1, precision or recall.

    Raises:
      ConfigError: an unknown choice.
      DataError: a text is too long.
    """
    stem = _porter_stemmer().stem if stemming else _unchanged
    signature = f"{_LIBRARY}|stem:{'yes' if stemming else 'no'}"
    return _compute(
        outputs, _words, stem, signature, multi_reference, sentence_ends, quantity
    )


def compute_155(
    outputs: Outputs,
    exceptions: str | pathlib.Path,
    *,
    multi_reference: MultiReference = "best",
    sentence_ends: SentenceEnds = "newline",
    quantity: Quantity = "fmeasure",
) -> list[MetricValue]:
    """Computes the ROUGE of older papers, that of ROUGE-1.5.5 with the option -m.

    It splits words at hyphens, has a list of irregular forms, and stems by Porter's
    original algorithm. It reproduces the published scores of XSum systems to 0.01.

    Args:
      outputs, multi_reference, sentence_ends, quantity: as in `compute`.
      exceptions: the irregular forms: a file of lines "form|base", also .gz; or the
        folder WordNet-2.0-Exceptions of ROUGE-1.5.5, with its .exc files.

    Raises:
      ConfigError: an unknown choice.
      DataError: a text is too long, or `exceptions` is missing or malformed.
    """
    bases = read_exceptions(exceptions)
    stemmer = _porter_stemmer("ORIGINAL_ALGORITHM")

    def stem(word: str) -> str:
        return bases.get(word) or stemmer.stem(word)

    signature = f"ROUGE-1.5.5 by {_LIBRARY}|stem:wordnet-porter"
    return _compute(
        outputs, _words_155, stem, signature, multi_reference, sentence_ends, quantity
    )


def read_exceptions(path: str | pathlib.Path) -> dict[str, str]:
    """Reads a list of irregular forms of English words; see `compute_155`.

    Returns:
      The base of each form, such as {"mice": "mouse"}.

    Raises:
      DataError: the list is missing, malformed or empty.
    """
    path = pathlib.Path(path).expanduser()
    files = sorted(path.glob("*.exc")) if path.is_dir() else [path]
    bases: dict[str, str] = {}
    try:
        for file in files:
            open_file = gzip.open if file.suffix == ".gz" else open
            with open_file(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    # Of several bases of a form the first counts.
                    form, base, *_ = re.split(r"[| ]", line.strip())
                    bases.setdefault(form, base)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} is not a list of irregular forms: {reason}. {WHERE_EXCEPTIONS_ARE}"
        ) from None
    if not bases:
        raise DataError(f"{path} holds no irregular forms, in lines or in .exc files.")
    return bases


def _compute(
    outputs: Outputs,
    split_words: Callable[[str], list[str]],
    stem: Callable[[str], str],
    signature: str,
    multi_reference: str,
    sentence_ends: str,
    quantity: str,
) -> list[MetricValue]:
    errors.check_choice("multi_reference", multi_reference, MULTI_REFERENCE)
    errors.check_choice("sentence_ends", sentence_ends, _SENTENCES)
    errors.check_choice("quantity", quantity, _QUANTITIES)
    outputs.check_size("ROUGE", _MAX_CELLS, lambda text: len(split_words(text.lower())))
    from rouge_score import rouge_scorer  # see `_porter_stemmer`

    tokenizer = _Tokenizer(split_words, stem)
    limit = 1 if multi_reference == "first" else None  # of references; None is all
    split = _SENTENCES[sentence_ends]
    # In texts of one line rougeLsum equals rougeL; not computing it halves the time.
    single_line_scorer = rouge_scorer.RougeScorer(NAMES[:3], tokenizer=tokenizer)
    scorer = rouge_scorer.RougeScorer(NAMES, tokenizer=tokenizer)

    def score(prediction: str, reference: str) -> list[tuple[float, float, float]]:
        prediction, reference = split(prediction), split(reference)
        if "\n" in prediction or "\n" in reference:
            scores = scorer.score(reference, prediction)
        else:
            scores = single_line_scorer.score(reference, prediction)
            scores["rougeLsum"] = scores["rougeL"]
        return [scores[name] for name in NAMES]

    table = np.empty((len(outputs), len(NAMES)))
    column = _QUANTITIES.index(quantity)
    pairs = zip(outputs.predictions, outputs.references, strict=True)
    for row, (prediction, references) in enumerate(pairs):
        # [references, names, quantities]
        scores = np.array(
            [score(prediction, reference) for reference in references[:limit]]
        )
        if multi_reference == "mean":
            table[row] = scores[..., column].mean(axis=0)
        else:
            best = scores[..., -1].argmax(axis=0)
            table[row] = scores[best, np.arange(len(NAMES)), column]
    signature += f"|sentences:{sentence_ends}|references:{multi_reference}"
    suffix = "" if quantity == "fmeasure" else f"_{quantity}"
    return [
        metric_value.mean(f"{name}{suffix}", 100 * values, signature)
        for name, values in zip(NAMES, table.T, strict=True)
    ]


def _porter_stemmer(mode: str = "NLTK_EXTENSIONS") -> Any:
    # NLTK imports scipy: a second, which a run spends at its first evaluation only.
    from nltk.stem import porter

    return porter.PorterStemmer(mode=mode)


class _Tokenizer:
    """A tokenizer for rouge-score that remembers stems; its own stems words anew."""

    def __init__(
        self, split_words: Callable[[str], list[str]], stem: Callable[[str], str]
    ):
        self._split_words = split_words
        self._stem = functools.lru_cache(maxsize=1 << 20)(stem)

    def tokenize(self, text: str) -> list[str]:
        """Returns the stems of a text."""
        words = self._split_words(text.lower())
        return [self._stem(word) if len(word) > 3 else word for word in words]


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9]+", " ", text).split()


def _words_155(text: str) -> list[str]:
    words = re.sub(r"[^a-z0-9-]+", " ", text.replace("-", " - ")).split()
    return [word for word in words if word != "-"]


def _unchanged(word: str) -> str:
    return word
