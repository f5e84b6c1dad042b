"""Decides where arrays live on the mesh (data, fsdp).

The default mesh is pure data parallelism. With fsdp > 1 parameters and optimizer state
are split over that axis. The batch is split over both axes.
"""

import math

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bertgen_jax.errors import ConfigError
from bertgen_jax.trees import PyTree


def create_mesh(data: int, fsdp: int) -> Mesh:
    """Creates the mesh over all devices.

    Args:
      data: number of devices along the data axis; -1 for all that fsdp leaves.
      fsdp: number of devices over which parameters are split.

    Raises:
      ConfigError: the product is not the number of devices.
    """
    devices = jax.device_count()
    if fsdp < 1:
        raise ConfigError(f"mesh.fsdp is {fsdp}; expected at least 1.")
    if data < 1 and data != -1:
        raise ConfigError(f"mesh.data is {data}; expected at least 1, or -1.")
    if data == -1 and devices % fsdp == 0:
        data = devices // fsdp
    if data * fsdp != devices:
        raise ConfigError(
            f"mesh.data {data} x mesh.fsdp {fsdp} does not cover the {devices} "
            "devices; expected a product of that number. With -1, mesh.data takes all "
            "that mesh.fsdp leaves."
        )
    return jax.make_mesh(
        (data, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto)
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
    fsdp = mesh.shape["fsdp"]
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: NamedSharding(
            mesh,
            _partition(
                jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, fsdp
            ),
        ),
        abstract_state,
    )


def with_shardings(abstract: PyTree, shardings: PyTree) -> PyTree:
    """Returns the same tree of `jax.ShapeDtypeStruct`s, each with its sharding."""
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        abstract,
        shardings,
    )


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
