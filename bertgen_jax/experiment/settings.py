"""Translates fields of a config to arguments of the classes that they configure."""

from typing import Any

from ml_collections import ConfigDict

from bertgen_jax.data.encoding import EncodingSpec
from bertgen_jax.warm_start.recipes import Selection


def stack_settings(config: ConfigDict) -> dict[str, Any]:
    """Returns values for fields of `BertGenerationConfig`.

    The value of a field that the config leaves open is None. The field then has the
    checkpoint's value, or BERT's value without a checkpoint.
    """
    model = config.model
    return {
        "hidden_act": model.hidden_act or None,
        "hidden_dropout_prob": model.hidden_dropout_prob,
        "attention_probs_dropout_prob": model.attention_probs_dropout_prob,
        "max_position_embeddings": model.max_position_embeddings,
        "initializer_range": model.initializer_range,
        "layer_norm_eps": model.layer_norm_eps or None,
        "lm_head_bias": model.lm_head_bias or config.init.mlm_bias,
    }


def selection(config: ConfigDict) -> Selection:
    """Returns which part of the checkpoints the model starts from."""
    init = config.init
    return Selection.parse(init.parts, init.layers, init.mlm_bias)


def encoding_spec(config: ConfigDict) -> EncodingSpec:
    """Returns the lengths that texts are cut to."""
    data = config.data
    return EncodingSpec(data.max_source_tokens, data.max_target_tokens)


def longest_target(config: ConfigDict) -> int:
    """Returns the length of the longest target in training and in decoding."""
    return max(config.data.max_target_tokens, config.decode.max_new_tokens)


def generation_settings(config: ConfigDict) -> dict[str, Any]:
    """Returns values for fields of `GenerationConfig`, without the special ids."""
    values = dict(config.decode)
    # A flag has the type of its default, here a string, so True arrives as "True".
    booleans = {"true": True, "false": False}
    early_stopping = str(values["early_stopping"])
    values["early_stopping"] = booleans.get(early_stopping.lower(), early_stopping)
    return values
