"""Invalid values are refused at once; the message names the field and what is valid."""

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import checks
from configs import bbc_summarize, common


@pytest.mark.parametrize("variant", ["", "demo"])
def test_the_shipped_configs_are_valid(variant):
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
        ("model.hidden_act", "gelu_", r"model\.hidden_act is .*'gelu'"),
        ("model.hidden_dropout_prob", 1.0, r"model\.hidden_dropout_prob is 1\.0"),
        ("model.max_position_embeddings", 0, "expected a positive integer"),
        ("decode.num_beams", 0, r"decode\.num_beams is 0"),
        ("decode.early_stopping", "maybe", r"decode\.early_stopping is 'maybe'"),
        ("decode.min_new_tokens", 200, "minimum that is not above the maximum"),
        ("data.max_target_tokens", 0, r"data\.max_target_tokens is 0"),
        ("init.parts", "heads", r"init\.parts is 'heads'; expected one of all, "),
        ("model.dtype", "bfloat", "Did you mean 'bfloat16'"),
        ("model.remat", "dot", "Did you mean 'dots'"),
        ("eval.metric", "rougel", "Did you mean 'rougeL'"),
        ("init.recipe", "bertshared", "Did you mean 'bertshare'"),
        (
            "data.max_source_tokens",
            513,
            r"data\.max_source_tokens is 513; model\.max_.* is 512",
        ),
        (
            "decode.max_new_tokens",
            600,
            r"decode\.max_new_tokens is 600; model\.max_.* is 512",
        ),
        ("data.buckets", ((64, 0),), "64"),
        ("data.validation", "same.jsonl", "are both 'same.jsonl'"),
        ("eval.metric", "repetition", r"eval\.metric is 'repetition'; expected one of"),
        ("data.fraction", 0.0, r"0 < data\.fraction <= 1"),
        ("data.fraction", 1.5, r"data\.fraction is 1\.5"),
    ],
)
def test_an_invalid_value_is_refused(field, value, message):
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
    anything = {"decode.length_penalty", "mesh.data"}
    checked_elsewhere = {
        "batch_size",  # sharding.check_batch, when the mesh is created
        "eval.batch_size",
        "mesh.fsdp",  # sharding.create_mesh
        "data.fraction",  # below the tables
        "data.max_target_tokens",  # EncodingSpec
        "model.hidden_dropout_prob",  # BertGenerationConfig
        "model.attention_probs_dropout_prob",
        "model.max_position_embeddings",
        "model.initializer_range",
        "decode.num_beams",  # GenerationConfig
        "decode.max_new_tokens",
        "decode.min_new_tokens",
        "decode.no_repeat_ngram_size",
    }
    in_tables = checks._LEAST.keys() | set(checks._FRACTIONS)

    def numbers(part, prefix=""):
        for name, value in part.items():
            if hasattr(value, "items"):
                yield from numbers(value, f"{prefix}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{prefix}{name}"

    assert set(numbers(common.get_config())) == anything | checked_elsewhere | in_tables


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
