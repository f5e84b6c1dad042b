"""Every config builds, is locked, and says what it means."""

import importlib
import pathlib

import pytest

from bertgen_jax import recipes
from bertgen_jax.decoding.config import LENGTH_PENALTY_FORMS
from bertgen_jax.training import optimizers, schedules

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common"
)
VARIANTS = ("", "demo")


@pytest.fixture(params=[(name, v) for name in NAMES for v in VARIANTS], ids=str)
def config(request):
    name, variant = request.param
    return importlib.import_module(f"configs.{name}").get_config(variant)


def test_every_name_in_it_exists(config):
    assert config.init.recipe in recipes.RECIPES
    assert config.optim.name in optimizers.NAMES
    assert config.optim.schedule in schedules.NAMES
    assert config.decode.length_penalty_form in LENGTH_PENALTY_FORMS


def test_it_decodes_no_further_than_it_was_trained(config):
    assert config.decode.max_new_tokens <= config.data.max_target_tokens


def test_a_typo_answers_with_the_nearest_name(config):
    with pytest.raises(AttributeError, match="learning_rate"):
        config.optim.learning_rat = 1.0


def test_every_default_has_its_reason():
    lines = (ROOT / "configs" / "common.py").read_text().splitlines()
    settings = [line for line in lines if " = " in line and "ConfigDict()" not in line]
    assert len(settings) > 50
    assert [line for line in settings if "  # " not in line] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_variant_is_refused(name):
    with pytest.raises(ValueError, match="demo"):
        importlib.import_module(f"configs.{name}").get_config("dmeo")


def test_xsum_is_the_papers_run():
    config = importlib.import_module("configs.bbc_summarize").get_config()
    assert (config.total_steps, config.batch_size) == (200_000, 128)
    data = config.data
    assert (data.max_source_tokens, data.max_target_tokens) == (512, 64)
    optim = config.optim
    assert (optim.name, optim.schedule) == ("adam", "paper")
    assert (optim.learning_rate, optim.warmup_steps) == (0.05, 40_000)
    decode = config.decode
    assert (decode.num_beams, decode.length_penalty) == (4, 0.6)
