"""What BERT and RoBERTa have in common, however they are spelled, and ours have not."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import SIZE_FIELDS, BertGenerationConfig, first_position
from bertgen_jax.pretrained import key_maps, name_maps
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.key_maps import Spelling
from bertgen_jax.pretrained.name_maps import Weight
from bertgen_jax.pretrained.opened_checkpoint import (
    Positions,
    Source,
    check_layers,
    shown,
    translate,
)

KINDS = ("bert", "roberta")
POSITIONS = "embeddings/position_embeddings/embedding"

_POSITION_TABLE = "embeddings.position_embeddings.weight"
# Absent from the oldest files, and then BERT's, which are the defaults of ours.
_OPTIONAL = ("hidden_act", "layer_norm_eps", "position_embedding_type")
# The ids of a file that does not say them.
_IDS: Mapping[str, Mapping[str, int | None]] = {
    "bert": {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None},
    "roberta": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
}
_HEAD_DIM = 64  # K of every published model; no shape says how many heads there are


def config(values: Mapping[str, Any]) -> tuple[BertGenerationConfig, int]:
    """The architecture of a BERT or RoBERTa, from its config.json or bert_config.json.

    Returns:
      The architecture, in which positions are counted for tokens only; and how many
      rows of the position table come before them. RoBERTa's first token has position
      pad id + 1.

    Raises:
      ConfigError: a size is missing, or a value cannot be meant.
    """
    missing = [name for name in SIZE_FIELDS if name not in values]
    if missing:
        raise ConfigError(f"{', '.join(missing)} missing; expected BERT's sizes.")
    present = [name for name in (*SIZE_FIELDS, *_OPTIONAL) if name in values]
    ids = _IDS["roberta" if values.get("model_type") == "roberta" else "bert"]
    ids = {name: values.get(name, id_) for name, id_ in ids.items()}
    found = BertGenerationConfig.from_dict({n: values[n] for n in present} | ids)
    first = first_position(values)
    rows = found.max_position_embeddings - first
    return dataclasses.replace(found, max_position_embeddings=rows), first


def source(
    directory: pathlib.Path,
    words: str,
    kind: str,
    config: BertGenerationConfig,
    first: int,
    tensors: TensorFile,
    spelling: Spelling,
) -> Source:
    """BERT's or RoBERTa's encoder, however it is spelled."""
    check_layers(config, tensors)
    names, foreign = translate(tensors, spelling)
    weights = name_maps.bert_generation_stack(config, cross_attention=False)
    weights, positions = with_their_tables(weights, names, "", first)
    return Source(
        path=directory,
        format=words,
        kind=kind,
        config=config,
        tensors=tensors,
        weights=tuple(spelling.apply(weights, names)),
        names=names,
        foreign=foreign,
        positions=positions,
        mlm_bias=mlm_bias(names),
    )


def mlm_bias(names: Iterable[str]) -> str:
    """The name of the output bias of a masked-LM head; "" where there is none."""
    return next((name for name in key_maps.MLM_BIAS if name in names), "")


def with_their_tables(
    weights: Iterable[Weight], names: Mapping[str, str], trunk: str, first: int
) -> tuple[list[Weight], tuple[Positions, ...]]:
    """Fits a name map to a stack that is BERT's or RoBERTa's.

    Args:
      weights: the map of a model of ours with that stack.
      names: in the file, by Hugging Face's names.
      trunk: prefix of the stack's names.
      first: rows of its position table before that of the first token.

    Returns:
      The map, in which these rows count and a table of segments is no weight; and how
      the stack's positions are made of the two tables, if anything is to be done.
    """
    table, segments = f"{trunk}{_POSITION_TABLE}", f"{trunk}{key_maps.TOKEN_TYPES}"
    first = first if table in names else 0  # a shared one may have another's name
    fitted, path = [], ""
    for weight in weights:
        if weight.name == table:
            path, (rows, width) = weight.path, weight.shape
            weight = dataclasses.replace(weight, shape=(rows + first, width))
        if weight.name != segments:
            fitted.append(weight)
    positions = Positions(path, first, segments if segments in names else "")
    return fitted, (positions,) if first or positions.segments else ()


def without_repeated_segments(
    names: Mapping[str, str], trunks: Sequence[str], tensors: TensorFile
) -> dict[str, str]:
    """The names of a pair of which the two stacks have one position table.

    What is added to it must be one table of segments as well. It is read here, as it is
    small and nothing else would compare the two.

    Args:
      names: in the file, by Hugging Face's names.
      trunks: prefixes of the names of the stacks that are BERT's or RoBERTa's. A stack
        of another kind has no segments, which is the same as zeros.
      tensors: the file.

    Returns:
      The names without those of tables that repeat another, or are zeros.

    Raises:
      CheckpointError: the tables differ.
    """
    found = [f"{trunk}{key_maps.TOKEN_TYPES}" for trunk in trunks]
    found = [name for name in found if name in names]
    tables = [np.asarray(tensors.read(names[name])) for name in found]
    meant = [names[name] for name in found]
    if len(trunks) == 1 and found:
        tables.append(np.zeros_like(tables[0]))
        meant.append("zero")
    if len(tables) < 2:
        return dict(names)
    if not np.array_equal(*tables):
        raise CheckpointError(
            f"{tensors.path}: its configuration says that the stacks share their "
            f"embeddings, but {meant[0]} is not {meant[1]}."
        )
    return {name: in_file for name, in_file in names.items() if name != found[0]}


def sizes(
    tensors: TensorFile, names: Mapping[str, str], prefix: str, what: str
) -> dict[str, int]:
    """The sizes of a stack that no file states, from the shapes of its tensors.

    Args:
      tensors: the file.
      names: in it, by Hugging Face's names.
      prefix: of the stack's names.
      what: what the file was taken for.

    Raises:
      CheckpointError: a tensor that would tell them is missing, or of other axes.
    """

    def shape(name: str, axes: int) -> tuple[int, ...]:
        in_file = names.get(prefix + name)
        if in_file is None:
            raise CheckpointError(
                f"{tensors.path}: no tensor means {prefix}{name}; found "
                f"{', '.join(map(shown, [*tensors.tensors][:3])) or 'none'}, ..., "
                f"expected those of {what}."
            )
        found = tensors.tensors[in_file].shape
        if len(found) != axes:
            raise CheckpointError(
                f"{tensors.path}: {shown(in_file)} is {list(found)}; expected {axes} "
                "axes, which tell the model's size."
            )
        return found

    words, width = shape(key_maps.WORDS, 2)
    (inner,) = shape("encoder.layer.0.intermediate.dense.bias", 1)
    pattern = re.compile(rf"{re.escape(prefix)}encoder\.layer\.(\d{{1,4}})\.")
    layers = {int(m[1]) for m in map(pattern.match, names) if m}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": max(1, width // _HEAD_DIM),
        "intermediate_size": inner,
        "max_position_embeddings": shape(_POSITION_TABLE, 2)[0],
    }
