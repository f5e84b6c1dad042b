"""Operations are those of the traced model, and known devices have a peak rate."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.initialization import param_shapes
from bertgen_jax.training import flops
from tests.fixtures.models import START, pair_config, prefix_config, stack_config

SOURCE, TARGET = 7, 5


def operations(jaxpr):
    """Counts the operations of every product of matrices in a program."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        inner = jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns"))
        total += sum(operations(part) for part in inner if hasattr(part, "eqns"))
    return total


def unequal_widths():
    encoder = stack_config(hidden_size=24, intermediate_size=40)
    decoder = stack_config(lm_head_transform=True)
    return EncoderDecoderConfig.from_stacks(
        encoder, decoder, decoder_start_token_id=START
    )


@pytest.mark.parametrize("config", [pair_config(), prefix_config(), unequal_widths()])
def test_a_step_takes_three_times_the_products_of_the_forward_pass(config):
    model = create_model(config)
    ids = np.ones((2, SOURCE), np.int32), np.ones((2, TARGET), np.int32)

    def forward(params, source, target):
        mask = jnp.ones(source.shape, bool)
        return model.apply({"params": params}, source, mask, target).logits

    program = jax.make_jaxpr(forward)(param_shapes(model), *ids)
    counted = flops.step_flops(config, [SOURCE] * 2, [TARGET] * 2)
    assert counted == 3 * operations(program.jaxpr)


def test_padding_is_no_work():
    config = pair_config()
    whole = flops.step_flops(config, [4, 8], [2, 6])
    assert whole == sum(
        flops.step_flops(config, [source], [target])
        for source, target in [(4, 2), (8, 6)]
    )
    assert flops.step_flops(config, [0], [0]) == 0


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("Tesla T4", 65),
        ("NVIDIA B200", 2250),
        ("TPU v3", 61.5),
        ("TPU v4", 275),
        ("TPU v4 lite", 138),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
    ],
)
def test_the_peak_is_that_of_the_kind_of_device(kind, teraflops):
    assert flops.peak_flops(kind) == teraflops * 1e12


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA RTX 4090", "TPU7x"])
def test_an_unknown_kind_of_device_has_no_peak(kind):
    assert flops.peak_flops(kind) is None
