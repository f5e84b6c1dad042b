"""Every config builds, is locked, and says what it means."""

import importlib
import pathlib

import pytest

from bertgen_jax.decoding.config import LENGTH_PENALTY_FORMS
from bertgen_jax.experiment import checks
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


def test_every_value_of_it_is_allowed(config):
    checks.check(config)


def test_every_name_in_it_exists(config):
    assert config.init.recipe in recipes.RECIPES
    assert config.optim.name in optimizers.OPTIMIZERS
    assert config.optim.schedule in optimizers.SCHEDULES
    assert config.decode.length_penalty_form in LENGTH_PENALTY_FORMS


def test_it_decodes_no_further_than_it_was_trained(config):
    assert config.decode.max_new_tokens <= config.data.max_target_tokens


def test_a_typo_answers_with_the_nearest_name(config):
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


def test_the_papers_runs():
    """Steps, examples an update and longest texts, as section 4 states them."""
    found = {
        name: (
            config.total_steps,
            config.batch_size,
            config.data.max_source_tokens,
            config.data.max_target_tokens,
        )
        for name in NAMES
        for config in [get_config(name)]
    }
    assert found == {
        "bbc_summarize": (200_000, 128, 512, 64),
        "cnndm_summarize": (300_000, 128, 512, 128),
        "gigaword_summarize": (500_000, 256, 128, 32),
        "discofuse_fuse": (300_000, 256, 128, 128),
        "wikisplit_split": (300_000, 256, 128, 128),
        "wmt14_en_de": (527_000, 256, 128, 128),  # 30 epochs
        "wmt14_de_en": (527_000, 256, 128, 128),
    }
    for name in NAMES:
        optim, decode = get_config(name).optim, get_config(name).decode
        assert (optim.name, optim.schedule) == ("adam", "paper")
        assert (optim.learning_rate, optim.warmup_steps) == (0.05, 40_000)
        assert (decode.num_beams, decode.length_penalty) == (4, 0.6)


def test_parts_of_discofuse():
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


def test_years_of_wmt():
    config = get_config("wmt14_de_en", "newstest2016")
    assert config.task == "newstest2016-de-en"
    assert config.data.test == "wmt14/newstest2016.{en,de}"
    assert dict(config.data.columns) == {"source": "de", "target": "en", "id": ""}
