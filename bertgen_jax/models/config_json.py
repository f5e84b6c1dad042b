"""Reads and writes config.json: the field names and defaults of each published model.

BertGeneration's file has the fields of `BertGenerationConfig`. Those of BERT, RoBERTa
and GPT-2 are translated here, to fields and back.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from bertgen_jax.errors import CheckpointError, ConfigError, in_file
from bertgen_jax.files import json_files

CONFIG = "config.json"

# Values of `model_type`.
BERT_GENERATION = "bert-generation"
BERT = "bert"
ROBERTA = "roberta"
GPT2 = "gpt2"
ENCODER_DECODER = "encoder-decoder"
ENCODER_TYPES: tuple[str, ...] = (BERT_GENERATION, BERT, ROBERTA)
STACK_TYPES: tuple[str, ...] = (*ENCODER_TYPES, GPT2)

_SIDE_TYPES = {"encoder": ENCODER_TYPES, "decoder": STACK_TYPES}

# The values of keys that a BERT's file leaves out: Hugging Face's defaults. For a
# stack that is part of a pair, version 4 wrote only the values that differ from them.
_BERT_DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
_DEFAULTS_OF_BERTS = {
    BERT: _BERT_DEFAULTS,
    ROBERTA: {
        **_BERT_DEFAULTS,
        "vocab_size": 50265,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
}

# Our name of a field: GPT-2's.
_GPT2_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "hidden_act": "activation_function",
    "hidden_dropout_prob": "resid_pdrop",
    "attention_probs_dropout_prob": "attn_pdrop",
    "max_position_embeddings": "n_positions",
    "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_epsilon",
    "pad_token_id": "pad_token_id",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "add_cross_attention": "add_cross_attention",
    "tie_word_embeddings": "tie_word_embeddings",
}

# The values of keys that a GPT-2's file leaves out, as old files do.
_GPT2_DEFAULTS = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,  # 4 * n_embd
    "activation_function": "gelu_new",
    "resid_pdrop": 0.1,
    "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "bos_token_id": 50256,  # <|endoftext|>
    "eos_token_id": 50256,
    "pad_token_id": None,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}

# Options of GPT-2 variants, with the only supported values: the released GPT-2's.
_GPT2_FIXED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
}

Config = TypeVar("Config")


def read(
    directory: str | os.PathLike[str],
    readers: Mapping[str, Callable[[Mapping[str, Any]], Config]],
    file: str = CONFIG,
) -> Config:
    """Reads the configuration of a model directory.

    Args:
      directory: the model directory.
      readers: `model_type` -> the function that makes a configuration of the file's
        mapping.
      file: the name of the file in the directory.

    Raises:
      CheckpointError: the file is missing, describes a model of another kind, or has an
        invalid value.
    """
    path = pathlib.Path(directory) / file
    expected = f"a model directory with a {path.name}"
    values = json_files.read_object(path, expected=expected)
    model_type = values.get("model_type")
    # Compared as a list, because the value may be a list or an object without a hash.
    if model_type not in list(readers):
        raise CheckpointError(
            f"{path}: model_type is {model_type!r}; expected "
            f"{' or '.join(map(repr, readers))}."
        )
    with in_file(path):
        return readers[model_type](values)


def stack_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Translates the file of one stack to the fields of `BertGenerationConfig`.

    Args:
      values: config.json of a model of one of `STACK_TYPES`, or OpenAI's hparams.json.

    Returns:
      The fields; unknown keys of the file may stand beside them.

    Raises:
      ConfigError: the file sets an option that is not supported.
    """
    if _is_gpt2(values):
        return _gpt2_fields(values)
    if values.get("model_type") in (BERT, ROBERTA):
        values = _bert_fields(values)
    position_type = values.get("position_embedding_type", "absolute")
    if position_type != "absolute":
        raise ConfigError(
            f"position_embedding_type is {position_type!r}; expected 'absolute', the "
            "only kind that transformers has had since version 5."
        )
    return dict(values)


