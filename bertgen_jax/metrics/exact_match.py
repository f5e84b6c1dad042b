"""Exact match: the percentage of predictions that equal one of their references."""

import re
import string
from collections.abc import Callable, Mapping
from typing import Literal

from bertgen_jax import errors
from bertgen_jax.metrics import metric_value
from bertgen_jax.metrics.metric_value import MetricValue
from bertgen_jax.metrics.outputs import Outputs

Normalization = Literal["none", "lowercase", "huggingface"]


def compute(
    outputs: Outputs, *, normalization: Normalization = "none", name: str = "exact"
) -> list[MetricValue]:
    """Computes the percentage of predictions that equal one of their references.

    Whitespace and sentence separators count, also at the ends. An empty prediction
    equals an empty reference.

    Args:
      outputs: predictions and references.
      normalization: of both sides: "none"; "lowercase", as LaserTagger's scorer;
        "huggingface", as Hugging Face's metric wiki_split: lower-case, without ASCII
        punctuation, articles and repeated whitespace. The paper does not use the last.
      name: of the value.

    Raises:
      ConfigError: an unknown normalization.
    """
    errors.check_choice("normalization", normalization, _NORMALIZATIONS)
    normalize = _NORMALIZATIONS[normalization]
    hits = [
        100 * (normalize(prediction) in map(normalize, references))
        for prediction, references in zip(
            outputs.predictions, outputs.references, strict=True
        )
    ]
    signature = f"nrefs:{outputs.reference_count}|normalization:{normalization}"
    return [metric_value.mean(name, hits, signature)]


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _normalize_as_huggingface(text: str) -> str:
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


_NORMALIZATIONS: Mapping[str, Callable[[str], str]] = {
    "none": str,
    "lowercase": str.lower,
    "huggingface": _normalize_as_huggingface,
}
