"""What a program computes and sends is read from its jaxpr and its HLO."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks import programs
from benchmarks.programs import Collective

SPEC = PartitionSpec


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((2, 4), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def compiled_text(mesh, function, *shapes, specs, out_specs):
    mapped = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=out_specs)
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    return jax.jit(mapped).lower(*arguments).compile().as_text()


@pytest.mark.parametrize(
    ("axes", "group"),
    [
        ("fsdp", (0, 1, 2, 3)),
        ("data", (0, 4)),
        (("data", "fsdp"), tuple(range(8))),
    ],
)
def test_the_sum_over_an_axis_is_an_all_reduce_of_its_group(mesh, axes, group):
    text = compiled_text(
        mesh,
        lambda values: jax.lax.psum(values, axes),
        (64, 96),
        specs=(SPEC("data", "fsdp"),),
        out_specs=SPEC(
            *(None if axis in axes or axis == axes else axis for axis in mesh.shape)
        ),
    )
    (found,) = programs.collectives(text)
    assert found == Collective("all-reduce", 32 * 24 * 4, group, 1)
    share = (len(group) - 1) / len(group)
    assert found.sent == pytest.approx(2 * share * found.size)


def test_a_gather_has_the_size_of_its_result_and_a_scatter_that_of_its_part(mesh):
    def function(values):
        whole = jax.lax.all_gather(values, "fsdp", tiled=True)
        return jax.lax.psum_scatter(whole * whole, "fsdp", tiled=True)

    text = compiled_text(
        mesh, function, (64, 96), specs=(SPEC("fsdp"),), out_specs=SPEC("fsdp")
    )
    gather, scatter = programs.collectives(text)
    assert (gather.kind, gather.size) == ("all-gather", 64 * 96 * 4)
    assert (scatter.kind, scatter.size) == ("reduce-scatter", 16 * 96 * 4)
    # Both send three quarters of the array.
    assert gather.sent == scatter.sent == 0.75 * 64 * 96 * 4


def test_a_collective_in_a_loop_counts_once_a_turn(mesh):
    def function(values):
        def turn(total, value):
            return total + jax.lax.psum(jnp.sin(total) * value, "fsdp"), None

        zero = jnp.zeros(values.shape[1:])
        return jax.lax.scan(turn, zero, values)[0]

    text = compiled_text(mesh, function, (5, 96), specs=(SPEC(),), out_specs=SPEC())
    (found,) = programs.collectives(text)
    assert found == Collective("all-reduce", 96 * 4, (0, 1, 2, 3), 5)


# The forms of XLA's compiler for TPUs, shortened: the number of turns stands in the
# condition of a loop; a collective is a chain of fusions; a reduce-scatter is an
# all-reduce in a fusion that keeps a part.
TPU = """
HloModule jit_step

%condition (state: (s32[])) -> pred[] {
  %limit.3 = s32[]{:T(128)} constant(12)
  %state = (s32[]{:T(128)}) parameter(0)
  %index = s32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %lt.1 = pred[]{:T(512)} compare(%index, %limit.3), direction=LT
}

%start (part: bf16[16,8]) -> bf16[128,8] {
  %all-gather.1 = bf16[128,8]{1,0:T(8,128)(2,1)} all-gather(%part), channel_id=2, replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}, dimensions={0}, frontend_attributes={chain_id="0"}
}

%done (part: bf16[16,8]) -> bf16[128,8] {
  %all-gather.2 = bf16[128,8]{1,0:T(8,128)(2,1)} all-gather(%part), channel_id=2, replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}, dimensions={0}, frontend_attributes={chain_id="0"}
}

%all-reduce-scatter.7 (whole: bf16[128,8]) -> bf16[16,8] {
  %all-reduce.3 = bf16[128,8]{1,0:T(8,128)(2,1)} all-reduce(%whole), channel_id=1, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
}

%body (state: (s32[])) -> (s32[]) {
  %fusion.1 = bf16[128,8] fusion(%a), kind=kCustom, calls=%start
  %fusion.2 = bf16[128,8] fusion(%b), kind=kCustom, calls=%done
  %fusion.3 = bf16[16,8] fusion(%c), kind=kCustom, calls=%all-reduce-scatter.7
}

ENTRY %main (a: f32[]) -> f32[] {
  %while.1 = (s32[]{:T(128)}) while(%tuple), condition=%condition, body=%body
  %all-reduce.4 = f32[4]{0} all-reduce(%a), channel_id=9, replica_groups=[1,8]<=[8], to_apply=%add
}
"""  # noqa: E501 one instruction is one line


def test_the_program_of_a_tpu():
    everyone = tuple(range(8))
    assert programs.collectives(TPU) == [
        Collective("all-gather", 128 * 8 * 2, everyone, 12),
        Collective("reduce-scatter", 16 * 8 * 2, everyone, 12),
        Collective("all-reduce", 4 * 4, everyone, 1),
    ]


# A TPU's compiler replaces a product and the reduce-scatter of its result by a loop in
# which parts travel around a ring, here two hops in each of two turns.
RING = """
HloModule jit_step

