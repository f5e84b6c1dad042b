"""A model and an encoded split in, a `Prediction` for each example out, in order."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from bertgen_jax.data import batching, loading
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.evaluation.prediction import Prediction
from bertgen_jax.experiment import build
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.tokenizers.pair import TokenizerPair


def decode_split(
    model: Seq2SeqModel,
    params: Any,
    split: build.Split,
    plan: batching.EvalPlan,
    tokenizers: TokenizerPair,
    config: GenerationConfig,
    sharding: NamedSharding,
) -> list[Prediction]:
    """Generates the best text for every example of a split, each exactly once.

    Args:
      model: what generates.
      params: its parameters, on the devices of `sharding`.
      split: what to decode.
      plan: its batches.
      tokenizers: of sources and of targets.
      config: how to search.
      sharding: of the batch axis.

    Returns:
      One prediction an example, in the order of the split, on every host.
    """
    batches = loading.eval_batches(
        split.encoded,
        plan,
        fill=build.fill_ids(tokenizers, model),
        host=jax.process_index(),
        hosts=jax.process_count(),
    )
    generator = generator_lib.Generator(model, params)
    texts = [""] * len(split.encoded)
    scores = np.zeros(len(split.encoded))
    for host_batch, batch in loading.to_device(batches, sharding):
        result = generator(batch["input_ids"], batch["attention_mask"], config)
        index, rows, row_scores = _gather(
            host_batch["example_index"], result.sequences[:, 0], result.scores[:, 0]
        )
        real = index >= 0
        scores[index[real]] = row_scores[real]
        for i, row in zip(index[real], rows[real].tolist(), strict=True):
            texts[i] = tokenizers.generated_text(row)
    return [
        Prediction(
            example.id, example.source, example.references, texts[i], float(scores[i])
        )
        for i, example in enumerate(split.examples[i] for i in range(len(texts)))
    ]


def _gather(*arrays: np.ndarray | jax.Array) -> tuple[np.ndarray, ...]:
    """Rows of all hosts, in one order, as host arrays."""
    if jax.process_count() == 1:
        return jax.device_get(arrays)
    return multihost_utils.process_allgather(arrays, tiled=True)
