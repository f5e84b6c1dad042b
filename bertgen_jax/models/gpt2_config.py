"""The config.json or hparams.json of a GPT-2 in, fields of ours out; and back."""

from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import ConfigError

MODEL_TYPE = "gpt2"

# Ours: theirs.
_NAMES = {
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

# What a file means that leaves a key out, as old ones do; the peer's defaults.
_DEFAULTS = {
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

# What some variants ask for and ours does not compute; the values are GPT-2's.
_NOT_COMPUTED = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
}


def describes(values: Mapping[str, Any]) -> bool:
    """Whether a mapping is that of a GPT-2: a config.json, or OpenAI's hparams.json."""
    return values.get("model_type") == MODEL_TYPE or "n_vocab" in values


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a mapping that `describes` a GPT-2 to fields of ours.

    Raises:
      ConfigError: it asks for something that ours does not compute.
    """
    values = dict(values)
    for name in ("n_vocab", "n_embd"):  # other values derive from these
        if not isinstance(values.get(name, 1), int):
            raise ConfigError(f"{name} is {values[name]!r}; expected an integer.")
    if "n_vocab" in values:  # hparams.json: five sizes; <|endoftext|> is the last id
        values.setdefault("vocab_size", values["n_vocab"])
        values.setdefault("bos_token_id", values["n_vocab"] - 1)
        values.setdefault("eos_token_id", values["n_vocab"] - 1)
    if "n_ctx" in values:  # its name for the positions, and that of the oldest files
        values.setdefault("n_positions", values["n_ctx"])
    for name, value in _NOT_COMPUTED.items():
        if values.get(name, value) != value:
            raise ConfigError(
                f"{name} is {values[name]!r}; expected {value!r}, as in the released "
                "GPT-2, for that is what is computed here."
            )
    values = {**_DEFAULTS, **values}
    if values.setdefault("embd_pdrop", values["resid_pdrop"]) != values["resid_pdrop"]:
        raise ConfigError(
            f"embd_pdrop is {values['embd_pdrop']!r} and resid_pdrop is "
            f"{values['resid_pdrop']!r}; expected one rate, which here is "
            "hidden_dropout_prob. Without training neither matters: make them equal."
        )
    if values["n_inner"] is None:
        values["n_inner"] = 4 * values["n_embd"]
    fields = {ours: values[theirs] for ours, theirs in _NAMES.items()}
    return {**fields, "is_decoder": True, "lm_head_bias": False, "pre_layer_norm": True}


def write(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Undoes `read`: the mapping that config.json holds, readable by Hugging Face."""
    values = {theirs: fields[ours] for ours, theirs in _NAMES.items()}
    return {
        "model_type": MODEL_TYPE,
        **values,
        "embd_pdrop": fields["hidden_dropout_prob"],
        "is_decoder": True,
    }


def in_their_names(message: str) -> str:
    """A message about fields of ours, in the words of the file."""
    for ours, theirs in _NAMES.items():
        message = message.replace(ours, theirs)
    return message
