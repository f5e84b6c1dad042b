"""Every config is valid, locked and documented, and states the paper's run."""

import importlib
import pathlib
import re

import pytest

from bertgen_jax.decoding.config import LENGTH_PENALTY_FORMS
from bertgen_jax.experiment import checks, paper_results, tasks
from bertgen_jax.training import optimizers
from bertgen_jax.warm_start import recipes

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common"
)
VARIANTS = ("", "demo")


@pytest.fixture(params=[(name, v) for name in NAMES for v in VARIANTS], ids=str)
def config(request):
    name, variant = request.param
    return importlib.import_module(f"configs.{name}").get_config(variant)


def test_every_value_is_valid(config):
    checks.check(config)


def test_every_name_exists(config):
    assert config.init.recipe in recipes.RECIPES
    assert config.optim.name in optimizers.OPTIMIZERS
    assert config.optim.schedule in optimizers.SCHEDULES
    assert config.decode.length_penalty_form in LENGTH_PENALTY_FORMS


def test_no_decoded_text_is_longer_than_the_trained_ones(config):
    assert config.decode.max_new_tokens <= config.data.max_target_tokens


def test_a_typo_is_answered_with_the_nearest_name(config):
    with pytest.raises(AttributeError, match="learning_rate"):
        config.optim.learning_rat = 1.0


def test_every_default_has_its_reason():
    text = (ROOT / "configs" / "common.py").read_text()
    lines = text.partition("return config.lock()")[0].splitlines()
    settings = [line for line in lines if " = " in line and "ConfigDict()" not in line]
    assert len(settings) > 50
    assert [line for line in settings if "  # " not in line] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_variant_is_refused(name):
    with pytest.raises(ValueError, match="demo"):
        importlib.import_module(f"configs.{name}").get_config("dmeo")


def get_config(name, variant=""):
    return importlib.import_module(f"configs.{name}").get_config(variant)


def test_a_card_trains_as_its_task_says_that_the_paper_did():
    """Steps, examples an update and longest texts, as section 4 states them."""
    runs = {}
    for name in NAMES:
        config = get_config(name)
        task = tasks.get(config.task)
        data, optim, decode = config.data, config.optim, config.decode
        runs[name] = (
            config.total_steps,
            config.batch_size,
            data.max_source_tokens,
            data.max_target_tokens,
        )
        assert runs[name] == (
            task.total_steps,
            task.batch_size,
            task.max_source_tokens,
            task.max_target_tokens,
        )
        assert (optim.name, optim.schedule) == ("adam", "paper")
        assert (optim.learning_rate, optim.warmup_steps) == (0.05, 40_000)
        assert (decode.num_beams, decode.length_penalty) == (4, 0.6)
    assert runs == {
        "bbc_summarize": (200_000, 128, 512, 64),
        "cnndm_summarize": (300_000, 128, 512, 128),
        "gigaword_summarize": (500_000, 256, 128, 32),
        "discofuse_fuse": (300_000, 256, 128, 128),
        "wikisplit_split": (300_000, 256, 128, 128),
        "wmt14_en_de": (527_000, 256, 128, 128),  # 30 epochs
        "wmt14_de_en": (527_000, 256, 128, 128),
    }


# The paper's data sets whose scores stand side by side in a card's table.
_COLUMNS = {
    "bbc_summarize": ("bbc_xsum",),
    "cnndm_summarize": ("cnn_dailymail",),
    "gigaword_summarize": ("gigaword",),
    "discofuse_fuse": ("discofuse", "discofuse-10%", "discofuse-1%"),
    "wikisplit_split": ("wikisplit",),
    "wmt14_en_de": ("newstest2014-en-de", "newstest2016-en-de"),
    "wmt14_de_en": ("newstest2014-de-en", "newstest2016-de-en"),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_expected_scores_of_a_card_are_those_of_the_papers_tables(name):
    def scores(setup, layers):
        rows = [
            paper_results.find(dataset, setup, layers) for dataset in _COLUMNS[name]
        ]
        return [score for row in rows for score in row.metrics.values()]

    def numbers(text):
        return [float(number) for number in re.findall(r"\d+\.\d+", text)]

    card = importlib.import_module(f"configs.{name}").__doc__
    seen = 0
    for line in card.splitlines():
        setup, _, rest = line.strip().partition(" ")
        if setup not in recipes.RECIPES or not numbers(rest):
            continue
        twelve, _, large = rest.partition("24 layers:")
        assert numbers(twelve) == scores(setup, 12)
        if large and "BERT of both languages" not in line:
            assert numbers(large) == scores(setup, 24)
        seen += 1
    assert seen >= 4


def test_the_variants_of_discofuse():
    for variant, part, fraction, task in (
        ("", "wikipedia", 1.0, "discofuse"),
        ("10%", "wikipedia", 0.1, "discofuse-10%"),
        ("1%", "wikipedia", 0.01, "discofuse-1%"),
        ("sports", "sports", 1.0, "discofuse-sports"),
        ("sports-10%", "sports", 0.1, "discofuse-sports"),
    ):
        config = get_config("discofuse_fuse", variant)
        assert config.data.train == f"discofuse_v1/{part}/train_balanced.tsv"
        assert (config.data.fraction, config.task) == (fraction, task)
    for variant in ("20%", "10%-sports", "sports-"):
        with pytest.raises(ValueError, match="1%"):
            get_config("discofuse_fuse", variant)


def test_the_years_of_wmt():
    config = get_config("wmt14_de_en", "newstest2016")
    assert config.task == "newstest2016-de-en"
    assert config.data.test == "wmt14/newstest2016.{en,de}"
    assert dict(config.data.columns) == {"source": "de", "target": "en", "id": ""}
