"""The config.json of a BERT or RoBERTa in, the same in our terms out.

Their fields have the names of ours. What differs is what a file means that leaves one
out, and where positions begin.
"""

from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import ConfigError

MODEL_TYPE = "bert"
ROBERTA = "roberta"
MODEL_TYPES = (MODEL_TYPE, ROBERTA)

# What a file means that leaves a key out; the peer's defaults. Within the config of a
# pair, version 4 of it wrote only what differs from them.
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
_DEFAULTS = {
    MODEL_TYPE: _BERT_DEFAULTS,
    ROBERTA: {
        **_BERT_DEFAULTS,
        "vocab_size": 50265,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
}


def describes(values: Mapping[str, Any]) -> bool:
    """Whether a mapping is the config.json of a BERT or a RoBERTa."""
    return values.get("model_type") in MODEL_TYPES


def first_position(values: Mapping[str, Any]) -> int:
    """The row of the position table that the first token takes.

    RoBERTa's rows up to that of the pad id are for padding.

    Args:
      values: of a config.json, or of Google's bert_config.json.

    Raises:
      ConfigError: the pad id is none.
    """
    if values.get("model_type") != ROBERTA:
        return 0
    pad = values.get("pad_token_id", _DEFAULTS[ROBERTA]["pad_token_id"])
    if not isinstance(pad, int) or pad < 0:
        raise ConfigError(f"pad_token_id is {pad!r}; expected an id.")
    return pad + 1


def read(values: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a mapping that `describes` a BERT or RoBERTa to the fields of ours.

    Positions are counted for tokens only. A decoder has the head of a masked language
    model.

    Raises:
      ConfigError: it asks for something that ours does not compute, or a value cannot
        be meant.
    """
    values = {**_DEFAULTS[values["model_type"]], **values}
    is_decoder = values.get("is_decoder", False)
    positions = values["max_position_embeddings"]
    if isinstance(positions, int):  # else it is refused as it is
        values["max_position_embeddings"] = positions - first_position(values)
    act = values.get("hidden_act", "gelu")
    if values["model_type"] == ROBERTA and is_decoder and act != "gelu":
        raise ConfigError(
            f"hidden_act is {act!r} in a decoder of RoBERTa's; expected 'gelu', which "
            "its head computes whatever the layers do, while here both do the same."
        )
    return {**values, "lm_head_transform": bool(is_decoder)}
