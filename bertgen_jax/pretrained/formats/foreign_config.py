"""Reads config files of published checkpoints, and checks the types of their values.

Later code can then compute with the values without checking their types again.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files

_MAX_BYTES = 32 << 20  # some list thousands of labels
_LARGEST = 1e6  # bound of numbers other than counts: rates, deviations, epsilons


def _is_integer(value: Any) -> bool:
    return type(value) is int  # True is an int, too


def _is_id(value: Any) -> bool:
    return value is None or _is_integer(value)


def _are_ids(value: Any) -> bool:
    return _is_id(value) or (isinstance(value, list) and all(map(_is_integer, value)))


def _is_number(value: Any) -> bool:
    # Excludes NaN, and integers that no float can hold.
    is_real = _is_integer(value) or isinstance(value, float)
    return is_real and abs(value) < _LARGEST


_KINDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (
        "an integer",
        _is_integer,
        "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size"
        " max_position_embeddings n_vocab n_ctx n_positions n_embd n_layer n_head",
    ),
    ("an integer or null", _is_id, "n_inner"),
    ("an id or null", _is_id, "pad_token_id bos_token_id decoder_start_token_id"),
    ("an id, a list of them or null", _are_ids, "eos_token_id"),
    (
        "a number",
        _is_number,
        "hidden_dropout_prob attention_probs_dropout_prob initializer_range"
        " layer_norm_eps layer_norm_epsilon resid_pdrop attn_pdrop embd_pdrop",
    ),
    (
        "true or false",
        lambda value: isinstance(value, bool),
        "is_decoder add_cross_attention tie_word_embeddings lm_head_bias"
        " lm_head_transform pre_layer_norm tie_encoder_decoder share_encoder_decoder"
        " share_embeddings scale_attn_weights scale_attn_by_inverse_layer_idx"
        " reorder_and_upcast_attn",
    ),
    (
        "a string",
        lambda value: isinstance(value, str),
        "model_type hidden_act activation_function position_embedding_type",
    ),
    ("an object", lambda value: isinstance(value, dict), "encoder decoder"),
)
_EXPECTED = {
    name: (kind, is_valid) for kind, is_valid, names in _KINDS for name in names.split()
}


def read(path: pathlib.Path) -> dict[str, Any]:
    """Reads a config.json, bert_config.json or hparams.json.

    Raises:
      CheckpointError: the file cannot be read or is not a JSON object, or a field that
        we use has a value of another type.
    """
    values = json_files.read_object(
        path, expected="a configuration", max_bytes=_MAX_BYTES
    )
    _check(values, str(path))
    return values


def _check(
    values: Mapping[str, Any],
    where: str,
    sides: tuple[str, ...] = ("encoder", "decoder"),
) -> None:
    for name, value in values.items():
        expected, is_valid = _EXPECTED.get(name, ("", None))
        if is_valid is not None and not is_valid(value):
            raise CheckpointError(
                f"{where}: {name} is {value!r:.99}; expected {expected}."
            )
    for side in sides:
        if side in values:
            _check(values[side], f"{where}, {side}", sides=())
