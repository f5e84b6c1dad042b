"""Hugging Face model directories: config.json and model.safetensors in, params out, and back.

The tensors are the peer's, name by name and layout by layout (`name_maps`). Nothing is
dropped in silence: a missing or a left-over tensor is an error that lists both.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from bertgen_jax.checkpoints import name_maps
from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import (
    COMPOSITE_MODEL_TYPE,
    MODEL_TYPE,
    BertGenerationConfig,
    EncoderDecoderConfig,
    read_config_json,
)

Params = dict[str, Any]
Config = BertGenerationConfig | EncoderDecoderConfig

WEIGHTS = "model.safetensors"

# Tensors of the peer that repeat another one or hold no weights.
_REDUNDANT = ("lm_head.decoder.bias", "embeddings.position_ids")


def weights_of(config: Config) -> list[name_maps.Weight]:
    """The name map of a model of ours."""
    if isinstance(config, EncoderDecoderConfig):
        return name_maps.encoder_decoder(config)
    if config.is_decoder:
        return name_maps.bert_generation_decoder(config)
    return name_maps.bert_generation_stack(config, cross_attention=False)


def load(directory: str | pathlib.Path) -> tuple[Config, Params]:
    """Reads a model directory.

    Args:
      directory: holds config.json (`bert-generation` or `encoder-decoder`) and
        model.safetensors.

    Returns:
      The configuration, and params as nested dicts of f32 numpy arrays.

    Raises:
      CheckpointError: a file is missing or damaged; the model is of another kind;
        tensors are missing, left over or of another shape than the config says.
    """
    directory = pathlib.Path(directory)
    values = read_config_json(directory)
    kind = values.get("model_type")
    if kind == COMPOSITE_MODEL_TYPE:
        config = EncoderDecoderConfig.from_dict(values)
    elif kind == MODEL_TYPE:
        config = BertGenerationConfig.from_dict(values)
    else:
        raise CheckpointError(
            f"{directory}/config.json: model_type is {kind!r}; expected {MODEL_TYPE!r} "
            f"or {COMPOSITE_MODEL_TYPE!r}."
        )
    path = directory / WEIGHTS
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected the model's weights there."
        ) from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error})."
        ) from error
    return config, from_tensors(weights_of(config), tensors, where=str(path))


def save(
    directory: str | pathlib.Path, config: Config, params: Mapping[str, Any]
) -> None:
    """Writes config.json and model.safetensors that the peer loads as they are.

    Args:
      directory: made if missing.
      config: the model's.
      params: nested dicts of arrays; written as f32.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = to_tensors(weights_of(config), params)
    values = {"architectures": [_architecture(config)], **config.to_dict()}
    (directory / "config.json").write_text(
        json.dumps(values, indent=2) + "\n", encoding="utf-8"
    )
    # The peer refuses files that do not say which framework's layout they hold.
    safetensors.numpy.save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})


def from_tensors(
    weights: Iterable[name_maps.Weight], tensors: Mapping[str, np.ndarray], where: str
) -> Params:
    """Foreign tensors to params.

    Args:
      weights: the name map.
      tensors: foreign arrays by name.
      where: file or directory, for messages.

    Raises:
      CheckpointError: names or shapes do not agree with the map.
    """
    expected = {weight.name: weight for weight in weights}
    missing = sorted(expected.keys() - tensors.keys())
    unexpected = sorted(
        name
        for name in tensors.keys() - expected.keys()
        if not name.endswith(_REDUNDANT) and not _is_tied_head(name, expected)
    )
    shapes = [
        f"{name} {tensors[name].shape}, expected {weight.foreign_shape}"
        for name, weight in expected.items()
        if name in tensors and tensors[name].shape != weight.foreign_shape
    ]
    if missing or unexpected or shapes:
        lines = (
            [f"- {name}" for name in missing]
            + [f"+ {name}" for name in unexpected]
            + [f"~ {line}" for line in shapes]
        )
        raise CheckpointError(
            f"{where}: the tensors do not fit config.json ({len(missing)} missing -, "
            f"{len(unexpected)} unexpected +, {len(shapes)} of another shape ~):\n"
            + _first(lines)
        )
    params: Params = {}
    for name, weight in expected.items():
        node = params
        for key in weight.path[:-1]:
            node = node.setdefault(key, {})
        array = weight.from_foreign(np.asarray(tensors[name], np.float32))
        node.setdefault(weight.path[-1], array)
    return params


def to_tensors(
    weights: Iterable[name_maps.Weight], params: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Params to foreign f32 tensors by name; what is shared is written for each name."""
    tensors = {}
    for weight in weights:
        node: Any = params
        for key in weight.path:
            node = node[key]
        tensors[weight.name] = weight.to_foreign(np.asarray(node, np.float32))
    return tensors


def _is_tied_head(name: str, expected: Mapping[str, Any]) -> bool:
    return name.endswith("lm_head.decoder.weight") and name not in expected


def _architecture(config: Config) -> str:
    if isinstance(config, EncoderDecoderConfig):
        return "EncoderDecoderModel"
    return "BertGenerationDecoder" if config.is_decoder else "BertGenerationEncoder"


def _first(lines: list[str], count: int = 12) -> str:
    more = [f"... and {len(lines) - count} more"] if len(lines) > count else []
    return "\n".join(lines[:count] + more)
