"""ROUGE-1, -2, -L and -Lsum by the rouge-score library: texts in, F1 scores out."""

import importlib.metadata
from collections.abc import Sequence
from typing import Literal

import numpy as np
from rouge_score import rouge_scorer

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.metrics import bootstrap
from bertgen_jax.metrics.score import Score

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

MultiReference = Literal["best", "mean", "first"]

_COMBINE = {"best": np.max, "mean": np.mean, "first": np.max}  # the first is alone


def rouge(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    stemming: bool = True,
    multi_reference: MultiReference = "best",
    bootstrap_samples: int = 1_000,
    seed: int = 0,
) -> dict[str, Score]:
    """Mean F1 of ROUGE-1, -2, -L and -Lsum with bootstrap intervals.

    rougeL takes a text as one sequence of words. rougeLsum compares sentence by
    sentence, and sentences are told apart by line ends only: where neither prediction
    nor reference has one it equals rougeL.

    Args:
      predictions: n texts; an empty one scores 0.
      references: for each prediction its references, at least one.
      stemming: whether words of more than three letters are cut to their Porter stem
        (it moves rouge1 by about a point).
      multi_reference: what several references of one example give: "best", the best F1
        for each of the four (rouge-score's own `score_multi`); "mean", their mean;
        "first", that of the first alone.
      bootstrap_samples: how often the examples are resampled for the 95% interval.
      seed: of the resampling.

    Returns:
      A `Score` by name, in the order of `NAMES`, with the F1 of each example.

    Raises:
      DataError: as `per_example`.
      ConfigError: when `multi_reference` is unknown or `bootstrap_samples` below 1.
    """
    f1 = per_example(
        predictions, references, stemming=stemming, multi_reference=multi_reference
    )
    low, high = bootstrap.interval(
        np.stack([f1[name] for name in NAMES], axis=1),
        samples=bootstrap_samples,
        seed=seed,
    )
    signature = "|".join(
        [
            f"rouge-score {importlib.metadata.version('rouge-score')}",
            f"stem:{'yes' if stemming else 'no'}",
            "sentences:newline",
            f"references:{multi_reference}",
            f"bootstrap:{bootstrap_samples}",
            f"seed:{seed}",
            f"n:{len(predictions)}",
        ]
    )
    return {
        name: Score(
            name=name,
            value=float(np.mean(f1[name])),
            low=float(low[column]),
            high=float(high[column]),
            signature=signature,
            per_example=f1[name],
        )
        for column, name in enumerate(NAMES)
    }


def per_example(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    stemming: bool = True,
    multi_reference: MultiReference = "best",
) -> dict[str, np.ndarray]:
    """F1 of each example: what `rouge` takes the mean of, and all of its cost.

    Args:
      predictions: as in `rouge`, like all that follow.
      references: n lists of texts.
      stemming: whether words are stemmed.
      multi_reference: how several references count.

    Returns:
      f64[n] by name, 0 to 100.

    Raises:
      DataError: when the counts differ, nothing is to be scored, or an example has no
        reference.
      ConfigError: when `multi_reference` is unknown.
    """
    if multi_reference not in _COMBINE:
        raise ConfigError(
            f"multi_reference is one of {', '.join(_COMBINE)}; found "
            f"{multi_reference!r}."
        )
    _check(predictions, references)
    combine = _COMBINE[multi_reference]
    considered = 1 if multi_reference == "first" else None  # all
    # In texts of one line rougeLsum is rougeL, and half of the time is saved.
    of_one_line = rouge_scorer.RougeScorer(NAMES[:3], use_stemmer=stemming)
    of_lines = rouge_scorer.RougeScorer(NAMES, use_stemmer=stemming)

    def f1(prediction: str, reference: str) -> list[float]:
        if "\n" in prediction or "\n" in reference:
            scores = of_lines.score(reference, prediction)
        else:
            scores = of_one_line.score(reference, prediction)
            scores["rougeLsum"] = scores["rougeL"]
        return [scores[name].fmeasure for name in NAMES]

    table = [
        combine([f1(prediction, text) for text in candidates[:considered]], axis=0)
        for prediction, candidates in zip(predictions, references, strict=True)
    ]  # [n, 4]
    return dict(zip(NAMES, 100 * np.asarray(table, np.float64).T, strict=True))


def _check(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(references):
        raise DataError(
            f"There are {len(predictions)} predictions but {len(references)} lists of "
            "references; the n-th prediction is scored by the n-th list."
        )
    if not predictions:
        raise DataError("There is no prediction to score.")
    for index, candidates in enumerate(references):
        if isinstance(candidates, str) or not candidates:
            raise DataError(
                f"The references of example {index} (counted from 0) are "
                f"{candidates!r}; expected a list of one text or more."
            )
