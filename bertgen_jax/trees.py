"""Pytrees as flat {path: array} dicts and back, and what two of them differ in."""

from collections.abc import Mapping
from typing import Any

import jax

PyTree = Any  # of jax.Array, or of jax.ShapeDtypeStruct where it is called abstract

_LISTED_NAMES = 6  # names whose difference is printed; the rest are counted


def named(tree: PyTree, prefix: str = "") -> dict[str, Any]:
    """The leaves of `tree` by their path: {"params/encoder/kernel": ..., "step": ...}.

    The path holds keys, field names and indices, so it says nothing of the classes on
    the way. None and empty containers have no leaves and leave no trace.

    Args:
      tree: pytree of arrays or of `jax.ShapeDtypeStruct`.
      prefix: put before each path.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    flat = {
        prefix + jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }
    if len(flat) != len(leaves):
        raise ValueError('two leaves have the same path: is there a "/" in a key?')
    return flat


def like(tree: PyTree, flat: Mapping[str, Any], prefix: str = "") -> PyTree:
    """Undoes `named`: the structure of `tree` with the leaves of `flat`."""
    return jax.tree.unflatten(
        jax.tree.structure(tree), [flat[name] for name in named(tree, prefix)]
    )


def nested(flat: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dict of `flat`: {"a/b": 1} -> {"a": {"b": 1}}; `prefix` is taken off."""
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        *parents, last = name.removeprefix(prefix).split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What `found` has otherwise than `wanted`: names, shapes and dtypes.

      - params/decoder/kernel float32[4,6]
      + params/decoder/kernel float32[4,5]
      + params/decoder/bias float32[5]
      ... and 3 more

    Args:
      wanted: arrays or `jax.ShapeDtypeStruct` by name; printed with "-".
      found: the same; printed with "+".

    Returns:
      Lines of the first few names that differ; empty if none does.
    """
    wanted = {name: _describe(leaf) for name, leaf in wanted.items()}
    found = {name: _describe(leaf) for name, leaf in found.items()}
    differing = [
        name
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]
    lines = []
    for name in differing[:_LISTED_NAMES]:
        if name in wanted:
            lines.append(f"  - {name} {wanted[name]}")
        if name in found:
            lines.append(f"  + {name} {found[name]}")
    if len(differing) > _LISTED_NAMES:
        lines.append(f"  ... and {len(differing) - _LISTED_NAMES} more")
    return "\n".join(lines)


def _describe(leaf: Any) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
