"""Invalid values are refused at once, with the field and what was expected."""

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import checks
from configs import bbc_summarize, common


@pytest.mark.parametrize("variant", ["", "demo"])
def test_the_shipped_configs_pass(variant):
    checks.check(bbc_summarize.get_config(variant))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("total_steps", 0, "total_steps is 0; expected at least 1"),
        ("micro_batches", 0, "micro_batches is 0"),
        ("seed", -1, "seed is -1"),
        ("ema_decay", -1.0, r"ema_decay is -1\.0; expected 0 <= ema_decay < 1"),
        ("label_smoothing", 1.5, "label_smoothing is 1.5"),
        ("optim.eps", float("nan"), r"optim\.eps is nan"),
        ("data.bucket_multiple", 0, r"data\.bucket_multiple is 0"),
        ("model.size", "lage", "Did you mean 'large'"),
        ("model.dtype", "bfloat", "Did you mean 'bfloat16'"),
        ("model.remat", "dot", "Did you mean 'dots'"),
        ("eval.metric", "rougel", "Did you mean 'rougeL'"),
        ("init.recipe", "bertshared", "Did you mean 'bertshare'"),
        ("data.on_bad_row", "ignore", "expected one of raise, skip"),
        ("data.max_source_tokens", 513, "max_position_embeddings is 512"),
        ("decode.max_new_tokens", 600, r"decode\.max_new_tokens is 600"),
        ("data.buckets", ((64, 0),), "64"),
        ("data.validation", "same.jsonl", "are both 'same.jsonl'"),
        ("eval.metric", "repetition", "expected one of loss"),
        ("data.fraction", 0.0, r"0 < data\.fraction <= 1"),
        ("data.fraction", 1.5, r"data\.fraction is 1\.5"),
    ],
)
def test_what_is_refused(field, value, message):
    config = common.get_config()
    config.data.train = "same.jsonl"
    *path, name = field.split(".")
    part = config
    for step in path:
        part = part[step]
    part[name] = value
    with pytest.raises(ConfigError, match=message):
        checks.check(config)


def test_every_number_of_the_defaults_has_a_limit_or_may_be_anything():
    free = {
        "model.layer_norm_eps",
        "model.initializer_range",
        "decode.length_penalty",
        "mesh.data",
        "data.fraction",  # checked by itself
    }
    named = free | checks._LEAST.keys() | set(checks._SHARES)

    def numbers(part, prefix=""):
        for name, value in part.items():
            if hasattr(value, "items"):
                yield from numbers(value, f"{prefix}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{prefix}{name}"

    assert set(numbers(common.get_config())) == named


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("loss", "min"),
        ("perplexity", "min"),
        ("accuracy", "max"),
        ("rougeL", "max"),
        ("sari_keep", "max"),
        ("ter", "min"),
    ],
)
def test_the_best_checkpoint_follows_the_direction_of_its_metric(metric, mode):
    assert checks.best_mode(metric) == mode
