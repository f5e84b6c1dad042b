"""Metrics by the names that a command line takes: names and outputs in, scores out."""

import dataclasses
import functools
import itertools
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.metrics import analysis, bleu, chrf, exact_match, rouge, sari, ter
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs


@dataclasses.dataclass(frozen=True)
class Metric:
    """One way to score outputs.

    Attributes:
      measure: outputs to measurements, whose names begin with the metric's: those of
        several metrics can stand in one table.
      description: one line.
      names: the names of its values, in the order of the measurements.
      lower_is_better: whether a smaller value is a better one.
      is_descriptive: whether its values describe texts and neither direction is better.
      needs_sources: whether outputs without sources are refused.
      needs_exceptions: whether `measure` must have `exceptions`, the path of a list of
        irregular forms, as well.
    """

    measure: Callable[..., list[Measurement]]
    description: str
    names: tuple[str, ...]
    lower_is_better: bool = False
    is_descriptive: bool = False
    needs_sources: bool = False
    needs_exceptions: bool = False


def metric(name: str) -> Metric:
    """The metric called `name`.

    Raises:
      ConfigError: there is none.
    """
    if name not in METRICS:
        raise ConfigError(
            f"There is no metric {name!r}.{nearest(name, METRICS)} "
            f"Known are {', '.join(METRICS)}."
        )
    return METRICS[name]


def measure(
    names: Sequence[str],
    outputs: Outputs,
    options: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> list[Measurement]:
    """Measures all that is asked for, in this order; all of it, or nothing.

    Args:
      names: of `METRICS`.
      outputs: to be scored.
      options: by metric, what its `measure` takes beside the outputs. rouge155 must
        have `exceptions`: see `rouge.measure_155`.

    Raises:
      ConfigError: an unknown name, or exceptions are not given.
      DataError: there are no sources, or no such exceptions.
    """
    found = {name: metric(name) for name in names}  # each once
    for name, one in found.items():
        if one.needs_sources:
            outputs.known_sources(name)
        if one.needs_exceptions and not options.get(name, {}).get("exceptions"):
            raise ConfigError(
                f"{name} needs a list of irregular forms (--wordnet-exceptions); "
                "ROUGE-1.5.5 brings one in data/WordNet-2.0-Exceptions."
            )
    return [
        measured
        for name, one in found.items()
        for measured in one.measure(outputs, **options.get(name, {}))
    ]


def value_names(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the values that some metrics give, in their order.

    Raises:
      ConfigError: an unknown metric.
    """
    return tuple(itertools.chain.from_iterable(metric(name).names for name in names))


def metric_of(value_name: str) -> Metric | None:
    """Returns the metric that gives a value of this name, or None."""
    for candidate in METRICS.values():
        if value_name in candidate.names:
            return candidate
    return None


def _rouge_155(
    outputs: Outputs, exceptions: str | pathlib.Path, **choices: str
) -> list[Measurement]:
    """rouge155_1, _2, _L and _Lsum, which stand beside rouge1 and its like."""
    return [
        dataclasses.replace(measurement, name=_name_155(measurement.name))
        for measurement in rouge.measure_155(outputs, exceptions, **choices)
    ]


def _name_155(name: str) -> str:
    return name.replace("rouge", "rouge155_")


def _sari(name: str, description: str, variant: str, **choices: int) -> Metric:
    measure = functools.partial(sari.measure, variant=variant, name=name, **choices)
    return Metric(
        measure, description, names=sari.value_names(name), needs_sources=True
    )


def _bleu(name: str, description: str, **choices: str | bool) -> Metric:
    return Metric(
        functools.partial(bleu.measure, name=name, **choices),
        description,
        names=(name,),
    )


def _exact(name: str, description: str, normalization: str) -> Metric:
    return Metric(
        functools.partial(exact_match.measure, normalization=normalization, name=name),
        description,
        names=(name,),
    )


METRICS: Mapping[str, Metric] = {
    "rouge": Metric(
        rouge.measure,
        "ROUGE-1, -2, -L, -Lsum F1 by rouge-score, stemmed",
        names=rouge.NAMES,
    ),
    "rouge155": Metric(
        _rouge_155,
        "the same as ROUGE-1.5.5 -m computes it, for older papers",
        names=tuple(map(_name_155, rouge.NAMES)),
        needs_exceptions=True,
    ),
    "bleu": _bleu("bleu", "sacreBLEU, 13a, cased"),
    "bleu-intl": _bleu("bleu-intl", "sacreBLEU, intl, cased", tokenization="intl"),
    "bleu-lc": _bleu("bleu-lc", "sacreBLEU, 13a, lower-cased", lowercase=True),
    "bleu-none": _bleu(
        "bleu-none", "sacreBLEU, of words as they are", tokenization="none"
    ),
    "bleu-tfmodels": Metric(
        bleu.measure_tfmodels,
        "uncased BLEU of the TF Models script, quotes in ASCII: the paper's on WMT",
        names=("bleu-tfmodels",),
    ),
    "bleu-nltk": Metric(
        bleu.measure_nltk,
        "BLEU of NLTK, cased, separators removed: the paper's on WikiSplit",
        names=("bleu-nltk",),
    ),
    "chrf": Metric(chrf.measure, "chrF2 by sacrebleu", names=("chrf",)),
    "chrf++": Metric(
        functools.partial(chrf.measure, word_orders=2, name="chrf++"),
        "chrF2++ by sacrebleu, with words and pairs of them",
        names=("chrf++",),
    ),
    "ter": Metric(
        ter.measure,
        "translation edit rate by sacrebleu; less is better",
        names=("ter",),
        lower_is_better=True,
    ),
    "sari": _sari(
        "sari", "SARI of LaserTagger, beta 1: most likely the paper's", "lasertagger"
    ),
    "sari-beta0": _sari(
        "sari-beta0",
        "the same with beta 0, which favours copies",
        "lasertagger",
        beta=0,
    ),
    "sari-original": _sari("sari-original", "SARI of its authors' script", "original"),
    "sari-easse": _sari("sari-easse", "SARI of EASSE, over the corpus", "easse"),
    "sari-easse-legacy": _sari(
        "sari-easse-legacy", "EASSE on tokenised, lower-cased texts", "easse-legacy"
    ),
    "sari-huggingface": _sari(
        "sari-huggingface", "SARI of Hugging Face's wiki_split", "huggingface"
    ),
    "exact": _exact("exact", "equal to a reference", "none"),
    "exact-lower": _exact("exact-lower", "the same, case ignored", "lowercase"),
    "exact-huggingface": _exact(
        "exact-huggingface",
        "the same of Hugging Face's wiki_split: no punctuation, no articles",
        "huggingface",
    ),
    "length": Metric(
        analysis.measure_length,
        "mean words; percent of the references'",
        names=("length", "length_ratio"),
        is_descriptive=True,
    ),
    "repetition": Metric(
        analysis.measure_repetition,
        "percent of predictions that repeat a rare word",
        names=("repetition",),
        is_descriptive=True,
    ),
    "novelty": Metric(
        analysis.measure_novelty,
        "percent of n-grams, n from 1 to 4, that the source does not have",
        names=tuple(f"novelty{n}" for n in range(1, analysis.NOVELTY_ORDERS + 1)),
        is_descriptive=True,
        needs_sources=True,
    ),
}
