"""RoBERTa as fairseq wrote it in; a `Source` out."""

import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax.checkpoints import spellings, torch_pickle
from bertgen_jax.checkpoints.formats import bert_stacks
from bertgen_jax.checkpoints.source import Source, translate
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig


def recognise(directory: pathlib.Path, prefix: pathlib.Path | None) -> Source | None:
    """A directory with a .pt file of fairseq.

    Raises:
      CheckpointError: there are several, or it is damaged.
    """
    found = sorted(directory.glob("*.pt"))
    if prefix is not None or not found:
        return None
    if len(found) > 1:
        raise CheckpointError(
            f"{directory}: holds {', '.join(path.name for path in found)}; expected "
            "one checkpoint of fairseq. Move the others, or name a directory with one."
        )
    tensors = torch_pickle.open_torch(found[0])
    names, _ = translate(tensors, spellings.FAIRSEQ)
    sizes = bert_stacks.sizes(tensors, names, "")
    first = 2  # fairseq's pad id is 1
    stated = _settings(tensors.values)
    heads = stated.get("encoder_attention_heads", sizes["num_attention_heads"])
    act = stated.get("activation_fn", "gelu")
    try:
        config = BertGenerationConfig.from_dict(
            {
                **sizes,
                "num_attention_heads": heads,
                "hidden_act": act,
                "layer_norm_eps": 1e-5,
                "max_position_embeddings": sizes["max_position_embeddings"] - first,
            }
        )
    except ConfigError as error:
        raise CheckpointError(f"{tensors.path}: {error}") from error
    return bert_stacks.source(
        directory,
        "fairseq RoBERTa",
        "roberta",
        config,
        first,
        tensors,
        spellings.FAIRSEQ,
    )


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The model's settings: `args` of old files, `cfg.model` of newer ones."""
    for key in ("args", "cfg.model"):
        found = values
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            return dict(found)
    return {}
