"""Every array of a train state has the intended sharding."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec
from jax.tree_util import keystr

from bertgen_jax import sharding
from bertgen_jax.errors import ConfigError
from bertgen_jax.training.steps import TrainState

PARAMS = {
    "word_embeddings": {"embedding": jax.ShapeDtypeStruct((30_522, 768), jnp.float32)},
    "query": {
        "kernel": jax.ShapeDtypeStruct((768, 12, 64), jnp.float32),
        "bias": jax.ShapeDtypeStruct((12, 64), jnp.float32),
    },
    "LayerNorm": {"scale": jax.ShapeDtypeStruct((768,), jnp.float32)},
}


def specs(optimizer, data=2, fsdp=4):
    mesh = sharding.create_mesh(data, fsdp)
    abstract = jax.eval_shape(
        lambda params: TrainState.create(params, optimizer, ema=True), PARAMS
    )
    shardings = sharding.state_shardings(abstract, mesh)
    leaves, _ = jax.tree_util.tree_flatten_with_path(shardings)
    assert len(leaves) == len(jax.tree.leaves(abstract))
    return {
        keystr(path, simple=True, separator="/"): named.spec for path, named in leaves
    }


def test_tables_are_split_over_their_width_never_over_the_vocabulary():
    for path, spec in specs(optax.adam(1.0)).items():
        if path.endswith("embedding"):
            assert spec == PartitionSpec(None, "fsdp")


def test_moments_and_averages_have_the_sharding_of_their_parameter():
    spec_of = specs(optax.adam(1.0))
    kernels = {spec for path, spec in spec_of.items() if path.endswith("query/kernel")}
    assert sum(path.endswith("query/kernel") for path in spec_of) == 4
    assert kernels == {PartitionSpec("fsdp", None, None)}


def test_small_arrays_and_counts_are_on_every_device():
    for path, spec in specs(optax.adam(1.0)).items():
        if path.endswith(("scale", "bias", "count", "step", "tokens")):
            assert spec == PartitionSpec()


def test_factored_statistics_have_a_sharding():
    spec_of = specs(optax.scale_by_factored_rms())
    rows = [spec for path, spec in spec_of.items() if "v_row" in path]
    assert rows
    assert all(isinstance(spec, PartitionSpec) for spec in rows)


def test_pure_data_parallelism_splits_nothing():
    assert set(specs(optax.adam(1.0), data=8, fsdp=1).values()) == {PartitionSpec()}


def test_the_data_axis_takes_the_remaining_devices():
    assert dict(sharding.create_mesh(-1, 2).shape) == {"data": 4, "fsdp": 2}


@pytest.mark.parametrize(("data", "fsdp"), [(3, 1), (-1, 3), (8, 2)])
def test_a_mesh_that_does_not_cover_the_devices_is_refused(data, fsdp):
    with pytest.raises(ConfigError, match="does not cover the 8 devices"):
        sharding.create_mesh(data, fsdp)


@pytest.mark.parametrize(
    ("data", "fsdp", "message"),
    [
        (-1, 0, r"mesh\.fsdp is 0; expected at least 1\."),
        (0, 8, r"mesh\.data is 0; expected at least 1, or -1\."),
    ],
)
def test_an_axis_has_at_least_one_device(data, fsdp, message):
    with pytest.raises(ConfigError, match=message):
        sharding.create_mesh(data, fsdp)


def test_a_batch_that_the_mesh_does_not_divide_names_the_nearest_sizes():
    mesh = sharding.create_mesh(8, 1)
    sharding.check_batch(48, mesh, 2, "batch_size")
    with pytest.raises(ConfigError, match=r"multiple of 16 .* such as 32 or 48"):
        sharding.check_batch(40, mesh, 2, "batch_size")
    with pytest.raises(ConfigError, match=r"batch_size is -1; expected at least 16\."):
        sharding.check_batch(-1, mesh, 2, "batch_size")
    with pytest.raises(ConfigError, match=r"eval\.batch_size is 4; .* such as 8"):
        sharding.check_batch(4, mesh, 1, "eval.batch_size")