%condition (state: (bf16[16,8], u32[])) -> pred[] {
  %limit.3 = u32[]{:T(128)} constant(4)
  %state = (bf16[16,8]{1,0}, u32[]{:T(128)}) parameter(0)
  %index.9 = u32[]{:T(128)} get-tuple-element(%state), index=1
  ROOT %lt.1 = pred[]{:T(512)} compare(%index.9, %limit.3), direction=LT
}

%body (state: (bf16[16,8], u32[])) -> (bf16[16,8], u32[]) {
  %two..sunk.2 = u32[]{:T(128)} constant(2), metadata={op_name="jit(step)/while"}
  %index.4 = u32[]{:T(128)} get-tuple-element(%state), index=1
  %hop.1 = (bf16[16,8]{1,0}, bf16[16,8]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%a), channel_id=1, source_target_pairs={{0,1},{1,2},{2,3},{3,0}}
  %hop.2 = (bf16[16,8]{1,0}, bf16[16,8]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%b), channel_id=2, source_target_pairs={{0,1},{1,2},{2,3},{3,0}}
  %next.7 = u32[]{:T(128)} add(%index.4, %two..sunk.2), metadata={op_name="jit(step)/while"}
  ROOT %tuple.1 = (bf16[16,8]{1,0}, /*index=1*/u32[]{:T(128)}) tuple(%part, /*index=1*/%next.7)
}

ENTRY %main (a: f32[]) -> f32[] {
  %while.1 = (bf16[16,8]{1,0}, u32[]{:T(128)}) while(%tuple), condition=%condition, body=%body
}
"""  # noqa: E501 one instruction is one line


def test_a_ring_counts_its_real_turns_and_each_part_once():
    hop = Collective("collective-permute", 16 * 8 * 2, (0, 1), 2)
    assert programs.collectives(RING) == [hop, hop]


@pytest.mark.parametrize(
    ("form", "group"),
    [
        ("{{0,2},{1,3}}", (0, 2)),
        ("[1,8]<=[8]", tuple(range(8))),
        ("[4,2]<=[2,4]T(1,0)", (0, 4)),
        ("mesh['a'=2,'b'=4] {'b'}", (0, 1, 2, 3)),
        ("mesh['a'=2,'b'=4] {'a'}", (0, 4)),
        ("mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}", (0, 1, 2, 3)),
        ("mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}", (0, 4)),
    ],
)
def test_every_form_of_groups(form, group):
    line = f"%r = f32[4]{{0}} all-reduce(%a), replica_groups={form}, to_apply=%add"
    text = f"ENTRY %main (a: f32[4]) -> f32[4] {{\n  {line}\n}}\n"
    assert programs.collectives(text) == [Collective("all-reduce", 16, group, 1)]


def test_an_unknown_form_of_groups_is_an_error():
    line = "%r = f32[4]{0} all-reduce(%a), replica_groups=everyone, to_apply=%add"
    with pytest.raises(ValueError, match=r"unknown form.*everyone"):
        programs.collectives(f"ENTRY %main (a: f32[4]) -> f32[4] {{\n  {line}\n}}\n")


def flops_of(function, *shapes, **options):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return programs.product_flops(jax.make_jaxpr(function)(*arrays), **options)


def test_operations_of_a_product():
    assert flops_of(jnp.matmul, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    product = functools.partial(jnp.einsum, "bij,bjk->bik")
    assert flops_of(product, (4, 3, 5), (4, 5, 7)) == 4 * 2 * 3 * 5 * 7


def test_operations_in_loops_and_branches():
    def scanned(x, w):
        return jax.lax.scan(lambda x, _: (jax.jit(jnp.matmul)(x, w), None), x, None, 6)

    once = 2 * 3 * 5 * 5
    assert flops_of(scanned, (3, 5), (5, 5)) == 6 * once

    def looped(x, w):
        last = jnp.int32(x[0, 0])
        return jax.lax.fori_loop(0, last, lambda _, x: x @ w, x)

    assert flops_of(looped, (3, 5), (5, 5), unknown_turns=4) == 4 * once

    def branched(x, w):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)

    assert flops_of(branched, (3, 5), (5, 5)) == 2 * once


def test_operations_that_are_recomputed_count_again():
    def loss(w, x):
        return jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ w))

    again = jax.checkpoint(loss, policy=jax.checkpoint_policies.nothing_saveable)
    shapes = (5, 5), (3, 5)
    kept, recomputed = (flops_of(jax.grad(each), *shapes) for each in (loss, again))
    product = 2 * 3 * 5 * 5
    # The gradient of x is not wanted: three products backward.
    assert kept == 5 * product
    assert recomputed - kept in (product, 2 * product)
