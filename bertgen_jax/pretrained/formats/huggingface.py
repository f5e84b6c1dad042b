"""Reads model directories of Hugging Face transformers, of every version."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import EncoderDecoderConfig, read_config
from bertgen_jax.models.config_json import first_position
from bertgen_jax.models.stack_config import POSITION_TABLE, BertGenerationConfig
from bertgen_jax.pretrained import key_maps, parameter_maps
from bertgen_jax.pretrained.containers import safetensors_file, tf_bundle, torch_file
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.formats import bert, foreign_config
from bertgen_jax.pretrained.formats.location import Location
from bertgen_jax.pretrained.opened_checkpoint import (
    OpenedCheckpoint,
    PositionTable,
    check_layers,
)

_CONFIG = "config.json"
_STACK = "bert."  # prefix of a decoder's names, except those of its head

# The first of these in a directory is read.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def recognise(location: Location) -> OpenedCheckpoint | None:
    """Opens a directory with a config.json of transformers; None without one.

    Raises:
      CheckpointError: the model is of another kind than those in `_KINDS`, or a file is
        missing or damaged.
    """
    directory, path = location.directory, location.directory / _CONFIG
    if location.prefix is not None or not path.is_file():
        return None
    weights = _weights_file(location)
    if weights is None and tf_bundle.latest_prefix(directory) is not None:
        return None  # some publish TensorFlow's files with this config.json
    values = foreign_config.read(path)
    kind = values.get("model_type")
    if kind not in _KINDS:
        raise CheckpointError(
            f"{path}: model_type is {kind!r:.99}; expected one of {', '.join(_KINDS)}."
        )
    if weights is None:
        raise CheckpointError(
            f"{directory}: there are no weights beside {_CONFIG}; expected one of "
            f"{', '.join(_WEIGHTS)}."
        )
    is_torch = ".bin" in weights.suffixes
    open_file = torch_file.open_torch if is_torch else safetensors_file.open_safetensors
    with errors.in_file(path):
        return _KINDS[kind](directory, values, open_file(weights))


def _weights_file(location: Location) -> pathlib.Path | None:
    """Returns the file or index to read: the named one, or else one of `_WEIGHTS`."""
    file = location.file
    if file is not None and {".safetensors", ".bin"} & {*file.suffixes}:
        return file
    files = (location.directory / name for name in _WEIGHTS)
    return next((path for path in files if path.is_file()), None)


def _open_bert(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> OpenedCheckpoint:
    """Opens BERT or RoBERTa: an encoder, or a decoder with its head.

    A decoder has both `is_decoder` and a masked-LM head. Many encoders were published
    with such a head, and some decoders have lost theirs.
    """
    kind = values["model_type"]
    names, _ = key_maps.hugging_face_decoder(kind, "").translate(tensors)
    if values.get("is_decoder") and key_maps.TRANSFORM in names:
        return _open_bert_decoder(directory, values, tensors)
    return bert.open_encoder(
        directory,
        f"Hugging Face {kind} model",
        kind,
        bert.encoder_config(values),
        first_position(values),
        tensors,
        key_maps.hugging_face(f"{kind}."),
    )


def _open_bert_decoder(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> OpenedCheckpoint:
    """Opens a language model of BERT or RoBERTa.

    With a start token in its config it is a prefix language model.
    """
    kind = values["model_type"]
    names, non_weights = key_maps.hugging_face_decoder(kind, "").translate(tensors)
    config = read_config(directory)
    check_layers(config, tensors)
    weights, tables = bert.with_foreign_tables(
        parameter_maps.weights_of(config), names, _STACK, first_position(values)
    )
    return OpenedCheckpoint(
        path=directory,
        format=f"Hugging Face {kind} language model",
        kind=kind,
        config=config,
        tensors=tensors,
        weights=tuple(weights),
        names=names,
        non_weights=non_weights,
        position_tables=tables,
        unused_reason=lambda name: key_maps.unused_reason(name.removeprefix(_STACK)),
        mlm_bias=bert.mlm_bias(names),
    )


def _open_bert_generation(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> OpenedCheckpoint:
    """Opens BertGeneration: an encoder, or a decoder with its head.

    The names of the tensors tell which one it is; `is_decoder` does not, because
    published encoders have it set. A decoder with a start token in its config, as this
    project writes it, is a prefix language model.
    """
    names, non_weights = key_maps.hugging_face("").translate(tensors)
    if any(name.startswith(_STACK) for name in names):
        config = read_config(directory)
        if isinstance(config, BertGenerationConfig):
            config = dataclasses.replace(config, is_decoder=True)
    else:
        config = dataclasses.replace(
            BertGenerationConfig.from_dict(values),
            is_decoder=False,
            add_cross_attention=False,
        )
    check_layers(config, tensors)
    return OpenedCheckpoint(
        path=directory,
        format="Hugging Face bert-generation model",
        kind="bert-generation",
        config=config,
        tensors=tensors,
        weights=tuple(parameter_maps.weights_of(config)),
        names=names,
        non_weights=non_weights,
        unused_reason=key_maps.unused_reason_generation,
    )


def _open_gpt2(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> OpenedCheckpoint:
    """Opens GPT-2; with a start token in its config it is a prefix language model."""
    names, non_weights = key_maps.GPT2.translate(tensors)
    config = read_config(directory)
    check_layers(config, tensors)
    return OpenedCheckpoint(
        path=directory,
        format="Hugging Face gpt2 model",
        kind="gpt2",
        config=config,
        tensors=tensors,
        weights=tuple(parameter_maps.weights_of(config)),
        names=names,
        non_weights=non_weights,
        unused_reason=key_maps.unused_reason_gpt2,
    )


def _open_pair(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> OpenedCheckpoint:
    """Opens an encoder-decoder.

    Its stacks may be BERT's or RoBERTa's, and its decoder may be GPT-2.
    """
    config = EncoderDecoderConfig.from_dict(values)
    check_layers(config, tensors)
    kinds = {side: values[side].get("model_type") for side in ("encoder", "decoder")}
    key_map = key_maps.hugging_face_decoder(kinds["decoder"], "decoder.")
    names, non_weights = key_map.translate(tensors)
    prefixes = {"encoder": "encoder.", "decoder": f"decoder.{_STACK}"}
    prefixes = {s: prefix for s, prefix in prefixes.items() if kinds[s] in bert.KINDS}
    if config.shares(POSITION_TABLE):
        names = bert.without_repeated_segments(names, [*prefixes.values()], tensors)
    weights = parameter_maps.weights_of(config)
    tables: dict[str, PositionTable] = {}
    for side, prefix in prefixes.items():
        weights, fitted = bert.with_foreign_tables(
            weights, names, prefix, first_position(values[side])
        )
        for table in fitted:  # a shared table comes twice, once with its segments
            if table.segments or table.path not in tables:
                tables[table.path] = table

    def unused_reason(name: str) -> str | None:
        for prefix in prefixes.values():
            if name.startswith(prefix):
                return key_maps.unused_reason(name.removeprefix(prefix))
        return key_maps.unused_reason_generation(name) or key_maps.unused_reason_gpt2(
            name
        )

    return OpenedCheckpoint(
        path=directory,
        format="Hugging Face encoder-decoder",
        kind="encoder-decoder",
        config=config,
        tensors=tensors,
        weights=tuple(weights),
        names=names,
        non_weights=non_weights,
        position_tables=tuple(tables.values()),
        unused_reason=unused_reason,
    )


_KINDS = {
    "bert": _open_bert,
    "roberta": _open_bert,
    "gpt2": _open_gpt2,
    "bert-generation": _open_bert_generation,
    "encoder-decoder": _open_pair,
}
