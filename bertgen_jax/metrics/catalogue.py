"""All metrics by the names that configs and command lines use."""

import dataclasses
import functools
import itertools
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertgen_jax import errors
from bertgen_jax.errors import ConfigError
from bertgen_jax.metrics import (
    analysis,
    bleu,
    exact_match,
    metric_value,
    rouge,
    sacrebleu_metrics,
    sari,
)
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs
from bertgen_jax.normalization import normalize


@dataclasses.dataclass(frozen=True)
class Metric:
    """One way to score outputs.

    Attributes:
      compute: maps outputs to one value or several.
      description: one line.
      names: the names of the values, in their order. Each begins with the name of the
        metric, so that several metrics fit in one table.
      lower_is_better: whether a smaller value is a better one.
      is_descriptive: whether the values describe texts and neither direction is better.
      needs_sources: whether outputs without sources are refused.
      needs_exceptions: whether `compute` needs the option `exceptions`, the path of a
        list of irregular forms.
    """

    compute: Callable[..., list[MetricValue]]
    description: str
    names: tuple[str, ...]
    lower_is_better: bool = False
    is_descriptive: bool = False
    needs_sources: bool = False
    needs_exceptions: bool = False


def get(name: str) -> Metric:
    """Returns the metric called `name`.

    Raises:
      ConfigError: the name is unknown.
    """
    errors.check_choice("metric", name, METRICS)
    return METRICS[name]


def compute(
    names: Sequence[str],
    outputs: Outputs,
    options: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
    *,
    normalization: Sequence[str] = (),
) -> list[MetricValue]:
    """Computes metrics in the given order, each of them once.

    Everything is checked before the first metric is computed.

    Args:
      names: of `METRICS`.
      outputs: the texts to score.
      options: by metric, the keyword arguments of its `compute`. rouge155 needs
        `exceptions`: see `rouge.compute_155`.
      normalization: steps of `normalization.STEPS` that are applied to all texts first;
        the signatures then say so, as "texts:quotes".

    Raises:
      ConfigError: an unknown name, or missing exceptions.
      DataError: missing sources, or exceptions that cannot be read.
    """
    metrics = {name: get(name) for name in names}
    for name, metric in metrics.items():
        if metric.needs_sources:
            outputs.known_sources(name)
        if metric.needs_exceptions and not options.get(name, {}).get("exceptions"):
            raise ConfigError(
                f"{name} needs a list of irregular forms (--wordnet-exceptions); "
                f"{rouge.WHERE_EXCEPTIONS_ARE}"
            )
    if normalization:
        outputs = outputs.map(lambda text: normalize(text, normalization))
    values = [
        value
        for name, metric in metrics.items()
        for value in metric.compute(outputs, **options.get(name, {}))
    ]
    if normalization:
        values = metric_value.with_choice(values, f"texts:{'+'.join(normalization)}")
    return values


