"""Trees to flat dicts and back; what two of them differ in."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from bertgen_jax import trees


class Moments(NamedTuple):
    mu: dict
    empty: tuple


def test_names_are_paths_and_none_leaves_no_trace():
    tree = {"opt": (Moments({"w": 1}, ()), None), "params": {"a": {"b": 2}}}
    flat = trees.named(tree)
    assert flat == {"opt/0/mu/w": 1, "params/a/b": 2}
    assert trees.like(tree, flat) == tree
    assert trees.named({"b": 2}, "params/") == {"params/b": 2}


def test_one_path_for_two_leaves_is_refused():
    with pytest.raises(ValueError, match="same path"):
        trees.named({"a/b": 1, "a": {"b": 2}})


def test_nested_undoes_named_for_dicts():
    tree = {"encoder": {"layer_0": {"kernel": 1, "bias": 2}}, "scale": 3}
    assert trees.nested(trees.named(tree, "params/"), "params/") == tree


def test_differences_name_path_dtype_and_shape():
    wanted = {"a": jnp.zeros((4, 6)), "b": jnp.zeros(3), "gone": jnp.int32(1)}
    found = {"a": jnp.zeros((4, 5)), "b": jnp.zeros(3), "new": jnp.zeros(2, bool)}
    assert trees.differences(wanted, found).split("\n") == [
        "  - a float32[4,6]",
        "  + a float32[4,5]",
        "  - gone int32[]",
        "  + new bool[2]",
    ]
    assert trees.differences(wanted, dict(wanted)) == ""


def test_many_differences_are_counted():
    wanted = {f"layer_{i}": jax.ShapeDtypeStruct((), "float32") for i in range(9)}
    lines = trees.differences(wanted, {}).split("\n")
    assert lines[-1] == "  ... and 3 more"
    assert len(lines) == 7
