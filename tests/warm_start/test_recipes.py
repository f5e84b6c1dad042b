"""Recipes are rows of the paper's Table 1, and make models of the sizes there."""

import math

import jax
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.presets import SIZES
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.warm_start import architecture, recipes
from bertgen_jax.warm_start.recipes import Selection

PIECES = {"bert": 28_996, "roberta": 50_358, "gpt2": 50_358}
LARGE = SIZES["large"]
SPECIAL_IDS = SpecialIds(pad=0, eos=1, unk=3, bos=2)


def test_what_the_rows_say():
    assert recipes.get("bert2rnd") == recipes.Recipe("bert", None)
    assert recipes.get("robertashare").share_stacks
    assert recipes.get("gpt").decoder_only
    shown = {None: "rnd", "bert": "bert", "roberta": "roberta", "gpt2": "gpt"}
    for name, recipe in recipes.RECIPES.items():
        assert recipe.share_stacks == name.endswith("share")
        if recipe.share_stacks:
            assert recipe.encoder == recipe.decoder
        elif name != "gpt":
            assert name == f"{shown[recipe.encoder]}2{shown[recipe.decoder]}"


def test_an_unknown_row():
    with pytest.raises(ConfigError, match="Did you mean 'bertshare'"):
        recipes.get("bertshared")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("", ()), ("3", (3,)), ("9,10, 13-15,24", (9, 10, 13, 14, 15, 24))],
)
def test_layers_are_written_as_ranges(layers, expected):
    assert Selection.parse("all", layers, False).layers == expected


@pytest.mark.parametrize(
    ("parts", "layers", "message"),
    [
        ("layer", "", "init.parts is one of .*found 'layer'. Did you mean 'layers'"),
        ("all", "9,x", "found 'x', expected the number of a layer"),
        ("all", "0-3", "expected numbers of layers, from 1"),
        ("all", "18-13", "found '18-13', expected the number of a layer or a range"),
        ("all", "1-1000000000", "found '1-1000000000', expected"),
        ("all", "9" * 5000, "found '9{9,99}, expected"),
        ("all", "-1", "found '-1', expected"),
    ],
)
def test_a_selection_that_cannot_be_meant(parts, layers, message):
    with pytest.raises(ConfigError, match=message) as error:
        Selection.parse(parts, layers, False)
    assert len(str(error.value)) < 500


def checkpoint(kind, size):
    """The architecture of a published one, with the paper's vocabulary."""
    if kind == "gpt2":
        return BertGenerationConfig.from_dict(
            {"model_type": "gpt2", "vocab_size": PIECES[kind]}
        )
    return BertGenerationConfig(**size, vocab_size=PIECES[kind])


def parameters(name, size=SIZES["base"]):
    """How many a recipe's model has; nothing is allocated."""
    recipe = recipes.get(name)
    kinds = {"encoder": recipe.encoder, "decoder": recipe.decoder}
    stacks = {side: checkpoint(kind, size) for side, kind in kinds.items() if kind}
    pieces = {
        side: PIECES[kind or next(filter(None, kinds.values()), "bert")]
        for side, kind in kinds.items()
    }
    sides = [
        architecture.Side(stacks.get(side), pieces[side], SPECIAL_IDS)
        for side in ("encoder", "decoder")
    ]
    config = architecture.assemble(recipe, *sides, size, {})
    model = create_model(config)
    ids = np.ones((1, 1), np.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), ids, None, ids)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("rnd2rnd", 221),
        ("bert2rnd", 221),
        ("rnd2bert", 221),
        ("bert2bert", 221),
        ("bertshare", 136),
        ("robertashare", 152),
        ("gpt", 125),
        ("rnd2gpt", 238),
        ("bert2gpt", 260),
        ("roberta2gpt", 276),
    ],
)
def test_the_totals_of_table_1(name, millions):
    assert abs(parameters(name) / 1e6 - millions) < 1


@pytest.mark.parametrize(
    ("name", "layers", "total"),
    [
        ("bertshare", 24, 433_338_368),
        ("robertashare", 24, 455_213_056),
        ("bert2bert", 10, 324_147_200),  # chosen layers of BERT-large, section 5
        ("bertshare", 10, 198_184_960),
    ],
)
def test_the_large_models(name, layers, total):
    assert parameters(name, {**LARGE, "num_hidden_layers": layers}) == total