def stack_values(model_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of one stack's config.json, readable by Hugging Face.

    Args:
      model_type: one of `STACK_TYPES`.
      fields: all of the stack's configuration.
    """
    if model_type != GPT2:
        return {"model_type": model_type, **fields}
    return {
        "model_type": GPT2,
        **{theirs: fields[ours] for ours, theirs in _GPT2_NAMES.items()},
        "embd_pdrop": fields["hidden_dropout_prob"],
        "is_decoder": True,
    }


@contextlib.contextmanager
def names_of_file(values: Mapping[str, Any]) -> Iterator[None]:
    """Reports errors about fields by the names that they have in a stack's file.

    Raises:
      ConfigError: the block raised a ConfigError.
    """
    try:
        yield
    except ConfigError as error:
        if not _is_gpt2(values):
            raise
        message = str(error)
        for ours, theirs in _GPT2_NAMES.items():
            message = message.replace(ours, theirs)
        raise ConfigError(message) from error


def pair_stacks(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the part of an encoder-decoder's config that describes each stack.

    Raises:
      ConfigError: a stack is missing or is of another architecture.
    """
    stacks: dict[str, Mapping[str, Any]] = {}
    for side, types in _SIDE_TYPES.items():
        stack = values.get(side)
        if not isinstance(stack, Mapping):
            raise ConfigError(
                f"no {side!r} in an encoder-decoder config; found "
                f"{', '.join(values) or 'nothing'}, expected a mapping of that name."
            )
        model_type = stack.get("model_type", BERT_GENERATION)
        if model_type not in types:
            raise ConfigError(
                f"the {side} is a {model_type!r} model; expected "
                f"{' or '.join(map(repr, types))}."
            )
        # Some published files do not set is_decoder for the decoder.
        stacks[side] = {**stack, "is_decoder": True} if side == "decoder" else stack
    return stacks


def first_position(values: Mapping[str, Any]) -> int:
    """Returns the row of the position table that the first token takes.

    RoBERTa uses the rows up to that of the pad id for padding.

    Args:
      values: a config.json, or Google's bert_config.json.

    Raises:
      ConfigError: the pad id is invalid.
    """
    if values.get("model_type") != ROBERTA:
        return 0
    pad_id = values.get("pad_token_id", _DEFAULTS_OF_BERTS[ROBERTA]["pad_token_id"])
    if not isinstance(pad_id, int) or pad_id < 0:
        raise ConfigError(f"pad_token_id is {pad_id!r}; expected an id.")
    return pad_id + 1


def _bert_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Translates the config.json of a BERT or RoBERTa.

    The names of the fields are ours. Positions are counted for tokens only, and a
    decoder has the head of a masked language model.
    """
    values = {**_DEFAULTS_OF_BERTS[values["model_type"]], **values}
    is_decoder = values.get("is_decoder", False)
    positions = values["max_position_embeddings"]
    if isinstance(positions, int):  # otherwise the config raises an error
        values["max_position_embeddings"] = positions - first_position(values)
    activation = values.get("hidden_act", "gelu")
    if values["model_type"] == ROBERTA and is_decoder and activation != "gelu":
        raise ConfigError(
            f"hidden_act is {activation!r} in a RoBERTa decoder; expected 'gelu', "
            "because RoBERTa's head always computes gelu, while here the head computes "
            "what the layers do."
        )
    return {**values, "lm_head_transform": bool(is_decoder)}


def _is_gpt2(values: Mapping[str, Any]) -> bool:
    """Whether this is a GPT-2's config.json or OpenAI's hparams.json."""
    return values.get("model_type") == GPT2 or "n_vocab" in values


def _gpt2_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Translates the config.json or hparams.json of a GPT-2."""
    values = dict(values)
    for name in ("n_vocab", "n_embd"):  # other values derive from these
        if not isinstance(values.get(name, 1), int):
            raise ConfigError(f"{name} is {values[name]!r}; expected an integer.")
    if "n_vocab" in values:  # hparams.json: five sizes; <|endoftext|> is the last id
        values.setdefault("vocab_size", values["n_vocab"])
        values.setdefault("bos_token_id", values["n_vocab"] - 1)
        values.setdefault("eos_token_id", values["n_vocab"] - 1)
    if "n_ctx" in values:  # the name in hparams.json and the oldest config.json
        values.setdefault("n_positions", values["n_ctx"])
    for name, value in _GPT2_FIXED.items():
        if values.get(name, value) != value:
            raise ConfigError(
                f"{name} is {values[name]!r}; expected {value!r}, as in the released "
                "GPT-2, because nothing else is computed here."
            )
    values = {**_GPT2_DEFAULTS, **values}
    if values.setdefault("embd_pdrop", values["resid_pdrop"]) != values["resid_pdrop"]:
        raise ConfigError(
            f"embd_pdrop is {values['embd_pdrop']!r} and resid_pdrop is "
            f"{values['resid_pdrop']!r}; expected one rate, which here is "
            "hidden_dropout_prob. Without training neither matters: make them equal."
        )
    if values["n_inner"] is None:
        values["n_inner"] = 4 * values["n_embd"]
    fields = {ours: values[theirs] for ours, theirs in _GPT2_NAMES.items()}
    return {**fields, "is_decoder": True, "lm_head_bias": False, "pre_layer_norm": True}
