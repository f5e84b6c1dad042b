"""Tasks name metrics that exist, and compare a run with the paper's result."""

import importlib
import json

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import paper_results, tasks
from bertgen_jax.metrics import catalogue
from bertgen_jax.metrics.baselines import BASELINES
from bertgen_jax.models import presets
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.warm_start.recipes import RECIPES
from configs import common


def model_config(size, vocab_size=28_996):
    stack = BertGenerationConfig(vocab_size=vocab_size, **presets.SIZES[size])
    return EncoderDecoderConfig.from_stacks(stack, stack, decoder_start_token_id=2)


def get_config(name, variant=""):
    return importlib.import_module(f"configs.{name}").get_config(variant)


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_names_metrics_and_results_that_exist(name):
    task = tasks.get(name)
    measured = catalogue.value_names(task.metrics)
    assert task.baseline in BASELINES
    assert set(task.paper_names) <= set(measured)
    if task.dataset:
        _, names, rows = paper_results.DATASETS[task.dataset]
        published = set(task.paper_names.values())
        assert set(names) <= set(measured) | published
        assert {row.partition("/")[0] for row in rows} <= set(RECIPES)


def test_a_run_like_the_papers_differs_in_nothing():
    config = get_config("bbc_summarize")
    result = tasks.paper_result(config, model_config("base", 50_358), "test", 11_334)
    assert (result.table, result.setup, result.layers) == (
        "Table 5",
        "robertashare",
        12,
    )
    assert result.metrics == {"rouge1": 39.87, "rouge2": 17.50, "rougeL": 32.37}
    assert result.differences == ()


def test_24_layers_are_compared_with_their_own_row():
    config = get_config("wikisplit_split")
    result = tasks.paper_result(config, model_config("large"), "test", 5_000)
    assert result.layers == 24
    assert result.metrics == {"exact": 16.6, "sari": 63.7, "bleu-nltk": 77.3}


def test_a_demo_lists_its_differences():
    config = get_config("wikisplit_split", "demo")
    result = tasks.paper_result(config, model_config("tiny", 900), "validation", 80)
    text = "; ".join(result.differences)
    assert "80 examples of demo:splits/validation, not the test set of 5,000" in text
    assert "2 layers of width" in text
    assert "a vocabulary of 900 pieces" in text
    assert "steps, not 300,000" in text
    assert "16 examples a step, not 256" in text
    assert "source tokens, not 128" in text


@pytest.mark.parametrize(("variant", "sari"), [("", 89.2), ("10%", 86.0), ("1%", 80.8)])
def test_parts_of_discofuse_have_their_columns(variant, sari):
    config = get_config("discofuse_fuse", variant)
    config.init.recipe = "bertshare"
    result = tasks.paper_result(config, model_config("base"), "test", 45_000)
    assert result.metrics["sari"] == sari
    assert ("exact" in result.metrics) == (variant == "")
    assert not any("training data" in text for text in result.differences)


def test_summary_level_rouge_l_and_uncased_bleu_are_the_papers():
    config = get_config("cnndm_summarize")
    result = tasks.paper_result(config, model_config("base"), "test", 11_490)
    assert result.metrics == {"rouge1": 40.10, "rouge2": 18.95, "rougeLsum": 37.39}
    config = get_config("wmt14_de_en", "newstest2016")
    result = tasks.paper_result(config, model_config("base", 119_547), "test", 2_999)
    assert result.metrics == {"bleu-tfmodels": 39.6}


def test_a_run_that_the_paper_does_not_have_has_no_result():
    config = common.get_config()
    assert tasks.paper_result(config, model_config("base"), "test", 5) is None
    config.task, config.init.recipe = "bbc_xsum", "rndshare"
    assert tasks.paper_result(config, model_config("base"), "test", 5) is None


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match=r"'wikisplits'.*Did you mean 'wikisplit'"):
        tasks.get("wikisplits")
    with pytest.raises(ConfigError, match=r"no results for 'xsum'"):
        paper_results.find("xsum", "bertshare", 12)


def test_the_tables_are_those_of_the_paper(data_dir):
    path = data_dir.parent / "reference" / "paper_results.json"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    seen = 0
    for record in json.loads(path.read_text()):
        dataset = {"discofuse-wikipedia-balanced": "discofuse"}.get(
            record["dataset"], record["dataset"]
        )
        in_a_table = record["kind"] == "paper" and record["source"][:7] in (
            "Table 2",
            "Table 3",
            "Table 4",
            "Table 5",
        )
        if not in_a_table or record["setup"].lower() not in RECIPES:
            continue
        if record.get("block") == "custom BERT 12 layers":
            continue  # the row of 24 layers is used instead of a public one
        if record.get("train_fraction", 1.0) != 1.0:
            dataset = f"discofuse-{100 * record['train_fraction']:g}%"
        if "direction" in record:
            dataset = f"{record['testset']}-{record['direction']}"
        row = paper_results.find(dataset, record["setup"].lower(), record["layers"])
        assert dict(row.metrics) == record["metrics"]
        assert (row.table, row.layers) == (record["source"], record["layers"])
        seen += 1
    assert seen == sum(len(rows) for _, _, rows in paper_results.DATASETS.values())
