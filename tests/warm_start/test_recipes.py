"""Tests of the recipes of the paper's Table 1, and of selections."""

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.presets import SIZES
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.warm_start import recipes
from bertgen_jax.warm_start.recipes import Selection

PIECES = {"bert": 28_996, "roberta": 50_358, "gpt2": 50_358}
LARGE = SIZES["large"]
SPECIAL_IDS = SpecialIds(pad=0, eos=1, unk=3, bos=2)


def test_names_of_recipes_agree_with_their_fields():
    assert recipes.get("bert2rnd") == recipes.Recipe("bert", None)
    assert recipes.get("robertashare").share_stacks
    assert recipes.get("gpt").decoder_only
    spelled = {None: "rnd", "bert": "bert", "roberta": "roberta", "gpt2": "gpt"}
    for name, recipe in recipes.RECIPES.items():
        assert recipe.share_stacks == name.endswith("share")
        if recipe.share_stacks:
            assert recipe.encoder == recipe.decoder
        elif name != "gpt":
            assert name == f"{spelled[recipe.encoder]}2{spelled[recipe.decoder]}"


def test_an_unknown_recipe_is_an_error():
    with pytest.raises(ConfigError, match="Did you mean 'bertshare'"):
        recipes.get("bertshared")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("", ()), ("3", (3,)), ("9,10, 13-15,24", (9, 10, 13, 14, 15, 24))],
)
def test_layers_are_parsed_from_numbers_and_ranges(layers, expected):
    assert Selection.parse("all", layers, False).layers == expected


@pytest.mark.parametrize(
    ("parts", "layers", "message"),
    [
        ("layer", "", "init.parts is 'layer'; expected one of .* mean 'layers'"),
        ("all", "9,x", "found 'x', expected the number of a layer"),
        ("all", "0-3", "expected numbers of layers, from 1"),
        ("all", "18-13", "found '18-13', expected the number of a layer or a range"),
        ("all", "1-1000000000", "found '1-1000000000', expected"),
        ("all", "9" * 5000, "found '9{9,99}, expected"),
        ("all", "-1", "found '-1', expected"),
    ],
)
def test_invalid_selections_are_errors(parts, layers, message):
    with pytest.raises(ConfigError, match=message) as error:
        Selection.parse(parts, layers, False)
    assert len(str(error.value)) < 500
