"""Decides where arrays live on the mesh (data, fsdp).

The default mesh is pure data parallelism. With fsdp > 1 parameters and optimizer state
are split over that axis. The batch is split over both axes.

XLA's partitioner, left alone, would rather move activations than weights when
parameters are split. `by_rows` and `whole` tell it what a layer computes with: its own
rows of the batch and whole weights, so that only weights and their gradients travel.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bertgen_jax import stacked_layers
from bertgen_jax.errors import ConfigError
from bertgen_jax.trees import PyTree


def create_mesh(data: int, fsdp: int, devices: Sequence[Any] | None = None) -> Mesh:
    """Creates the mesh over all devices.

    Args:
      data: number of devices along the data axis; -1 for all that fsdp leaves.
      fsdp: number of devices over which parameters are split.
      devices: the devices, if not all of them.

    Raises:
      ConfigError: the product is not the number of devices.
    """
    count = jax.device_count() if devices is None else len(devices)
    if fsdp < 1:
        raise ConfigError(f"mesh.fsdp is {fsdp}; expected at least 1.")
    if data < 1 and data != -1:
        raise ConfigError(f"mesh.data is {data}; expected at least 1, or -1.")
    if data == -1 and count % fsdp == 0:
        data = count // fsdp
    if data * fsdp != count:
        raise ConfigError(
            f"mesh.data {data} x mesh.fsdp {fsdp} does not cover the {count} "
            "devices; expected a product of that number. With -1, mesh.data takes all "
            "that mesh.fsdp leaves."
        )
    return jax.make_mesh(
        (data, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its rows over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that is whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch(batch_size: int, mesh: Mesh, micro_batches: int, field: str) -> None:
    """Checks that a batch can be divided over devices and micro-batches.

    Raises:
      ConfigError: it cannot; the message names the nearest valid sizes.
    """
    unit = mesh.size * micro_batches
    if batch_size < 1:
        raise ConfigError(f"{field} is {batch_size}; expected at least {unit}.")
    if batch_size % unit:
        below = batch_size // unit * unit
        near = f"{below} or {below + unit}" if below else f"{unit}"
        raise ConfigError(
            f"{field} is {batch_size}; expected a multiple of {unit} "
            f"({mesh.size} devices x {micro_batches} micro-batches), such as {near}."
        )


def state_shardings(abstract_state: PyTree, mesh: Mesh) -> PyTree:
    """Returns a sharding for every leaf of a train state, optimizer state included.

    The rule depends only on a leaf's path and shape. So a moment has the sharding of
    its parameter, and a factored statistic of another rank gets a valid one too.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _sharding_of(path, leaf, mesh), abstract_state
    )


def with_shardings(abstract: PyTree, shardings: PyTree) -> PyTree:
    """Returns the same tree of `jax.ShapeDtypeStruct`s, each with its sharding."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        abstract,
        shardings,
    )


def shardings(abstract: PyTree) -> PyTree:
    """Returns the sharding of each leaf; the inverse of `with_shardings`."""
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def splits_params(mesh: Mesh | None) -> TypeGuard[Mesh]:
    """Whether parameters are split over the devices of a mesh."""
    return mesh is not None and mesh.shape["fsdp"] > 1


def by_rows(values: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Keeps the rows of a batch of activations [B, ...] on their devices.

    Without a mesh that splits parameters, or with rows that cannot be divided evenly
    (texts that are generated one at a time), nothing is changed.
    """
    if not splits_params(mesh) or values.shape[0] % mesh.size:
        return values
    return jax.lax.with_sharding_constraint(values, batch_sharding(mesh))


def whole(params: PyTree, mesh: Mesh | None) -> PyTree:
    """Gathers split parameters on every device, for one use.

    Their gradients are summed over the devices and split again in the same way, so each
    device receives only its part.
    """
    if not splits_params(mesh):
        return params
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _gathered(
            leaf, _sharding_of(path, leaf, mesh), replicated(mesh)
        ),
        params,
    )


