"""Tests of `trees`: flat dicts and back, and the description of differences."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from bertgen_jax import trees


class Moments(NamedTuple):
    mu: dict
    empty: tuple


def test_names_are_paths_and_none_has_no_path():
    tree = {"opt": (Moments({"w": 1}, ()), None), "params": {"a": {"b": 2}}}
    flat = trees.named(tree)
    assert flat == {"opt/0/mu/w": 1, "params/a/b": 2}
    assert trees.like(tree, flat) == tree
    assert trees.named({"b": 2}, "params/") == {"params/b": 2}


def test_two_leaves_with_one_path_are_an_error():
    with pytest.raises(ValueError, match="same path"):
        trees.named({"a/b": 1, "a": {"b": 2}})


def test_nested_undoes_named_for_dicts():
    tree = {"encoder": {"layer_0": {"kernel": 1, "bias": 2}}, "scale": 3}
    assert trees.nested(trees.named(tree, "params/"), "params/") == tree


def test_differences_name_path_dtype_and_shape():
    expected = {"a": jnp.zeros((4, 6)), "b": jnp.zeros(3), "gone": jnp.int32(1)}
    actual = {"a": jnp.zeros((4, 5)), "b": jnp.zeros(3), "new": jnp.zeros(2, bool)}
    assert trees.differences(expected, actual).split("\n") == [
        "  - a float32[4,6]",
        "  + a float32[4,5]",
        "  - gone int32[]",
        "  + new bool[2]",
    ]
    assert trees.differences(expected, dict(expected)) == ""


def test_many_differences_are_counted():
    expected = {f"layer_{i}": jax.ShapeDtypeStruct((), "float32") for i in range(9)}
    lines = trees.differences(expected, {}).split("\n")
    assert lines[-1] == "  ... and 3 more"
    assert len(lines) == 7
