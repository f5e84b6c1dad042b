"""Generates a text for every example of a split, and writes the texts to a file."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

import jax
import numpy as np
from jax.experimental import multihost_utils

from bertgen_jax import sharding, watchdog
from bertgen_jax.data import batching, loading
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.experiment.run import Run
from bertgen_jax.experiment.splits import Split
from bertgen_jax.files import atomic
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.trees import Params


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A generated text with its source and references; one line of the file.

    Attributes:
      id: the example's id.
      source: the source text.
      references: the reference texts.
      prediction: the generated text.
      score: the score of the search: log-probability divided by the length norm.
    """

    id: str
    source: str
    references: tuple[str, ...]
    prediction: str
    score: float


def predict(
    run: Run,
    params: Params,
    split: Split,
    plan: batching.EvalPlan,
    search: GenerationConfig,
) -> list[Prediction]:
    """Generates the best text for every example of a split.

    Args:
      run: the run whose model generates the texts.
      params: the model's parameters, on the devices of the run's mesh.
      split: the examples.
      plan: the batches of the split.
      search: settings of the search.

    Returns:
      One prediction for each example, in the order of the split, on every process.
    """
    host_batches = loading.eval_batches(
        split.encoded,
        plan,
        fill=run.fill_ids,
        host=jax.process_index(),
        hosts=jax.process_count(),
    )
    batches = loading.to_device(host_batches, sharding.batch_sharding(run.mesh))
    generator = generator_lib.Generator(run.model, params)
    texts = [""] * len(split.encoded)
    scores = np.zeros(len(split.encoded))
    what = f"the texts of the {split.name} split"
    for host_batch, batch in watchdog.each(batches, what):
        result = generator(batch["input_ids"], batch["attention_mask"], search)
        indices, sequences, batch_scores = _gather(
            host_batch["example_index"], result.sequences[:, 0], result.scores[:, 0]
        )
        is_example = indices >= 0  # other rows only fill the batch
        scores[indices[is_example]] = batch_scores[is_example]
        rows = sequences[is_example].tolist()
        for index, row in zip(indices[is_example], rows, strict=True):
            texts[index] = run.tokenizers.generated_text(row)
    examples = (split.examples[index] for index in range(len(texts)))
    return [
        Prediction(example.id, example.source, example.references, text, float(score))
        for example, text, score in zip(examples, texts, scores, strict=True)
    ]


def _gather(*arrays: np.ndarray | jax.Array) -> tuple[np.ndarray, ...]:
    """Returns the rows of all processes, in the same order on each, as host arrays."""
    if jax.process_count() == 1:
        return jax.device_get(arrays)
    return multihost_utils.process_allgather(arrays, tiled=True)


def write(path: pathlib.Path, predictions: Iterable[Prediction]) -> None:
    """Writes predictions atomically, one JSON object a line."""
    rows = map(dataclasses.asdict, predictions)
    atomic.write_text(
        path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
