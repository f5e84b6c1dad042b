"""ROUGE-1, -2, -L and -Lsum by the rouge-score library: texts in, F1 scores out."""

import functools
import gzip
import importlib.metadata
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from nltk.stem import porter
from rouge_score import rouge_scorer, tokenizers

from bertgen_jax import errors
from bertgen_jax.errors import DataError
from bertgen_jax.metrics import measurement, sentences
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

MultiReference = Literal["best", "mean", "first"]
Sentences = Literal["newline", "split"]
Quantity = Literal["fmeasure", "precision", "recall"]

MULTI_REFERENCE = ("best", "mean", "first")
_QUANTITIES = ("precision", "recall", "fmeasure")  # in rouge-score's order
_SENTENCES: Mapping[str, Callable[[str], str]] = {
    "newline": lambda text: text,
    "split": lambda text: "\n".join(sentences.split(text)),
}
# Of a table of the longest common subsequence: a gigabyte, and five seconds.
_MOST_CELLS = 25_000_000
SENTENCE_ENDS = tuple(_SENTENCES)
_LIBRARY = f"rouge-score {importlib.metadata.version('rouge-score')}"


def measure(
    outputs: Outputs,
    *,
    stemming: bool = True,
    multi_reference: MultiReference = "best",
    sentence_ends: Sentences = "newline",
    quantity: Quantity = "fmeasure",
) -> list[Measurement]:
    """ROUGE-1, -2, -L and -Lsum, means over the examples.

    rougeL takes a text as one sequence of words. rougeLsum compares sentence by
    sentence: where neither prediction nor reference has two it equals rougeL.

    Args:
      outputs: predictions and references; a text without words scores 0.
      stemming: whether words of more than three letters are cut to their Porter stem
        (it moves rouge1 by about a point).
      multi_reference: what several references of one example give: "best", that with
        the best F1, for each of the four (rouge-score's own `score_multi`); "mean",
        their mean; "first", the first alone.
      sentence_ends: what tells sentences apart: "newline", line ends only; "split",
        also what `sentences.split` finds.
      quantity: F1, or one of the two that it is made of.

    Raises:
      ConfigError: an unknown choice.
    """
    stem = porter.PorterStemmer().stem if stemming else _unchanged
    signature = f"{_LIBRARY}|stem:{'yes' if stemming else 'no'}"
    return _measure(
        outputs, _words, stem, signature, multi_reference, sentence_ends, quantity
    )


def measure_155(
    outputs: Outputs,
    exceptions: str | pathlib.Path,
    *,
    multi_reference: MultiReference = "best",
    sentence_ends: Sentences = "newline",
    quantity: Quantity = "fmeasure",
) -> list[Measurement]:
    """The same as ROUGE-1.5.5 with -m computes it, whose numbers older papers print.

    It splits at hyphens, has a list of irregular forms, and stems by Porter's original
    algorithm. The published scores of XSum systems come out to 0.01.

    Args:
      outputs, multi_reference, sentence_ends, quantity: as in `measure`.
      exceptions: the irregular forms: a file of lines "form|base", also .gz; or
        ROUGE-1.5.5's folder of WordNet-2.0-Exceptions, with its .exc files.

    Raises:
      ConfigError: an unknown choice.
      DataError: there is no such file, or it holds something else.
    """
    bases = read_exceptions(exceptions)
    stemmer = porter.PorterStemmer(mode=porter.PorterStemmer.ORIGINAL_ALGORITHM)

    def stem(word: str) -> str:
        return bases.get(word) or stemmer.stem(word)

    signature = f"ROUGE-1.5.5 by {_LIBRARY}|stem:wordnet-porter"
    return _measure(
        outputs, _words_155, stem, signature, multi_reference, sentence_ends, quantity
    )


def read_exceptions(path: str | pathlib.Path) -> dict[str, str]:
    """The irregular forms of English words, each with its base.

    Raises:
      DataError: see `measure_155`.
    """
    path = pathlib.Path(path).expanduser()
    files = sorted(path.glob("*.exc")) if path.is_dir() else [path]
    bases: dict[str, str] = {}
    try:
        for file in files:
            opened = gzip.open if file.suffix == ".gz" else open
            with opened(file, "rt", encoding="utf-8") as lines:
                for line in lines:
                    # A form may have several bases, of which the first counts.
                    form, base, *_ = re.split(r"[| ]", line.strip())
                    bases.setdefault(form, base)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: no list of irregular forms: {reason}. ROUGE-1.5.5 brings one in "
            "data/WordNet-2.0-Exceptions."
        ) from None
    if not bases:
        raise DataError(f"{path} holds no irregular form, in lines or in .exc files.")
    return bases


def _measure(
    outputs: Outputs,
    split_words: Callable[[str], list[str]],
    stem: Callable[[str], str],
    signature: str,
    multi_reference: str,
    sentence_ends: str,
    quantity: str,
) -> list[Measurement]:
    errors.check_choice("multi_reference", multi_reference, MULTI_REFERENCE)
    errors.check_choice("sentence_ends", sentence_ends, _SENTENCES)
    errors.check_choice("quantity", quantity, _QUANTITIES)
    outputs.check_size(
        "ROUGE", _MOST_CELLS, lambda text: len(split_words(text.lower()))
    )
    tokenizer = _Tokenizer(split_words, stem)
    considered = 1 if multi_reference == "first" else None  # all
    split = _SENTENCES[sentence_ends]
    # In texts of one line rougeLsum is rougeL, and half of the time is saved.
    of_one_line = rouge_scorer.RougeScorer(NAMES[:3], tokenizer=tokenizer)
    of_lines = rouge_scorer.RougeScorer(NAMES, tokenizer=tokenizer)

    def score(prediction: str, reference: str) -> list[tuple[float, float, float]]:
        prediction, reference = split(prediction), split(reference)
        if "\n" in prediction or "\n" in reference:
            found = of_lines.score(reference, prediction)
        else:
            found = of_one_line.score(reference, prediction)
            found["rougeLsum"] = found["rougeL"]
        return [found[name] for name in NAMES]

    table = np.empty((len(outputs), len(NAMES)))
    column = _QUANTITIES.index(quantity)
    pairs = zip(outputs.predictions, outputs.references, strict=True)
    for row, (prediction, references) in enumerate(pairs):
        # [references, names, quantities]
        found = np.array([score(prediction, one) for one in references[:considered]])
        if multi_reference == "mean":
            table[row] = found[..., column].mean(axis=0)
        else:
            best = found[..., -1].argmax(axis=0)
            table[row] = found[best, np.arange(len(NAMES)), column]
    signature += f"|sentences:{sentence_ends}|references:{multi_reference}"
    suffix = "" if quantity == "fmeasure" else f"_{quantity}"
    return [
        measurement.mean(f"{name}{suffix}", 100 * values, signature)
        for name, values in zip(NAMES, table.T, strict=True)
    ]


class _Tokenizer(tokenizers.Tokenizer):
    """For rouge-score, whose own finds the stem of a word anew each time."""

    def __init__(
        self, split_words: Callable[[str], list[str]], stem: Callable[[str], str]
    ):
        self._split_words = split_words
        self._stem = functools.lru_cache(maxsize=1 << 20)(stem)

    def tokenize(self, text: str) -> list[str]:
        words = self._split_words(text.lower())
        return [self._stem(word) if len(word) > 3 else word for word in words]


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9]+", " ", text).split()


def _words_155(text: str) -> list[str]:
    words = re.sub(r"[^a-z0-9-]+", " ", text.replace("-", " - ")).split()
    return [word for word in words if word != "-"]


def _unchanged(word: str) -> str:
    return word
