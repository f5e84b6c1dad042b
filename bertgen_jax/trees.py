"""Conversion of pytrees to flat {path: array} dicts and back, and their comparison."""

from collections.abc import Mapping
from typing import Any

import jax

PyTree = Any
"""Any pytree of `jax.Array`; of `jax.ShapeDtypeStruct` where it is called abstract."""

Params = dict[str, Any]
"""The parameters of a model: nested dicts whose leaves are arrays.

What `model.init(...)["params"]` returns; a train state may stack the layers
(`stacked_layers`). The keys on the way to a leaf make its
parameter path, such as "decoder/bert/embeddings/word_embeddings/embedding". The leaves
are `jax.Array`, or `np.ndarray` while parameters are still on the host.
"""

_MAX_LISTED = 6  # differing names that are printed; the others are counted


def named(tree: PyTree, prefix: str = "") -> dict[str, Any]:
    """Returns the leaves by path: {"params/encoder/kernel": ..., "step": ...}.

    A path joins keys, field names and indices by "/"; it does not depend on the classes
    of the containers. None and empty containers have no leaves, so they have no path.

    Args:
      tree: pytree of arrays or of `jax.ShapeDtypeStruct`.
      prefix: is put before each path.

    Raises:
      ValueError: two leaves have the same path, because a key contains "/".
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
    """Returns a tree with the structure of `tree` and the leaves of `flat`.

    This is the inverse of `named`.
    """
    return jax.tree.unflatten(
        jax.tree.structure(tree), [flat[name] for name in named(tree, prefix)]
    )


def delete(tree: PyTree) -> None:
    """Deletes every `jax.Array` of a tree that is no longer used."""
    for leaf in jax.tree.leaves(tree):
        leaf.delete()


def nested(flat: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a flat dict as nested dicts: {"a/b": 1} -> {"a": {"b": 1}}.

    Args:
      flat: leaves by path.
      prefix: is removed from each path.
    """
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        *parents, last = name.removeprefix(prefix).split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    """Describes how two flat trees differ in names, shapes and dtypes.

      - params/decoder/kernel float32[4,6]
      + params/decoder/kernel float32[4,5]
      + params/decoder/bias float32[5]
      ... and 3 more

    Args:
      expected: arrays or `jax.ShapeDtypeStruct` by name; printed with "-".
      actual: the same; printed with "+".

    Returns:
      The lines of the first differing names; "" if there is no difference.
    """
    expected = {name: _describe(leaf) for name, leaf in expected.items()}
    actual = {name: _describe(leaf) for name, leaf in actual.items()}
    differing = [
        name
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]
    lines = []
    for name in differing[:_MAX_LISTED]:
        if name in expected:
            lines.append(f"  - {name} {expected[name]}")
        if name in actual:
            lines.append(f"  + {name} {actual[name]}")
    if len(differing) > _MAX_LISTED:
        lines.append(f"  ... and {len(differing) - _MAX_LISTED} more")
    return "\n".join(lines)


def _describe(leaf: Any) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
