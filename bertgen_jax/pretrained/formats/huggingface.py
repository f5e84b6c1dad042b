"""Directories of Hugging Face transformers, of every age, in; a `Source` out."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    first_position,
    read_config,
)
from bertgen_jax.pretrained import gpt2_maps, key_maps, saving
from bertgen_jax.pretrained.containers import safetensors_file, tf_bundle, torch_file
from bertgen_jax.pretrained.containers.tensor_file import TensorFile
from bertgen_jax.pretrained.formats import bert, foreign_config
from bertgen_jax.pretrained.formats.location import Place
from bertgen_jax.pretrained.opened_checkpoint import (
    Positions,
    Source,
    check_layers,
    translate,
)

_CONFIG = "config.json"
_TRUNK = "bert."  # the prefix of a decoder's names that are not the head's

# Weights of a directory; the first that is there is read.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def recognise(place: Place) -> Source | None:
    """A directory with a config.json of the kinds in `_KINDS`.

    Raises:
      CheckpointError: it is of another kind; or a file is missing or damaged.
    """
    directory, path = place.directory, place.directory / _CONFIG
    if place.prefix is not None or not path.is_file():
        return None
    weights = _weights(place)
    if weights is None and tf_bundle.latest_prefix(directory) is not None:
        return None  # some publish TensorFlow's files under this config.json
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
    try:
        return _KINDS[kind](directory, values, open_file(weights))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _weights(place: Place) -> pathlib.Path | None:
    """The file or index to read: the one that was named, or of those of a model."""
    if place.file is not None and {".safetensors", ".bin"} & {*place.file.suffixes}:
        return place.file
    found = (place.directory / name for name in _WEIGHTS)
    return next((path for path in found if path.is_file()), None)


def _bert(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """BERT or RoBERTa: an encoder, unless it says otherwise and has a decoder's head.

    Many an encoder was published with the head of its masked language model, and what
    says `is_decoder` may have lost its own: neither is a decoder.
    """
    kind = values["model_type"]
    names, _ = translate(tensors, key_maps.hugging_face_decoder(kind, ""))
    if values.get("is_decoder") and key_maps.TRANSFORM in names:
        return _bert_decoder(directory, values, tensors)
    config, first = bert.config(values)
    spelling = key_maps.hugging_face(f"{kind}.")
    return bert.source(
        directory, f"Hugging Face {kind} model", kind, config, first, tensors, spelling
    )


def _bert_decoder(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """BERT's or RoBERTa's language model; one with a start token, of prefixes."""
    kind = values["model_type"]
    spelling = key_maps.hugging_face_decoder(kind, "")
    names, foreign = translate(tensors, spelling)
    config = read_config(directory)
    check_layers(config, tensors)
    weights, positions = bert.with_their_tables(
        saving.weights_of(config), names, _TRUNK, first_position(values)
    )
    return Source(
        path=directory,
        format=f"Hugging Face {kind} language model",
        kind=kind,
        config=config,
        tensors=tensors,
        weights=tuple(weights),
        names=names,
        foreign=foreign,
        positions=positions,
        unused=lambda name: key_maps.unused(name.removeprefix(_TRUNK)),
        mlm_bias=bert.mlm_bias(names),
    )


def _generation(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """BertGeneration: an encoder, or a decoder with its head.

    Which one, the file knows better than `is_decoder`: published encoders have it set.
    A decoder with a start token, as ours have, is a model of prefixes.
    """
    names, foreign = translate(tensors, key_maps.hugging_face(""))
    if any(name.startswith(_TRUNK) for name in names):
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
    return Source(
        path=directory,
        format="Hugging Face bert-generation model",
        kind="bert-generation",
        config=config,
        tensors=tensors,
        weights=tuple(saving.weights_of(config)),
        names=names,
        foreign=foreign,
        unused=key_maps.unused_of_ours,
    )


def _gpt2(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """GPT-2: a language model; one with a start token, as ours have, of prefixes."""
    names, foreign = translate(tensors, key_maps.GPT2)
    config = read_config(directory)
    check_layers(config, tensors)
    return Source(
        path=directory,
        format="Hugging Face gpt2 model",
        kind="gpt2",
        config=config,
        tensors=tensors,
        weights=tuple(saving.weights_of(config)),
        names=names,
        foreign=foreign,
        unused=gpt2_maps.unused,
    )


def _pair(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """An encoder-decoder; its stacks may be BERT's or RoBERTa's, the decoder GPT-2."""
    config = EncoderDecoderConfig.from_dict(values)
    check_layers(config, tensors)
    kinds = {side: values[side].get("model_type") for side in ("encoder", "decoder")}
    spelling = key_maps.hugging_face_decoder(kinds["decoder"], "decoder.")
    names, foreign = translate(tensors, spelling)
    trunks = {"encoder": "encoder.", "decoder": f"decoder.{_TRUNK}"}
    trunks = {s: t for s, t in trunks.items() if kinds[s] in bert.KINDS}
    if config.shares(bert.POSITIONS):
        names = bert.without_repeated_segments(names, [*trunks.values()], tensors)
    weights = saving.weights_of(config)
    tables: dict[str, Positions] = {}
    for side, trunk in trunks.items():
        weights, positions = bert.with_their_tables(
            weights, names, trunk, first_position(values[side])
        )
        for table in positions:  # two of one path if it is shared, one with segments
            if table.segments or table.path not in tables:
                tables[table.path] = table

    def unused(name: str) -> str | None:
        for trunk in trunks.values():
            if name.startswith(trunk):
                return key_maps.unused(name.removeprefix(trunk))
        return key_maps.unused_of_ours(name) or gpt2_maps.unused(name)

    return Source(
        path=directory,
        format="Hugging Face encoder-decoder",
        kind="encoder-decoder",
        config=config,
        tensors=tensors,
        weights=tuple(weights),
        names=names,
        foreign=foreign,
        positions=tuple(tables.values()),
        unused=unused,
    )


_KINDS = {
    "bert": _bert,
    "roberta": _bert,
    "gpt2": _gpt2,
    "bert-generation": _generation,
    "encoder-decoder": _pair,
}
