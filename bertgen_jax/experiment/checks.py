"""A config in, nothing out: refuses invalid values at once, not after hours of work."""

from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from bertgen_jax import normalization
from bertgen_jax.checkpoints.retention import Mode
from bertgen_jax.data.batching import parse_buckets
from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.experiment import tasks
from bertgen_jax.metrics import catalogue, rouge
from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.bert_generation import REMAT_POLICIES
from bertgen_jax.models.presets import SIZES
from bertgen_jax.warm_start import recipes

DTYPES = ("float32", "bfloat16")

# Values of the forward pass that an evaluation of any task has, beside the metrics of
# the task; any of them may decide which checkpoint is best.
_LOSSES = ("loss", "nll", "perplexity")  # lower is better
_FORWARD_VALUES = (*_LOSSES, "accuracy")

# The least value of each number, and what it counts.
_LEAST = {
    "seed": 0,
    "total_steps": 1,
    "batch_size": 1,
    "micro_batches": 1,
    "model.max_position_embeddings": 1,
    "model.layer_norm_eps": 0,
    "tokenizer.vocab_size": 1,
    "data.max_source_tokens": 1,
    "data.max_target_tokens": 1,
    "data.num_buckets": 1,
    "data.bucket_multiple": 1,
    "data.threads": 0,
    "data.prefetch": 0,
    "optim.learning_rate": 0,
    "optim.warmup_steps": 0,
    "optim.eps": 0,
    "optim.weight_decay": 0,
    "optim.clip_norm": 0,
    "eval.every_steps": 0,
    "eval.batch_size": 1,
    "eval.num_examples": 0,
    "eval.patience": 0,
    "decode.max_new_tokens": 1,
    "decode.min_new_tokens": 0,
    "decode.no_repeat_ngram_size": 0,
    "decode.num_beams": 1,
    "checkpoint.every_steps": 0,
    "checkpoint.keep_latest": 1,
    "checkpoint.keep_best": 1,
    "checkpoint.keep_every_steps": 0,
    "log.every_steps": 0,
    "mesh.fsdp": 1,
}
_SHARES = (  # at least 0 and below 1
    "label_smoothing",
    "ema_decay",
    "model.hidden_dropout_prob",
    "model.attention_probs_dropout_prob",
    "optim.b1",
    "optim.b2",
)


def check(config: ConfigDict) -> None:
    """Checks every value that needs no file to be checked.

    Raises:
      ConfigError: names the field, what it is, and what was expected.
    """
    for field, least in _LEAST.items():
        value = _value(config, field)
        if not value >= least:
            raise ConfigError(f"{field} is {value}; expected at least {least}.")
    for field in _SHARES:
        value = _value(config, field)
        if not 0 <= value < 1:
            raise ConfigError(f"{field} is {value}; expected 0 <= {field} < 1.")
    for field, names in (
        ("model.size", SIZES),
        ("model.dtype", DTYPES),
        ("model.hidden_act", ("", *ACTIVATIONS)),
        ("model.remat", REMAT_POLICIES),
        ("eval.metric", (*_FORWARD_VALUES, *_metric_values(config))),
        ("eval.sentence_ends", rouge.SENTENCE_ENDS),
        ("init.recipe", recipes.RECIPES),
        ("init.parts", recipes.PARTS),
        ("data.on_bad_row", ("raise", "skip")),
    ):
        _check_name(field, _value(config, field), names)
    for field in (
        "data.max_source_tokens",
        "data.max_target_tokens",
        "decode.max_new_tokens",
    ):
        positions = config.model.max_position_embeddings
        if _value(config, field) > positions:
            raise ConfigError(
                f"{field} is {_value(config, field)}, model.max_position_embeddings is "
                f"{positions}; expected no text longer than the model has positions."
            )
    if not 0 < config.data.fraction <= 1:
        raise ConfigError(
            f"data.fraction is {config.data.fraction}; expected 0 < data.fraction <= 1."
        )
    normalization.parse_steps(config.tokenizer.normalization)
    normalization.parse_steps(config.eval.normalization)
    recipes.Selection.parse(config.init.parts, config.init.layers, config.init.mlm_bias)
    if config.data.buckets:
        parse_buckets(config.data.buckets)
    for split in ("validation", "test"):
        if config.data.train and config.data.train == config.data[split]:
            raise ConfigError(
                f"data.train and data.{split} are both {config.data.train!r}; expected "
                "different texts. A name of a hub or of a demo takes a split: "
                "hf:NAME#validation, demo:NAME/validation."
            )


def best_mode(metric: str) -> Mode:
    """Returns whether the best value of an `eval.metric` is its "min" or "max"."""
    of_texts = catalogue.metric_of(metric)
    is_lower = metric in _LOSSES or (of_texts is not None and of_texts.lower_is_better)
    return "min" if is_lower else "max"


def _metric_values(config: ConfigDict) -> tuple[str, ...]:
    """Returns the names of the task's metric values of which some are better."""
    metrics = map(catalogue.get, tasks.get(config.task).metrics)
    return tuple(
        name for metric in metrics if not metric.is_descriptive for name in metric.names
    )


def _value(config: ConfigDict, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config


def _check_name(field: str, value: str, names: Collection[str]) -> None:
    if value not in names:
        raise ConfigError(
            f"{field} is {value!r}; expected one of {', '.join(names)}."
            f"{nearest(value, names)}"
        )
