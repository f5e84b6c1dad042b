"""What sacreBLEU counts in each example, and how it signs: outputs in, counts out."""

import itertools

import numpy as np
from sacrebleu.metrics import base

from bertgen_jax.metrics.outputs import Outputs


def statistics(metric: base.Metric, outputs: Outputs) -> np.ndarray:
    """The sufficient statistics of each example, f64[n, k], as `metric` orders them.

    The library has them behind an underscore only; its public scores are of sums.
    """
    # Streams: the first reference of every example, the second, ...; None is none.
    streams = list(itertools.zip_longest(*outputs.references))
    counts = metric._extract_corpus_statistics(list(outputs.predictions), streams)
    return np.array(counts, np.float64)


def signature(metric: base.Metric) -> str:
    """sacreBLEU's own signature, of a metric that has counted."""
    return str(metric.get_signature())
