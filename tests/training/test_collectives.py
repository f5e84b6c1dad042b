"""Only weights and their gradients travel between devices in a training step."""

import re

import pytest

from benchmarks import ahead_of_time
from benchmarks.ahead_of_time import Workload
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
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


def compiled_step(
    config, data, fsdp, *, micro_batches=1, scan_layers=False, remat="none"
):
    """Compiles a training step for a mesh of all devices."""
    mesh = sharding.create_mesh(data, fsdp)
    workload = Workload(
        config,
        Bucket(SOURCE, TARGET),
        ROWS * mesh.size * micro_batches,
        dtype="float32",
        micro_batches=micro_batches,
        scan_layers=scan_layers,
    )
    return ahead_of_time.trace_step(workload, mesh, remat).lower().compile()


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
