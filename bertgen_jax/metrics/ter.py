"""Translation edit rate by the sacrebleu library: texts in, scores out."""

import numpy as np
from sacrebleu.metrics import TER

from bertgen_jax.metrics import sacrebleu_counts
from bertgen_jax.metrics.measurement import Measurement
from bertgen_jax.metrics.outputs import Outputs

_MOST_CELLS = 1_000_000  # words of both, multiplied: half a minute for one example


def measure(outputs: Outputs, *, name: str = "ter") -> list[Measurement]:
    """Edits, of words and moved blocks, in percent of the reference.

    Less is better, and it can exceed 100 (Snover et al. 2006). Case is ignored; words
    are what blanks separate. Of several references the nearest gives the edits, all
    together the length, their mean. Against a reference without words any word scores
    100, none 0.

    Args:
      outputs: predictions and references; slow on texts of more than some 200 words.
      name: of the measurement.

    Raises:
      DataError: a text so long that this would take minutes.
    """
    outputs.check_size("TER", _MOST_CELLS, lambda text: len(text.split()))
    metric = TER()
    statistics = sacrebleu_counts.statistics(metric, outputs)
    return [Measurement(name, sacrebleu_counts.signature(metric), statistics, _value)]


def _value(sums: np.ndarray) -> np.ndarray:
    """Sums of edits and of reference lengths, f64[..., 2], to percentages."""
    edits, lengths = sums[..., 0], sums[..., 1]
    of_nothing = np.where(edits > 0, 1.0, 0.0)
    return 100 * np.divide(edits, lengths, out=of_nothing, where=lengths > 0)
