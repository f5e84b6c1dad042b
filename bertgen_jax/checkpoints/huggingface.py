"""Hugging Face model directories: config.json and model.safetensors in, params out.

And back. The tensors are the peer's, name by name and layout by layout (`name_maps`).
Nothing is dropped in silence: what does not fit is listed in the error.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from bertgen_jax.checkpoints import name_maps, trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    read_config,
)

Params = dict[str, Any]
Config = BertGenerationConfig | EncoderDecoderConfig

WEIGHTS = "model.safetensors"

_NO_WEIGHTS = "embeddings.position_ids"  # 0, 1, 2, ... in files of older versions
_LISTED = 12  # lines of a message; the rest are counted


def weights_of(config: Config) -> list[name_maps.Weight]:
    """The name map of a model of ours."""
    if isinstance(config, EncoderDecoderConfig):
        return name_maps.encoder_decoder(config)
    if config.is_decoder:
        return name_maps.bert_generation_decoder(config)
    return name_maps.bert_generation_stack(config, cross_attention=False)


def load(directory: str | os.PathLike[str]) -> tuple[Config, Params]:
    """Reads a model directory.

    Args:
      directory: holds config.json (`bert-generation` or `encoder-decoder`) and
        model.safetensors.

    Returns:
      The configuration, and params as nested dicts of f32 numpy arrays.

    Raises:
      CheckpointError: a file is missing or damaged; the model is of another kind; or
        see `from_tensors`.
    """
    config = read_config(directory)
    path = pathlib.Path(directory) / WEIGHTS
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected the model's weights there."
        ) from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}). Copy or save it again."
        ) from error
    return config, from_tensors(weights_of(config), tensors, where=str(path))


def save(
    directory: str | os.PathLike[str], config: Config, params: Mapping[str, Any]
) -> None:
    """Writes config.json and model.safetensors that the peer loads as they are.

    Args:
      directory: made if missing.
      config: the model's.
      params: nested dicts of arrays; written as f32.

    Raises:
      ConfigError: the params are not those of such a model.
    """
    tensors = to_tensors(weights_of(config), params)
    directory = pathlib.Path(directory)
    values = {"architectures": [_architecture(config)], **config.to_dict()}
    temporary = directory / f"{WEIGHTS}.tmp"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The peer refuses files that do not say which framework's layout they hold.
        safetensors.numpy.save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # the library's is private
        temporary.replace(directory / WEIGHTS)
        (directory / "config.json").write_text(
            json.dumps(values, indent=2) + "\n", encoding="utf-8"
        )
    except (OSError, safetensors.SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{directory}: the model cannot be written there ({error})."
        ) from error


def from_tensors(
    weights: Iterable[name_maps.Weight], tensors: Mapping[str, np.ndarray], where: str
) -> Params:
    """Foreign tensors to params, nested dicts of f32 arrays.

    Args:
      weights: the name map.
      tensors: foreign arrays by name.
      where: file or directory, for messages.

    Raises:
      CheckpointError: a tensor is missing, left over or of another shape; or two that
        are one parameter differ.
    """
    weights = sorted(weights, key=lambda weight: weight.orphan)  # orphans last
    problems = _misfits(weights, tensors)
    found: dict[str, tuple[np.ndarray, str]] = {}  # path: array, name
    for weight in weights if not problems else ():
        if weight.name not in tensors:
            continue
        array = weight.from_foreign(np.asarray(tensors[weight.name], np.float32))
        if weight.path:
            first, name = found.setdefault(weight.path, (array, weight.name))
        else:
            first, name = np.zeros_like(array), "zero"
        if first is array or weight.orphan:
            continue
        if not np.array_equal(first, array, equal_nan=True):
            problems.append(f"! {weight.name} is not {name}")
    if problems:
        raise CheckpointError(
            f"{where}: the tensors do not fit config.json (- missing, + unexpected, "
            "~ of another shape, ! not equal though it says that they are shared, tied "
            f"or absent):\n{_first(problems)}"
        )
    return trees.nested({path: array for path, (array, _) in found.items()})


def _misfits(
    weights: list[name_maps.Weight], tensors: Mapping[str, np.ndarray]
) -> list[str]:
    """Lines on names and shapes that are not those of the map."""
    expected = {weight.name: weight for weight in weights}
    wanted = {weight.path: weight.name for weight in reversed(weights) if weight.path}
    present = {expected[name].path for name in tensors if name in expected}
    missing = [name for path, name in wanted.items() if path not in present]
    unexpected = [
        name
        for name in tensors
        if name not in expected and not name.endswith(_NO_WEIGHTS)
    ]
    misshapen = [
        f"{name} {list(tensor.shape)}, expected {list(expected[name].foreign_shape)}"
        for name, tensor in tensors.items()
        if name in expected and tuple(tensor.shape) != expected[name].foreign_shape
    ]
    return (
        [f"- {name}" for name in sorted(missing)]
        + [f"+ {name}" for name in sorted(unexpected)]
        + [f"~ {line}" for line in sorted(misshapen)]
    )


def to_tensors(
    weights: Iterable[name_maps.Weight], params: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Params to foreign f32 tensors by name; what is shared is written for each name.

    Raises:
      ConfigError: the params are not those of the map.
    """
    weights = list(weights)
    found = trees.named(params)
    wanted = {w.path: tuple(w.shape) for w in weights if w.path}
    shapes = {path: tuple(array.shape) for path, array in found.items()}
    if shapes != wanted:
        differences = trees.differences(*map(_described, (wanted, shapes)))
        raise ConfigError(
            "the params do not fit the model's config (- expected, + found):\n"
            f"{differences}"
        )
    tensors = {}
    for name, parts in name_maps.by_name(w for w in weights if w.written).items():
        values = [
            np.asarray(found[weight.path], np.float32)
            if weight.path
            else np.zeros(weight.shape, np.float32)
            for weight in parts
        ]
        tensors[name] = name_maps.to_foreign(parts, values)
    return tensors


def _described(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {
        path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()
    }


def _architecture(config: Config) -> str:
    if isinstance(config, EncoderDecoderConfig):
        return "EncoderDecoderModel"
    return "BertGenerationDecoder" if config.is_decoder else "BertGenerationEncoder"


def _first(lines: list[str]) -> str:
    more = [f"... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join(lines[:_LISTED] + more)
