"""RoBERTa as fairseq wrote it in; a `Source` out."""

from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.pretrained import key_maps
from bertgen_jax.pretrained.containers import torch_file
from bertgen_jax.pretrained.formats import bert
from bertgen_jax.pretrained.formats.location import Place
from bertgen_jax.pretrained.opened_checkpoint import Source, translate


def recognise(place: Place) -> Source | None:
    """A directory with a .pt file of fairseq.

    Raises:
      CheckpointError: there are several, or it is damaged.
    """
    directory = place.directory
    found = sorted(directory.glob("*.pt"))
    if place.file in found:
        found = [place.file]
    if place.prefix is not None or not found:
        return None
    if len(found) > 1:
        raise CheckpointError(
            f"{directory}: holds {', '.join(path.name for path in found)}; expected "
            f"one checkpoint of fairseq. Name one of them, such as {found[0]}."
        )
    tensors = torch_file.open_torch(found[0])
    names, _ = translate(tensors, key_maps.FAIRSEQ)
    sizes = bert.sizes(tensors, names, "", "fairseq RoBERTa")
    first = 2  # fairseq's pad id is 1
    stated = _settings(tensors.values)
    heads = stated.get("encoder_attention_heads")
    if type(heads) is not int:
        raise CheckpointError(
            f"{tensors.path}: encoder_attention_heads is {heads!r:.99} in its args or "
            "cfg.model; expected an integer, as no shape says how many heads there are."
        )
    try:
        config = BertGenerationConfig.from_dict(
            {
                **sizes,
                "num_attention_heads": heads,
                "hidden_act": stated.get("activation_fn", "gelu"),
                "layer_norm_eps": 1e-5,
                "max_position_embeddings": sizes["max_position_embeddings"] - first,
                "pad_token_id": 1,
                "bos_token_id": 0,
                "eos_token_id": 2,
            }
        )
    except ConfigError as error:
        raise CheckpointError(f"{tensors.path}: {error}") from error
    return bert.source(
        directory,
        "fairseq RoBERTa",
        "roberta",
        config,
        first,
        tensors,
        key_maps.FAIRSEQ,
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
