"""Runs the layers of a stack for a training step: scanned, recomputed, and sharded.

`nn.scan` would change the paths of parameters, which are on people's disks. So
`jax.lax.scan` loops over stacked arrays (`stacked_layers`). Layers that are not stacked
are copied into such arrays first, and the copy and its gradient need memory beside
the parameters.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from bertgen_jax import sharding, stacked_layers
from bertgen_jax.models import rematerialization
from bertgen_jax.models.layers import TransformerLayer
from bertgen_jax.trees import Params


def run_layers(
    layer: TransformerLayer,
    params: Mapping[str, Any],
    hidden: jax.Array,
    dropout_keys: list[jax.Array] | None,
    *,
    scan: bool,
    remat: str,
    mesh: Mesh | None,
    **inputs: Any,
) -> jax.Array:
    """Runs all layers over hidden states.

    Args:
      layer: an unbound layer.
      params: the parameters of the stack, with stacked layers or not.
      hidden: dtype[B, T, D], the states before the first layer.
      dropout_keys: a typed key for each layer; None for no dropout.
      scan: compile one layer and loop over it. Stacked layers are always scanned.
      remat: a name in `rematerialization.POLICIES`.
      mesh: the devices over which a train state is split; None for one device.
      **inputs: other arguments of each layer.

    Returns:
      dtype[B, T, D], the states after the last layer.
    """

    def run(hidden: Any, layer_params: Params, key: jax.Array | None) -> jax.Array:
        return layer.apply(
            {"params": sharding.whole(layer_params, mesh)},
            sharding.by_rows(hidden, mesh),
            dropout_key=key,
            **inputs,
        )[0]

    if remat != "none":
        run = jax.checkpoint(run, policy=rematerialization.POLICIES[remat])
    stacked = params.get(stacked_layers.STACKED)
    if stacked is not None:
        stacked = _cast(stacked, layer.dtype)
    else:
        count = layer.config.num_hidden_layers
        unstacked = [_cast(params[f"layer_{i}"], layer.dtype) for i in range(count)]
        if not scan:
            for i, layer_params in enumerate(unstacked):
                key = None if dropout_keys is None else dropout_keys[i]
                hidden = run(hidden, layer_params, key)
            return hidden
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *unstacked)
    stacked = sharding.split({stacked_layers.STACKED: stacked}, mesh)
    keys = None if dropout_keys is None else jnp.stack(dropout_keys)
    hidden, _ = jax.lax.scan(
        lambda hidden, slices: (run(hidden, *slices), None),
        hidden,
        (stacked[stacked_layers.STACKED], keys),
    )
    return hidden


def _cast(params: Params, dtype: jnp.dtype) -> Params:
    """Casts the parameters of layers to the compute dtype, but for their LayerNorms.

    A layer casts them too; before a loop it is done once for both passes, and the loop
    reads half the bytes.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            leaf if "LayerNorm" in jax.tree_util.keystr(path) else leaf.astype(dtype)
        ),
        params,
    )