def copies(table: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Gives each device a whole copy of a table, so that its gradient travels once.

    A table is used several times: to look up source and target ids, and by the softmax.
    With an axis of devices, the gradients of all uses are added on each device, and
    over the devices once.

    Args:
      table: f32[V, D].
      mesh: the devices; None for one.

    Returns:
      f32[G, V, D], one for each of G devices.
    """
    if mesh is None or mesh.size == 1:
        return table[None]
    name = (jax.tree_util.DictKey("embedding"),)
    return _copied(table, _sharding_of(name, table, mesh), replicated(mesh))


def look_up(table: jax.Array, copied: jax.Array, ids: jax.Array) -> jax.Array:
    """Returns rows of a table: ids i32[B, T] -> [B, T, D].

    Args:
      table: f32[V, D].
      copied: f32[G, V, D] of `copies`; used if the rows of ids can be divided by G.
      ids: i32[B, T].
    """
    groups = copied.shape[0]
    if ids.shape[0] % groups:
        return jnp.take(table, ids, axis=0)
    by_group = ids.reshape(groups, ids.shape[0] // groups, ids.shape[1])
    rows = jax.vmap(lambda copy, ids: jnp.take(copy, ids, axis=0))(copied, by_group)
    return rows.reshape(*ids.shape, table.shape[1])


def split(params: PyTree, mesh: Mesh | None) -> PyTree:
    """Splits values computed from parameters as the parameters are split.

    Args:
      params: a tree with the paths of the parameters.
      mesh: the devices; without a mesh that splits parameters, nothing is changed.
    """
    if not splits_params(mesh):
        return params
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.lax.with_sharding_constraint(
            leaf, _sharding_of(path, leaf, mesh)
        ),
        params,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _copied(table, split_sharding, whole_sharding) -> Any:
    table = jax.lax.with_sharding_constraint(table, whole_sharding)
    mesh = whole_sharding.mesh
    table = jnp.broadcast_to(table[None], (mesh.size, *table.shape))
    return jax.lax.with_sharding_constraint(table, batch_sharding(mesh))


_copied.defvjp(
    lambda table, split_sharding, whole_sharding: (
        _copied(table, split_sharding, whole_sharding),
        None,
    ),
    lambda split_sharding, whole_sharding, _, gradient: (
        jax.lax.with_sharding_constraint(jnp.sum(gradient, axis=0), split_sharding),
    ),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gathered(leaf, split_sharding, whole_sharding) -> Any:
    return jax.lax.with_sharding_constraint(leaf, whole_sharding)


_gathered.defvjp(
    lambda leaf, split_sharding, whole_sharding: (
        _gathered(leaf, split_sharding, whole_sharding),
        None,
    ),
    lambda split_sharding, whole_sharding, _, gradient: (
        jax.lax.with_sharding_constraint(gradient, split_sharding),
    ),
)


def _sharding_of(path: Any, leaf: jax.Array, mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a leaf; a stacked one [L, ...] is split as each layer."""
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    layers = 1 if stacked_layers.is_stacked(name) else 0
    spec = _partition(name, leaf.shape[layers:], mesh.shape["fsdp"])
    return NamedSharding(mesh, PartitionSpec(*[None] * layers, *spec))


# Splitting an array with fewer elements costs more communication than it saves memory.
_MIN_SPLIT_SIZE = 2**12


def _partition(path: str, shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    if fsdp == 1 or math.prod(shape) < _MIN_SPLIT_SIZE:
        return PartitionSpec()
    # Never split a table over its rows, because XLA has miscompiled gradients of a
    # look-up into a split vocabulary that a scan accumulates (openxla/xla#49143).
    first = 1 if path.endswith("embedding") and len(shape) > 1 else 0
    candidates = [axis for axis in range(first, len(shape)) if shape[axis] % fsdp == 0]
    if not candidates:
        return PartitionSpec()
    split = max(candidates, key=lambda axis: shape[axis])
    return PartitionSpec(
        *("fsdp" if axis == split else None for axis in range(len(shape)))
    )