def value_names(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the values that some metrics give, in their order.

    Raises:
      ConfigError: an unknown metric.
    """
    return tuple(itertools.chain.from_iterable(get(name).names for name in names))


def metric_of(value_name: str) -> Metric | None:
    """Returns the metric that gives a value of this name, or None."""
    for metric in METRICS.values():
        if value_name in metric.names:
            return metric
    return None


def _rouge_155(
    outputs: Outputs, exceptions: str | pathlib.Path, **choices: Any
) -> list[MetricValue]:
    """Computes rouge155_1, _2, _L and _Lsum."""
    return [
        dataclasses.replace(value, name=_name_155(value.name))
        for value in rouge.compute_155(outputs, exceptions, **choices)
    ]


def _name_155(name: str) -> str:
    return name.replace("rouge", "rouge155_")


def _sari(
    name: str, description: str, variant: sari.VariantName, **choices: int
) -> Metric:
    return Metric(
        functools.partial(sari.compute, variant=variant, name=name, **choices),
        description,
        names=sari.value_names(name),
        needs_sources=True,
    )


def _bleu(name: str, description: str, **choices: Any) -> Metric:
    return Metric(
        functools.partial(bleu.compute, name=name, **choices),
        description,
        names=(name,),
    )


def _exact(
    name: str, description: str, normalization: exact_match.Normalization
) -> Metric:
    return Metric(
        functools.partial(exact_match.compute, normalization=normalization, name=name),
        description,
        names=(name,),
    )


METRICS: Mapping[str, Metric] = {
    "rouge": Metric(
        rouge.compute,
        "ROUGE-1, -2, -L, -Lsum F1 by rouge-score, stemmed",
        names=rouge.NAMES,
    ),
    "rouge155": Metric(
        _rouge_155,
        "ROUGE as ROUGE-1.5.5 -m computes it, for older papers",
        names=tuple(map(_name_155, rouge.NAMES)),
        needs_exceptions=True,
    ),
    "bleu": _bleu("bleu", "sacreBLEU, 13a, cased"),
    "bleu-intl": _bleu("bleu-intl", "sacreBLEU, intl, cased", tokenization="intl"),
    "bleu-lc": _bleu("bleu-lc", "sacreBLEU, 13a, lower-cased", lowercase=True),
    "bleu-none": _bleu(
        "bleu-none", "sacreBLEU, without tokenization", tokenization="none"
    ),
    "bleu-tfmodels": Metric(
        bleu.compute_tfmodels,
        "uncased BLEU of the TF Models script, quotes in ASCII: the paper's on WMT",
        names=("bleu-tfmodels",),
    ),
    "bleu-nltk": Metric(
        bleu.compute_nltk,
        "BLEU of NLTK, cased, separators removed: the paper's on WikiSplit",
        names=("bleu-nltk",),
    ),
    "chrf": Metric(
        sacrebleu_metrics.compute_chrf, "chrF2 by sacrebleu", names=("chrf",)
    ),
    "chrf++": Metric(
        functools.partial(sacrebleu_metrics.compute_chrf, word_orders=2, name="chrf++"),
        "chrF2++ by sacrebleu, with n-grams of 1 and 2 words",
        names=("chrf++",),
    ),
    "ter": Metric(
        sacrebleu_metrics.compute_ter,
        "translation edit rate by sacrebleu; lower is better",
        names=("ter",),
        lower_is_better=True,
    ),
    "sari": _sari(
        "sari", "SARI of LaserTagger, beta 1: most likely the paper's", "lasertagger"
    ),
    "sari-beta0": _sari(
        "sari-beta0",
        "SARI of LaserTagger with beta 0, which favours copies",
        "lasertagger",
        beta=0,
    ),
    "sari-original": _sari("sari-original", "SARI of its authors' script", "original"),
    "sari-easse": _sari("sari-easse", "SARI of EASSE, over the corpus", "easse"),
    "sari-easse-legacy": _sari(
        "sari-easse-legacy",
        "SARI of EASSE for tokenized, lower-cased texts",
        "easse-legacy",
    ),
    "sari-huggingface": _sari(
        "sari-huggingface", "SARI of Hugging Face's wiki_split", "huggingface"
    ),
    "exact": _exact("exact", "equal to a reference", "none"),
    "exact-lower": _exact(
        "exact-lower", "equal to a reference, case ignored", "lowercase"
    ),
    "exact-huggingface": _exact(
        "exact-huggingface",
        "exact match of Hugging Face's wiki_split: no punctuation, no articles",
        "huggingface",
    ),
    "length": Metric(
        analysis.compute_length,
        "mean words; percent of the references'",
        names=("length", "length_ratio"),
        is_descriptive=True,
    ),
    "repetition": Metric(
        analysis.compute_repetition,
        "percent of predictions that repeat a rare word",
        names=("repetition",),
        is_descriptive=True,
    ),
    "novelty": Metric(
        analysis.compute_novelty,
        "percent of n-grams, n from 1 to 4, that the source does not have",
        names=tuple(f"novelty{n}" for n in range(1, analysis.NOVELTY_ORDERS + 1)),
        is_descriptive=True,
        needs_sources=True,
    ),
}
