"""A foreign config.json in; an object out in which what we read has its right type.

Whoever reads a value further on may then compare and count with it, and need not think
of what else JSON can hold.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files import json_files

_MAX_BYTES = 32 << 20  # some list thousands of labels
_LARGEST = 1e6  # of what is no count: rates, deviations and epsilons


def _is_integer(value: Any) -> bool:
    return type(value) is int  # True is an int, too


def _is_id(value: Any) -> bool:
    return value is None or _is_integer(value)


def _are_ids(value: Any) -> bool:
    return _is_id(value) or (isinstance(value, list) and all(map(_is_integer, value)))


def _is_number(value: Any) -> bool:
    # Not so NaN, nor integers that no float can hold.
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
    name: (what, holds) for what, holds, names in _KINDS for name in names.split()
}


def read(path: pathlib.Path) -> dict[str, Any]:
    """Reads a config.json, bert_config.json or hparams.json.

    Raises:
      CheckpointError: it cannot be read, is no JSON object, or a field that is read
        here has a value of another type.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CheckpointError(
                f"{path}: {path.stat().st_size:,} bytes; expected a configuration, "
                f"and {_MAX_BYTES:,} at most."
            )
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected a configuration."
        ) from error
    values = json_files.parse_object(data, str(path))
    _check(values, str(path))
    return values


def _check(
    values: Mapping[str, Any],
    where: str,
    sides: tuple[str, ...] = ("encoder", "decoder"),
) -> None:
    for name, value in values.items():
        what, holds = _EXPECTED.get(name, ("", None))
        if holds is not None and not holds(value):
            raise CheckpointError(f"{where}: {name} is {value!r:.99}; expected {what}.")
    for side in sides:
        if side in values:
            _check(values[side], f"{where}, {side}", sides=())
