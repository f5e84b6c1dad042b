"""Opens encoders of BERT and RoBERTa, which several formats have in common."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.stack_config import SIZE_FIELDS, BertGenerationConfig
from bertgen_jax.pretrained import key_maps, parameter_maps
from bertgen_jax.pretrained.containers.tensor_file import TensorFile, shown
from bertgen_jax.pretrained.key_maps import KeyMap
from bertgen_jax.pretrained.opened_checkpoint import (
    OpenedCheckpoint,
    PositionTable,
    check_layers,
)
from bertgen_jax.pretrained.parameter_maps import Weight

KINDS = ("bert", "roberta")

_POSITIONS = "embeddings.position_embeddings.weight"
# The fields of a config.json that an encoder depends on. All but the sizes may be
# missing, and then have the defaults of Hugging Face.
_FIELDS = (
    *SIZE_FIELDS,
    "hidden_act",
    "layer_norm_eps",
    "position_embedding_type",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
_HEAD_DIM = 64  # K of every published model; no shape tells the number of heads


def encoder_config(values: Mapping[str, Any]) -> BertGenerationConfig:
    """Returns the architecture of the encoder that a config describes.

    Args:
      values: a config.json of BERT or RoBERTa, or Google's bert_config.json.

    Raises:
      ConfigError: a size is missing, or a value is invalid.
    """
    missing = [name for name in SIZE_FIELDS if name not in values]
    if missing:
        raise ConfigError(f"{', '.join(missing)} missing; expected BERT's sizes.")
    fields = {name: values[name] for name in _FIELDS if name in values}
    kind = "roberta" if values.get("model_type") == "roberta" else "bert"
    return BertGenerationConfig.from_dict({**fields, "model_type": kind})


def open_encoder(
    directory: pathlib.Path,
    format: str,
    kind: str,
    config: BertGenerationConfig,
    first: int,
    tensors: TensorFile,
    key_map: KeyMap,
) -> OpenedCheckpoint:
    """Opens an encoder of BERT or RoBERTa, of any format.

    Args:
      directory: the directory of the checkpoint.
      format: the recognised format, as messages name it.
      kind: one of `KINDS`.
      config: the architecture.
      first: the row of the position table that the first token takes.
      tensors: the file.
      key_map: the key map of this kind of file.
    """
    check_layers(config, tensors)
    names, non_weights = key_map.translate(tensors)
    weights = parameter_maps.bert_generation_stack(config, cross_attention=False)
    weights, tables = with_foreign_tables(weights, names, "", first)
    return OpenedCheckpoint(
        path=directory,
        format=format,
        kind=kind,
        config=config,
        tensors=tensors,
        weights=tuple(key_map.apply(weights, names)),
        names=names,
        non_weights=non_weights,
        position_tables=tables,
        mlm_bias=mlm_bias(names),
    )


def mlm_bias(names: Iterable[str]) -> str:
    """Returns the name of a masked-LM head's output bias; "" if there is none."""
    return next((name for name in key_maps.MLM_BIAS if name in names), "")


def with_foreign_tables(
    weights: Iterable[Weight], names: Mapping[str, str], prefix: str, first: int
) -> tuple[list[Weight], tuple[PositionTable, ...]]:
    """Fits a parameter map to a stack of BERT or RoBERTa.

    Args:
      weights: the parameter map of one of our models that contains the stack.
      names: Hugging Face's names of the tensors in the file.
      prefix: the prefix of the stack's names.
      first: the row of its position table that the first token takes.

    Returns:
      The map, with the rows of padding counted and without the segment table; and how
      our position table is computed, if it is not the foreign one.
    """
    positions, segments = f"{prefix}{_POSITIONS}", f"{prefix}{key_maps.TOKEN_TYPES}"
    if positions not in names:  # a shared table may be stored under another name
        first = 0
    fitted, path = [], ""
    for weight in weights:
        if weight.name == positions:
            path, (rows, width) = weight.path, weight.shape
            weight = dataclasses.replace(weight, shape=(rows + first, width))
        if weight.name != segments:
            fitted.append(weight)
    table = PositionTable(path, first, segments if segments in names else "")
    return fitted, (table,) if first or table.segments else ()


def without_repeated_segments(
    names: Mapping[str, str], prefixes: Sequence[str], tensors: TensorFile
) -> dict[str, str]:
    """Removes the second segment table of a pair whose stacks share their positions.

    The segment tables of both stacks are added to the same position table, so they must
    be equal. They are small, and are read here because nothing else compares them.

    Args:
      names: Hugging Face's names of the tensors in the file.
      prefixes: the prefixes of the stacks that are BERT's or RoBERTa's. A stack of
        another kind has no segments, which is the same as zeros.
      tensors: the file.

    Returns:
      The names without a table that repeats the other, or that is zero.

    Raises:
      CheckpointError: the tables differ.
    """
    present = [f"{prefix}{key_maps.TOKEN_TYPES}" for prefix in prefixes]
    present = [name for name in present if name in names]
    tables = [np.asarray(tensors.read(names[name])) for name in present]
    labels = [names[name] for name in present]
    if len(prefixes) == 1 and present:
        tables.append(np.zeros_like(tables[0]))
        labels.append("zero")
    if len(tables) < 2:
        return dict(names)
    if not np.array_equal(tables[0], tables[1]):
        raise CheckpointError(
            f"{tensors.path}: according to its configuration the stacks share their "
            f"embeddings, but {labels[0]} is not {labels[1]}."
        )
    return {n: name_in_file for n, name_in_file in names.items() if n != present[0]}


def sizes(
    tensors: TensorFile, names: Mapping[str, str], prefix: str, format: str
) -> dict[str, int]:
    """Infers the sizes of a stack from the shapes of its tensors.

    Args:
      tensors: the file.
      names: Hugging Face's names of the tensors in the file.
      prefix: the prefix of the stack's names.
      format: the format that the file is read as.

    Raises:
      CheckpointError: a tensor is missing, or has an unexpected number of axes.
    """

    def shape(name: str, axes: int) -> tuple[int, ...]:
        name_in_file = names.get(prefix + name)
        if name_in_file is None:
            raise CheckpointError(
                f"{tensors.path}: no tensor corresponds to {prefix}{name}; found "
                f"{', '.join(map(shown, [*tensors.tensors][:3])) or 'none'}, ..., "
                f"expected the tensors of {format}."
            )
        shape = tensors.tensors[name_in_file].shape
        if len(shape) != axes:
            raise CheckpointError(
                f"{tensors.path}: {shown(name_in_file)} is {list(shape)}; expected "
                f"{axes} axes, which give the sizes of the model."
            )
        return shape

    words, width = shape(key_maps.WORDS, 2)
    (inner,) = shape("encoder.layer.0.intermediate.dense.bias", 1)
    pattern = re.compile(rf"{re.escape(prefix)}encoder\.layer\.(\d{{1,4}})\.")
    layers = {int(match[1]) for match in map(pattern.match, names) if match}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": max(1, width // _HEAD_DIM),
        "intermediate_size": inner,
        "max_position_embeddings": shape(_POSITIONS, 2)[0],
    }
