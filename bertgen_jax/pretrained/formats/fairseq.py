"""Reads RoBERTa as fairseq wrote it: one .pt file with weights and settings."""

from collections.abc import Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import key_maps
from bertgen_jax.pretrained.containers import torch_file
from bertgen_jax.pretrained.formats import bert
from bertgen_jax.pretrained.formats.location import Location
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint

_FORMAT = "fairseq RoBERTa"
_FIRST_POSITION = 2  # the row after the row of fairseq's pad id, 1


def recognise(location: Location) -> OpenedCheckpoint | None:
    """Opens a directory with a .pt file of fairseq; None without such a file.

    Raises:
      CheckpointError: there are several such files, or the file is damaged.
    """
    directory = location.directory
    paths = sorted(directory.glob("*.pt"))
    if location.file in paths:
        paths = [location.file]
    if location.prefix is not None or not paths:
        return None
    if len(paths) > 1:
        raise CheckpointError(
            f"{directory}: holds {', '.join(path.name for path in paths)}; expected "
            f"one checkpoint of fairseq. Name one of them, such as {paths[0]}."
        )
    tensors = torch_file.open_file(paths[0])
    names, _ = key_maps.FAIRSEQ.translate(tensors)
    sizes = bert.sizes(tensors, names, "", _FORMAT)
    settings = _settings(tensors.values)
    heads = settings.get("encoder_attention_heads")
    if type(heads) is not int:
        raise CheckpointError(
            f"{tensors.path}: encoder_attention_heads is {heads!r:.99} in its args or "
            "cfg.model; expected an integer, as no shape tells the number of heads."
        )
    sizes["num_attention_heads"] = heads
    sizes["max_position_embeddings"] -= _FIRST_POSITION
    with errors.in_file(tensors.path):
        config = BertGenerationConfig.from_dict(
            {
                **sizes,
                "hidden_act": settings.get("activation_fn", "gelu"),
                "layer_norm_eps": 1e-5,
                "pad_token_id": 1,
                "bos_token_id": 0,
                "eos_token_id": 2,
            }
        )
    return bert.open_encoder(
        directory,
        _FORMAT,
        "roberta",
        config,
        _FIRST_POSITION,
        tensors,
        key_maps.FAIRSEQ,
    )


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the model's settings: `args` of old files, `cfg.model` of newer ones."""
    cfg = values.get("cfg")
    for settings in (
        values.get("args"),
        cfg.get("model") if isinstance(cfg, Mapping) else None,
    ):
        if isinstance(settings, Mapping):
            return dict(settings)
    return {}
