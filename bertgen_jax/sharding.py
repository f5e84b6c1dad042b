"""Where arrays live: shapes in, `NamedSharding`s over the mesh (data, fsdp) out.

The default mesh is pure data parallelism. With fsdp > 1 parameters and optimizer state
are split over that axis; the batch is split over both.
"""

import math
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bertgen_jax.errors import ConfigError


def create_mesh(data: int, fsdp: int) -> Mesh:
    """Makes the mesh over all devices.

    Args:
      data: devices along the data axis; -1 for as many as there are.
      fsdp: devices over which parameters are split.

    Raises:
      ConfigError: the product is not the number of devices.
    """
    devices = jax.device_count()
    if data == -1 and fsdp > 0 and devices % fsdp == 0:
        data = devices // fsdp
    if min(data, fsdp) < 1 or data * fsdp != devices:
        raise ConfigError(
            f"mesh.data {data} x mesh.fsdp {fsdp} does not cover the {devices} "
            "devices; expected their product to, with -1 in mesh.data for all that are "
            "left."
        )
    return jax.make_mesh(
        (data, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto)
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch(batch_size: int, mesh: Mesh, micro_batches: int, field: str) -> None:
    """Refuses a batch that devices and micro-batches do not divide.

    Raises:
      ConfigError: with the nearest sizes that would do.
    """
    unit = mesh.size * micro_batches
    if batch_size < 1 or batch_size % unit:
        below = batch_size // unit * unit
        near = f"{below} or {below + unit}" if below else f"{unit}"
        raise ConfigError(
            f"{field} is {batch_size}; expected a multiple of {unit} "
            f"({mesh.size} devices x {micro_batches} micro-batches), such as {near}."
        )


def state_shardings(abstract_state: Any, mesh: Mesh) -> Any:
    """A sharding for every leaf of a train state, optimizer statistics included.

    The rule looks at a leaf alone, so a moment lands where its parameter does (same
    path, same shape), and a factored statistic of another rank gets a valid place too.
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


# Leaves with fewer elements cost more to gather than to keep.
_MIN_SPLIT_SIZE = 2**12


def _partition(path: str, shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    if fsdp == 1 or math.prod(shape) < _MIN_SPLIT_SIZE:
        return PartitionSpec()
    # Never split a table over its rows: gradients of a look-up into a split vocabulary,
    # accumulated in a scan, have been miscompiled (openxla/xla#49143).
    first = 1 if path.endswith("embedding") and len(shape) > 1 else 0
    candidates = [axis for axis in range(first, len(shape)) if shape[axis] % fsdp == 0]
    if not candidates:
        return PartitionSpec()
    split = max(candidates, key=lambda axis: shape[axis])
    return PartitionSpec(
        *("fsdp" if axis == split else None for axis in range(len(shape)))
    )
