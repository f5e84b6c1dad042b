"""Exact match: predictions and references in, how many are equal out."""

import re
import string
from collections.abc import Callable, Mapping
from typing import Literal

from bertgen_jax import errors
from bertgen_jax.metrics import measurement
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs

Normalization = Literal["none", "lowercase", "huggingface"]


def measure(
    outputs: Outputs, *, normalization: Normalization = "none", name: str = "exact"
) -> list[Measurement]:
    """The percentage of predictions that equal one of their references.

    Blanks count, at the ends as well, and so do separators of sentences; an empty
    prediction equals an empty reference.

    Args:
      outputs: predictions and references.
      normalization: of both sides: "none"; "lowercase", as LaserTagger's scorer;
        "huggingface", that of its metric wiki_split: lower-case, without ASCII
        punctuation, articles and double blanks. The last is not the paper's.
      name: of the measurement.

    Raises:
      ConfigError: an unknown choice.
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
    return [measurement.mean(name, hits, signature)]


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _as_huggingface(text: str) -> str:
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


_NORMALIZATIONS: Mapping[str, Callable[[str], str]] = {
    "none": str,
    "lowercase": str.lower,
    "huggingface": _as_huggingface,
}
