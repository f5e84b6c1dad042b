"""What BERT and RoBERTa have in common, however they are spelled: one encoder stack."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from bertgen_jax.checkpoints import name_maps, spellings
from bertgen_jax.checkpoints.name_maps import Weight
from bertgen_jax.checkpoints.source import Positions, Source, translate
from bertgen_jax.checkpoints.spellings import Spelling
from bertgen_jax.checkpoints.tensor_files import TensorFile
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import SIZE_FIELDS, BertGenerationConfig

POSITIONS = "embeddings/position_embeddings/embedding"

_POSITION_TABLE = "embeddings.position_embeddings.weight"
# Absent from the oldest files, and then BERT's, which are the defaults of ours.
_OPTIONAL = ("hidden_act", "layer_norm_eps", "position_embedding_type")
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
    found = BertGenerationConfig.from_dict({name: values[name] for name in present})
    first = 0
    if values.get("model_type") == "roberta":
        pad = values.get("pad_token_id", 1)  # fairseq's
        if not isinstance(pad, int) or pad < 0:
            raise ConfigError(f"pad_token_id is {pad!r}; expected an id.")
        first = pad + 1
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
    names, foreign = translate(tensors, spelling)
    weights = name_maps.bert_generation_stack(config, cross_attention=False)
    weights = [
        with_rows_before(w, first) if w.path == POSITIONS else w for w in weights
    ]
    segments = spellings.TOKEN_TYPES if spellings.TOKEN_TYPES in names else ""
    table = Positions(POSITIONS, first, segments)
    return Source(
        path=directory,
        format=words,
        kind=kind,
        config=config,
        tensors=tensors,
        weights=tuple(spelling.apply(weights, names)),
        names=names,
        foreign=foreign,
        positions=(table,) if first or segments else (),
        mlm_bias=next((name for name in spellings.MLM_BIAS if name in names), ""),
    )


def with_rows_before(weight: Weight, first: int) -> Weight:
    """A position table with the rows before the first token's."""
    rows, width = weight.shape
    return dataclasses.replace(weight, shape=(rows + first, width))


def sizes(tensors: TensorFile, names: Mapping[str, str], prefix: str) -> dict[str, int]:
    """The sizes of a stack that no file states, from the shapes of its tensors."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        in_file = names.get(prefix + name)
        found = None if in_file is None else tensors.tensors[in_file].shape
        if found is None or len(found) != axes:
            raise CheckpointError(
                f"{tensors.path}: {in_file or f'{prefix}{name}'} is {found}; expected "
                f"a tensor of {axes} axes that tells the model's size."
            )
        return found

    words, width = shape(spellings.WORDS, 2)
    (inner,) = shape("encoder.layer.0.intermediate.dense.bias", 1)
    pattern = re.compile(rf"{re.escape(prefix)}encoder\.layer\.(\d+)\.")
    layers = {int(m[1]) for m in map(pattern.match, names) if m}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": max(1, width // _HEAD_DIM),
        "intermediate_size": inner,
        "max_position_embeddings": shape(_POSITION_TABLE, 2)[0],
    }
