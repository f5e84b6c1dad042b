"""Recipes are rows of the paper's Table 1."""

import pytest

from bertgen_jax import recipes
from bertgen_jax.errors import ConfigError


def test_what_the_rows_say():
    assert recipes.get("bert2rnd") == recipes.Recipe("bert", None)
    assert recipes.get("robertashare").share_stacks
    for name, recipe in recipes.RECIPES.items():
        assert recipe.share_stacks == name.endswith("share")
        if recipe.share_stacks:
            assert recipe.encoder == recipe.decoder
        else:
            names = (recipe.encoder or "rnd", recipe.decoder or "rnd")
            assert name == "2".join(names)


def test_an_unknown_row():
    with pytest.raises(ConfigError, match="Did you mean 'bertshare'"):
        recipes.get("bertshared")
