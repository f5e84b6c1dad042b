"""Only weights and their gradients travel between devices in a training step."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bertgen_jax import sharding, stacked_layers
from bertgen_jax.models.create import create_model
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.training import steps
from bertgen_jax.training.adam import scale_by_adam
from tests.fixtures.models import pair_config, prefix_config, stack_config

slow = pytest.mark.slow

# Rows of a device. No size below is a multiple of it, so a collective that moves
# activations has it in a dimension.
ROWS = 13
SOURCE, TARGET = 24, 20
STACK = stack_config(
    vocab_size=88,
    hidden_size=64,
    num_attention_heads=8,
    intermediate_size=128,
    num_hidden_layers=2,
    max_position_embeddings=48,
)
CONFIGS = {
    "two stacks": pair_config(STACK, share_embeddings=True),
    "shared": pair_config(STACK, share_encoder_decoder=True),
    "prefix": prefix_config(STACK),
}
_COLLECTIVE = re.compile(
    r"= (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)


def compiled_step(config, data, fsdp, *, micro_batches=1, **fields):
    """Compiles a training step for a mesh of all devices."""
    mesh = sharding.create_mesh(data, fsdp)
    model = create_model(config, mesh=mesh, **fields)
    optimizer = optax.chain(scale_by_adam(0.9, 0.999, 1e-8), optax.scale(-1e-3))
    ids = np.zeros((1, 2), np.int32)
    params = jax.eval_shape(
        lambda: model.init(jax.random.key(0), ids, None, ids)["params"]
    )
    if model.scan_layers:  # as a run
        params = stacked_layers.stack_params(params)
    state = jax.eval_shape(
        lambda params: steps.TrainState.create(params, optimizer, ema=False), params
    )
    places = sharding.state_shardings(state, mesh)
    by_rows = sharding.batch_sharding(mesh)
    rows = ROWS * mesh.size * micro_batches
    array = functools.partial(jax.ShapeDtypeStruct, sharding=by_rows)
    batch = {
        "input_ids": array((rows, SOURCE), jnp.int32),
        "attention_mask": array((rows, SOURCE), jnp.bool_),
        "decoder_input_ids": array((rows, TARGET), jnp.int32),
        "labels": array((rows, TARGET), jnp.int32),
        "label_weights": array((rows, TARGET), jnp.float32),
    }
    step = functools.partial(
        steps.train_step,
        loss=functools.partial(teacher_forced_loss, model),
        optimizer=optimizer,
        settings=steps.StepSettings(seed=0, micro_batches=micro_batches),
    )
    return (
        jax.jit(
            step,
            in_shardings=(places, by_rows),
            out_shardings=(places, sharding.replicated(mesh)),
            donate_argnums=0,
        )
        .lower(sharding.with_shardings(state, places), batch)
        .compile()
    )


def collectives(compiled):
    """Returns the name and the shapes of the result of each collective."""
    moves = []
    for line in compiled.as_text().splitlines():
        match = _COLLECTIVE.search(line)
        if match:
            shapes = re.findall(r"\w+\[([\d,]*)\]", match[1])
            sizes = [tuple(map(int, filter(None, s.split(",")))) for s in shapes]
            moves.append((match[2], sizes))
    return moves


@pytest.mark.parametrize(
    ("data", "fsdp", "name", "micro_batches", "fields"),
    [
        pytest.param(8, 1, "two stacks", 1, {"scan_layers": True}, marks=slow),
        pytest.param(1, 8, "two stacks", 1, {"scan_layers": True}, marks=slow),
        (2, 4, "shared", 2, {"scan_layers": True, "remat": "dots"}),
        (4, 2, "prefix", 1, {"scan_layers": True, "remat": "full"}),
        pytest.param(1, 8, "shared", 1, {}, marks=slow),
    ],
)
def test_no_activation_travels(
    data, fsdp, name, micro_batches, fields, monkeypatch, capfd
):
    monkeypatch.setattr(sharding, "_MIN_SPLIT_SIZE", 1)  # the model is so small
    compiled = compiled_step(
        CONFIGS[name], data, fsdp, micro_batches=micro_batches, **fields
    )
    moved = collectives(compiled)
    assert {"all-reduce"} <= {kind for kind, _ in moved}
    assert ("all-gather" in {kind for kind, _ in moved}) == (fsdp > 1)
    for kind, shapes in moved:
        for shape in shapes:
            assert not any(size % ROWS == 0 for size in shape if size), (kind, shape)
    # The partitioner warns when it gives up and copies an array to every device.
    assert "rematerialization" not in capfd.readouterr().err


@pytest.mark.parametrize(("data", "fsdp"), [pytest.param(8, 1, marks=slow), (1, 8)])
def test_the_gradient_of_a_table_travels_once(data, fsdp, monkeypatch):
    monkeypatch.setattr(sharding, "_MIN_SPLIT_SIZE", 1)
    compiled = compiled_step(CONFIGS["two stacks"], data, fsdp, scan_layers=True)
    words = (STACK.vocab_size, STACK.hidden_size)
    sums = [
        shape
        for kind, shapes in collectives(compiled)
        for shape in shapes
        if kind in ("all-reduce", "reduce-scatter") and shape == words
    ]
    assert len(sums) == 1


@slow
def test_a_device_holds_its_share_of_the_state(monkeypatch):
    monkeypatch.setattr(sharding, "_MIN_SPLIT_SIZE", 1)
    whole, split = (
        compiled_step(CONFIGS["shared"], data, fsdp, scan_layers=True)
        .memory_analysis()
        .argument_size_in_bytes
        for data, fsdp in ((8, 1), (1, 8))
    )
    assert split < whole / 6  # small vectors and counts are on every device
