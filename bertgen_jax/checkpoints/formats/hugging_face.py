"""Directories of Hugging Face transformers, of every age, in; a `Source` out."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from bertgen_jax.checkpoints import (
    gpt2_maps,
    huggingface,
    safetensors_files,
    spellings,
    tf_bundle,
    torch_pickle,
)
from bertgen_jax.checkpoints.formats import bert_stacks
from bertgen_jax.checkpoints.source import Positions, Source, translate
from bertgen_jax.checkpoints.tensor_files import TensorFile
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    BertGenerationConfig,
    EncoderDecoderConfig,
    read_config,
    read_json,
)

_CONFIG = "config.json"

# Weights of a directory; the first that is there is read.
_WEIGHTS: Mapping[str, Callable[[pathlib.Path], TensorFile]] = {
    "model.safetensors": safetensors_files.open_safetensors,
    "model.safetensors.index.json": safetensors_files.open_safetensors,
    "pytorch_model.bin": torch_pickle.open_torch,
    "pytorch_model.bin.index.json": torch_pickle.open_torch,
}


def recognise(directory: pathlib.Path, prefix: pathlib.Path | None) -> Source | None:
    """A directory with a config.json of the kinds in `_KINDS`.

    Raises:
      CheckpointError: it is of another kind; or a file is missing or damaged.
    """
    path = directory / _CONFIG
    if prefix is not None or not path.is_file():
        return None
    values = read_json(path)
    kind = values.get("model_type")
    if kind not in _KINDS:
        raise CheckpointError(
            f"{path}: model_type is {kind!r}; expected one of {', '.join(_KINDS)}."
        )
    found = [name for name in _WEIGHTS if (directory / name).is_file()]
    if not found:
        if tf_bundle.latest_prefix(directory) is not None:
            return None  # some publish TensorFlow's files under this config.json
        raise CheckpointError(
            f"{directory}: there are no weights beside {_CONFIG}; expected one of "
            f"{', '.join(_WEIGHTS)}."
        )
    tensors = _WEIGHTS[found[0]](directory / found[0])
    try:
        return _KINDS[kind](directory, values, tensors)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _encoder_only(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """BERT or RoBERTa."""
    kind = values["model_type"]
    config, first = bert_stacks.config(values)
    spelling = spellings.hugging_face(f"{kind}.")
    return bert_stacks.source(
        directory, f"Hugging Face {kind} model", kind, config, first, tensors, spelling
    )


def _generation(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """BertGeneration: an encoder, or a decoder with its head.

    Which one, the file knows better than `is_decoder`: published encoders have it set.
    """
    config = BertGenerationConfig.from_dict(values)
    names, foreign = translate(tensors, spellings.hugging_face(""))
    if any(name.startswith("bert.") for name in names):
        config = dataclasses.replace(config, is_decoder=True)
    else:
        config = dataclasses.replace(
            config, is_decoder=False, add_cross_attention=False
        )
    return Source(
        path=directory,
        format="Hugging Face bert-generation model",
        kind="bert-generation",
        config=config,
        tensors=tensors,
        weights=tuple(huggingface.weights_of(config)),
        names=names,
        foreign=foreign,
        unused=spellings.unused_of_ours,
    )


def _gpt2(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """GPT-2: a language model; one with a start token, as ours have, of prefixes."""
    names, foreign = translate(tensors, spellings.GPT2)
    config = read_config(directory)
    return Source(
        path=directory,
        format="Hugging Face gpt2 model",
        kind="gpt2",
        config=config,
        tensors=tensors,
        weights=tuple(huggingface.weights_of(config)),
        names=names,
        foreign=foreign,
        unused=gpt2_maps.unused,
    )


def _pair(
    directory: pathlib.Path, values: Mapping[str, Any], tensors: TensorFile
) -> Source:
    """An encoder-decoder; the encoder may be BERT or RoBERTa, the decoder GPT-2."""
    encoder = values.get("encoder")
    first, kind = 0, None
    if isinstance(encoder, Mapping):
        kind = encoder.get("model_type")
    if kind in ("bert", "roberta"):
        config, first = bert_stacks.config(encoder)
        values = {**values, "encoder": config.to_dict()}
    config = EncoderDecoderConfig.from_dict(values)
    names, foreign = translate(tensors, spellings.hugging_face(""))
    path = f"encoder/{bert_stacks.POSITIONS}"
    weights = [
        bert_stacks.with_rows_before(weight, first) if weight.path == path else weight
        for weight in huggingface.weights_of(config)
    ]
    segments = f"encoder.{spellings.TOKEN_TYPES}"
    table = Positions(path, first, segments if segments in names else "")

    def unused(name: str) -> str | None:
        side, _, rest = name.partition(".")
        if side == "encoder" and kind in ("bert", "roberta"):
            return spellings.unused(rest)
        return spellings.unused_of_ours(name) or gpt2_maps.unused(name)

    return Source(
        path=directory,
        format="Hugging Face encoder-decoder",
        kind="encoder-decoder",
        config=config,
        tensors=tensors,
        weights=tuple(weights),
        names=names,
        foreign=foreign,
        positions=(table,) if table.first or table.segments else (),
        unused=unused,
    )


_KINDS = {
    "bert": _encoder_only,
    "roberta": _encoder_only,
    "gpt2": _gpt2,
    "bert-generation": _generation,
    "encoder-decoder": _pair,
}
