"""Layers are stacked and unstacked without loss, whatever their arrays are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax import sharding, stacked_layers, trees
from bertgen_jax.models.create import create_model
from bertgen_jax.models.initialization import draw_params
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.rng import key
from tests.fixtures.models import pair_config, prefix_config, stack_config

LAYERS = 12
FLAT = {
    "params/bert/embeddings/embedding": np.ones((5, 4)),
    "step": np.ones(()),
} | {
    f"{tree}/bert/layer_{number}/{name}": np.full(shape, number, np.float32)
    for number in range(LAYERS)
    for tree in ("params", "opt_state/0/mu")
    for name, shape in (("kernel", (4, 8)), ("LayerNorm/scale", (4,)))
}


def test_layers_are_stacked_in_their_order():
    stacked = stacked_layers.stack(FLAT)
    assert set(stacked) == {
        "step",
        "params/bert/embeddings/embedding",
        "params/bert/layers/kernel",
        "params/bert/layers/LayerNorm/scale",
        "opt_state/0/mu/bert/layers/kernel",
        "opt_state/0/mu/bert/layers/LayerNorm/scale",
    }
    kernel = stacked["params/bert/layers/kernel"]
    assert kernel.shape == (LAYERS, 4, 8)
    np.testing.assert_array_equal(kernel[:, 0, 0], np.arange(LAYERS))


def as_shapes(flat):
    return {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
        for name, leaf in flat.items()
    }


def on_devices(flat):
    return jax.tree.map(jnp.asarray, flat)


def on_a_mesh(flat):
    mesh = sharding.create_mesh(data=-1, fsdp=4)
    # Larger, because small arrays are not split.
    flat = {name: np.tile(leaf, 512) for name, leaf in flat.items()}
    return jax.device_put(flat, sharding.state_shardings(as_shapes(flat), mesh))


@pytest.mark.parametrize("convert", [dict, as_shapes, on_devices, on_a_mesh])
def test_unstack_is_the_inverse_of_stack(convert):
    flat = convert(FLAT)
    back = stacked_layers.unstack(stacked_layers.stack(flat))
    assert set(back) == set(flat)
    for name, leaf in flat.items():
        if convert is as_shapes:
            assert back[name] == leaf
            continue
        np.testing.assert_array_equal(back[name], leaf)
        if convert is on_a_mesh:
            assert back[name].sharding.is_equivalent_to(leaf.sharding, leaf.ndim)


def test_arrays_of_all_layers_are_split_as_those_of_each():
    flat = on_a_mesh(FLAT)
    stacked = stacked_layers.stack(flat)
    mesh = flat["step"].sharding.mesh
    expected = sharding.state_shardings(as_shapes(stacked), mesh)
    split = 0
    for name, leaf in stacked.items():
        assert leaf.sharding.is_equivalent_to(expected[name], leaf.ndim), name
        split += not leaf.sharding.is_fully_replicated
    assert split >= 2  # the kernels


def test_memory_is_freed_where_asked():
    flat = on_devices(FLAT)
    stacked = stacked_layers.stack(flat, free=True)
    freed = {name for name, leaf in flat.items() if leaf.is_deleted()}
    assert freed == {name for name in flat if "layer_" in name}
    unstacked = stacked_layers.unstack(stacked, free=True)
    assert stacked["params/bert/layers/kernel"].is_deleted()
    np.testing.assert_array_equal(unstacked["step"], FLAT["step"])


STACK = stack_config(num_hidden_layers=3, hidden_dropout_prob=0.1)
CONFIGS = {
    "two stacks": pair_config(STACK, share_embeddings=True),
    "shared": pair_config(STACK, share_encoder_decoder=True),
    "prefix": prefix_config(STACK),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("remat", ["none", "full"])
def test_losses_and_gradients_are_those_of_unstacked_layers(name, remat):
    model = create_model(CONFIGS[name], scan_layers=True, remat=remat)
    params = draw_params(model, key(0, "init"))
    ids = np.random.default_rng(0).integers(5, 20, (3, 7)).astype(np.int32)
    batch = {
        "input_ids": ids,
        "attention_mask": np.ones(ids.shape, bool),
        "decoder_input_ids": ids,
        "labels": ids,
        "label_weights": np.ones(ids.shape, np.float32),
    }
    gradient = jax.jit(
        jax.value_and_grad(
            lambda params: teacher_forced_loss(model, params, batch, key(0, "x")).loss
        )
    )
    stacked = stacked_layers.stack_params(params)
    assert len(jax.tree.leaves(stacked)) < len(jax.tree.leaves(params))
    (loss, grads), (stacked_loss, stacked_grads) = gradient(params), gradient(stacked)
    assert loss == stacked_loss
    unstacked = trees.named(stacked_layers.unstack_params(stacked_grads))
    for path, grad in trees.named(grads).items():
        np.testing.assert_allclose(unstacked[path], grad, rtol=1e-5, atol=1e-7)
