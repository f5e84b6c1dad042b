"""Checks the values of a config before any file is opened."""

import contextlib
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from bertgen_jax import normalization
from bertgen_jax.checkpoints.retention import Mode
from bertgen_jax.data.batching import parse_buckets
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError, check_choice
from bertgen_jax.experiment import settings, tasks
from bertgen_jax.metrics import catalogue, rouge
from bertgen_jax.models import rematerialization
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.warm_start import recipes

DTYPES = ("float32", "bfloat16")
BAD_STEP_ACTIONS = ("stop", "skip", "rewind")

# Metrics of the forward pass. Every task has them beside its own metrics, and any of
# them may decide which checkpoint is best.
_LOSSES = ("loss", "nll", "perplexity")  # lower is better
_FORWARD_VALUES = (*_LOSSES, "accuracy")

# Least values of the numbers that no class called below checks.
_LEAST = {
    "seed": 0,
    "total_steps": 1,
    "micro_batches": 1,
    "watchdog_s": 0,
    "model.layer_norm_eps": 0,
    "tokenizer.vocab_size": 1,
    "data.max_source_tokens": 1,
    "data.num_buckets": 1,
    "data.bucket_multiple": 1,
    "data.workers": 0,
    "data.threads": 0,
    "data.prefetch": 0,
    "optim.learning_rate": 0,
    "optim.warmup_steps": 0,
    "optim.eps": 0,
    "optim.weight_decay": 0,
    "optim.clip_norm": 0,
    "eval.every_steps": 0,
    "eval.num_examples": 0,
    "eval.patience": 0,
    "checkpoint.every_steps": 0,
    "checkpoint.keep_latest": 1,
    "checkpoint.keep_best": 1,
    "checkpoint.keep_every_steps": 0,
    "bad_steps.spike_factor": 0,
    "bad_steps.window": 1,
    "bad_steps.limit": 0,
    "log.every_steps": 0,
}
_FRACTIONS = (  # at least 0 and below 1
    "label_smoothing",
    "ema_decay",
    "optim.b1",
    "optim.b2",
)


def check(config: ConfigDict) -> None:
    """Checks every value of a config that can be checked without a file.

    Raises:
      ConfigError: names the field, its value and what was expected.
    """
    for field, least in _LEAST.items():
        value = _value(config, field)
        if not value >= least:
            raise ConfigError(f"{field} is {value}; expected at least {least}.")
    for field in _FRACTIONS:
        value = _value(config, field)
        if not 0 <= value < 1:
            raise ConfigError(f"{field} is {value}; expected 0 <= {field} < 1.")
    fraction = config.data.fraction
    if not 0 < fraction <= 1:
        raise ConfigError(
            f"data.fraction is {fraction}; expected 0 < data.fraction <= 1."
        )
    factor = config.bad_steps.spike_factor
    if 0 < factor <= 1:
        raise ConfigError(
            f"bad_steps.spike_factor is {factor}, and half of all steps are above the "
            "median; expected more than 1, such as 5, or 0."
        )
    for field, names in (
        ("model.size", SIZES),
        ("model.dtype", DTYPES),
        ("model.remat", ("auto", *rematerialization.POLICIES)),
        ("bad_steps.action", BAD_STEP_ACTIONS),
        ("eval.metric", (*_FORWARD_VALUES, *_metric_values(config))),
        ("eval.sentence_ends", rouge.SENTENCE_ENDS),
    ):
        check_choice(field, _value(config, field), names)
    for split in ("validation", "test"):
        if config.data.train and config.data.train == config.data[split]:
            raise ConfigError(
                f"data.train and data.{split} are both {config.data.train!r}; expected "
                "different texts. The name of a hub or demo data set takes a split: "
                "hf:NAME#validation, demo:NAME/validation."
            )
    # These classes and functions check their own values; call them before any work.
    recipes.get(config.init.recipe)
    settings.selection(config)
    with _in_section("data"):
        settings.encoding_spec(config)
    normalization.parse_steps(config.tokenizer.normalization)
    normalization.parse_steps(config.eval.normalization)
    if config.data.buckets:
        parse_buckets(config.data.buckets)
    _check_model(config)
    with _in_section("decode"):
        GenerationConfig(**settings.generation_settings(config))


def _check_model(config: ConfigDict) -> None:
    """Checks the fields of a stack, and that it has positions for the longest texts.

    A checkpoint may have fewer positions; `new_run.make_architecture` checks them.
    """
    fields = settings.stack_settings(config)
    with _in_section("model"):
        stack = BertGenerationConfig(
            **SIZES[config.model.size],
            **{name: value for name, value in fields.items() if value is not None},
        )
    for field in (
        "data.max_source_tokens",
        "data.max_target_tokens",
        "decode.max_new_tokens",
    ):
        value, positions = _value(config, field), stack.max_position_embeddings
        if value > positions:
            raise ConfigError(
                f"{field} is {value}; model.max_position_embeddings is {positions}. "
                "Lower the first, or raise the second."
            )


@contextlib.contextmanager
def _in_section(section: str) -> Iterator[None]:
    """Adds the section of the config to the field that an error message begins with."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{section}.{error}") from error


def best_mode(metric: str) -> Mode:
    """Returns whether the best value of an `eval.metric` is its "min" or "max"."""
    task_metric = catalogue.metric_of(metric)
    lower_is_better = metric in _LOSSES or (
        task_metric is not None and task_metric.lower_is_better
    )
    return "min" if lower_is_better else "max"


def _metric_values(config: ConfigDict) -> tuple[str, ...]:
    """Returns the names of the task's metric values, without descriptive ones."""
    metrics = map(catalogue.get, tasks.get(config.task).metrics)
    return tuple(
        name for metric in metrics if not metric.is_descriptive for name in metric.names
    )


def _value(config: ConfigDict, field: str) -> Any:
    for name in field.split("."):
        config = config[name]
    return config
