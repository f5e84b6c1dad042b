"""Plans training on many devices: memory, communication and time, without a device.

    python -m benchmarks.scale_plan --device=h100|v5e|v5p|v6e --mesh=DATA,FSDP --rows=N
        [--size=base] [--tokens=512/128] [--config=bbc_summarize] [--policy=auto]
        [--predict] [--output=FILE]
    python -m benchmarks.scale_plan --device=h100 --plan [--predict] [--output=FILE]

The training step is compiled ahead of time for the mesh (see `ahead_of_time` for the
packages that takes), and its memory and its collectives are read from the program.
`scale_model` computes the expected time from them. --rows is the batch of all devices.
--config takes the model, the lengths and the optimizer of a config in configs/.

--plan compiles the meshes of docs/scaling.md that FILE does not hold yet, or only as a
prediction; FILE is benchmarks/results/scale-plan-DEVICE.json by default.

--predict compiles nothing. Memory is that of the formula which chooses `model.remat`,
and the gradients that devices send are counted; it needs fsdp=1. Tests compare both
with what is compiled.
"""

import argparse
import dataclasses
import math
import pathlib
import sys
import time
from typing import Any

import jax.numpy as jnp

from benchmarks import ahead_of_time, arguments, programs, record, scale_model
from benchmarks.ahead_of_time import Workload
from bertgen_jax import stacked_layers, trees
from bertgen_jax.data.batching import Bucket
from bertgen_jax.models import initialization
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.rematerialization import POLICIES
from bertgen_jax.training import flops, memory

ROOT = pathlib.Path(__file__).parents[1]
EXPERIMENTS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common"
)
_KEY = ("model", "source", "target", "rows", "data", "fsdp", "requested")

Row = dict[str, Any]

PAPER = 256  # rows of a batch that the devices share (strong scaling)
# Meshes of docs/scaling.md by kind of device: data, fsdp, rows of all devices. The
# batch grows with the devices in some (weak scaling), and is the paper's in others.
PLAN = {
    "h100": [
        (1, 1, 64),
        (8, 1, 8 * 64),
        (64, 1, 64 * 64),
        (1, 8, 8 * 64),
        (8, 8, 64 * 64),
        (1, 1, PAPER),
        (8, 1, PAPER),
        (64, 1, PAPER),
    ],
    "v5e": [
        (8, 1, 8 * 32),  # also the paper's batch
        (256, 1, 256 * 32),
        (1, 8, 8 * 32),
        (256, 1, PAPER),
    ],
    "v5p": [(64, 1, 64 * 64), (64, 1, PAPER)],
}
# Configs as the paper ran them: data, fsdp.
CONFIGS = {"h100": [("bbc_summarize", 1, 1)], "v5e": [("bbc_summarize", 8, 1)]}


def main() -> int:
    """Prints a plan, or those of docs/scaling.md, and writes them on request."""
    options = _options()
    file = options.output
    if options.plan:
        file = file or record.RESULTS / f"scale-plan-{options.device}.json"
        workloads = _planned(options.device)
    else:
        changes = {"rows": options.rows, "policy": options.policy}
        if options.config:
            changes["bucket"] = options.tokens
            workload = Workload.of_experiment(options.config, **changes)
        else:
            workload = Workload(
                ahead_of_time.create_config(options.size),
                options.tokens or Bucket(512, 128),
                options.rows or 64,
                policy=options.policy or memory.AUTO,
            )
        name = options.config or options.size
        workloads = [(name, workload, *options.mesh)]
    ahead_of_time.setup(options.device)
    for name, workload, data, fsdp in workloads:
        names = {
            "model": name,
            "source": workload.bucket.source,
            "target": workload.bucket.target,
            "rows": workload.rows,
            "data": data,
            "fsdp": fsdp,
            "requested": workload.policy,
        }
        known = record.rows(file) if file else []
        same = [row for row in known if all(row[name] == names[name] for name in _KEY)]
        if options.plan and any(row["compiled"] or options.predict for row in same):
            continue
        if options.predict and fsdp > 1:
            print(f"left out: {data} x {fsdp}; --predict expects fsdp=1")
            continue
        plan = predict if options.predict else measure
        row = names | plan(workload, options.device, data, fsdp)
        print(_described(row), flush=True)
        if file:
            _write(file, options.device, row)
    return 0


def measure(workload: Workload, kind: str, data: int, fsdp: int) -> Row:
    """Compiles the step of a mesh, with the first policy that fits.

    Returns:
      The policy; bytes on a device; the operations of a device, those of the model and
      all products; what a device sends; and the expected times.

    Raises:
      ValueError: no program fits into the device.
    """
    device = ahead_of_time.DEVICES[kind]
    mesh = ahead_of_time.create_mesh(kind, data, fsdp)
    started_s = time.monotonic()
    for policy in workload.policies(mesh, device.memory):
        traced = ahead_of_time.trace_step(workload, mesh, policy)
        compiled = memory.compile_or_none(traced.lower())
        if compiled is None:
            continue
        total = memory.program_bytes(compiled)
        assert total is not None  # these compilers know
        if total <= device.memory:
            break
    else:
        raise ValueError(
            f"{workload.rows} rows do not fit into {data} x {fsdp} {kind}; expected "
            "fewer rows, more devices or a larger fsdp."
        )
    row = _operations(workload, traced.jaxpr, data * fsdp) | {
        "device": kind,
        "compiled": True,
        "policy": policy,
        "parameters": workload.parameters,
        "temporaries": compiled.memory_analysis().temp_size_in_bytes,
        "total": total,
        "available": int(device.memory),
        "sent": sent(compiled.as_text()),
        "compile_s": round(time.monotonic() - started_s, 1),
    }
    return row | {"times": scale_model.times(row | {"data": data, "fsdp": fsdp})}


def predict(workload: Workload, kind: str, data: int, fsdp: int) -> Row:
    """Returns the row of `measure` for data parallelism without compiling anything."""
    device = ahead_of_time.DEVICES[kind]
    mesh = ahead_of_time.create_mesh(kind, data, fsdp)
    policy = next(workload.policies(mesh, device.memory))
    traced = ahead_of_time.trace_step(workload, mesh, policy)
    row = _operations(workload, traced.jaxpr, data) | {
        "device": kind,
        "compiled": False,
        "policy": policy,
        "parameters": workload.parameters,
        "temporaries": 0,
        "total": workload.predicted_bytes(mesh, policy),
        "available": int(device.memory),
        "sent": predicted_sent(workload, data),
        "compile_s": 0.0,
    }
    return row | {"times": scale_model.times(row | {"data": data, "fsdp": fsdp})}


def predicted_sent(workload: Workload, data: int) -> list[Row]:
    """Counts what a device sends with data parallelism.

    Gradients of layers are summed in the compute dtype, a layer at a time, and all
    others in f32. Those of layers that encoder and decoder share are summed twice, once
    for each of the two.
    """
    if data == 1:
        return []
    config, size, layers = workload.config, 0, 0
    shares = isinstance(config, EncoderDecoderConfig) and config.share_encoder_decoder
    shapes = initialization.param_shapes(create_model(config))
    for name, leaf in trees.named(shapes).items():
        is_layer = stacked_layers.stacked_path(name) != name
        dtype = workload.dtype if is_layer else "float32"
        twice = 2 if shares and is_layer and "/crossattention/" not in name else 1
        size += twice * math.prod(leaf.shape) * jnp.dtype(dtype).itemsize
        if name.endswith("intermediate/kernel"):  # one in each layer
            layers += twice
    size = round(2 * size * (data - 1) / data)
    kind = {"kind": "all-reduce", "devices": data, "stride": 1}
    return [kind | {"times": layers + 1, "bytes": size}]


def _operations(workload: Workload, jaxpr: Any, devices: int) -> Row:
    """Counts the operations of a device: those of the model, and all products."""
    source, target = workload.bucket.source, workload.bucket.target
    rows = workload.rows
    # The loss multiplies 1,024 tokens at a time.
    chunks = -(-(rows // devices // workload.micro_batches * target) // 1024)
    model_flops = flops.step_flops(workload.config, [source] * rows, [target] * rows)
    return {
        "model_flops": model_flops // devices,
        "flops": programs.product_flops(jaxpr, chunks) // devices,
    }


def sent(text: str) -> list[Row]:
    """Adds up what a device sends in a step, by kind of collective and group.

    Args:
      text: the HLO of a program.
    """
    sums: dict[tuple[str, tuple[int, ...]], Row] = {}
    for each in programs.collectives(text):
        row = sums.setdefault(
            (each.kind, each.group),
            {
                "kind": each.kind,
                "devices": len(each.group),
                "stride": each.group[1] - each.group[0],
                "times": 0,
                "bytes": 0,
            },
        )
        row["times"] += each.times
        row["bytes"] += round(each.sent)
    return list(sums.values())


def _planned(kind: str) -> list[tuple[str, Workload, int, int]]:
    """Returns the meshes of docs/scaling.md for a kind of device."""
    config = ahead_of_time.create_config("base")
    planned = [
        ("base", Workload(config, Bucket(512, 128), rows), data, fsdp)
        for data, fsdp, rows in PLAN.get(kind, [])
    ]
    planned += [
        (name, Workload.of_experiment(name), data, fsdp)
        for name, data, fsdp in CONFIGS.get(kind, [])
    ]
    return planned


def _described(row: Row) -> str:
    times = row["times"]
    lines = [
        f"{row['model']} {row['rows']} x {row['source']}/{row['target']} on "
        f"{row['data']} x {row['fsdp']} {row['device']}: model.remat={row['policy']}, "
        f"{row['total'] / 1e9:.2f} of {row['available'] / 1e9:.1f} GB, "
        f"{row['flops'] / 1e12:.1f} TFLOP a device "
        f"({row['model_flops'] / 1e12:.1f} without recomputation); "
        f"{1e3 * times['step_s']:.0f} ms to {1e3 * times['serial_s']:.0f} ms a step, "
        f"efficiency {times['serial_efficiency']:.0%} to {times['efficiency']:.0%}"
        + (f"; compiled in {row['compile_s']:.0f} s" if row["compiled"] else "")
    ]
    lines += [
        f"  {each['times']} x {each['kind']} over {each['devices']} devices: "
        f"{each['bytes'] / 1e6:.1f} MB"
        for each in row["sent"]
    ]
    return "\n".join(lines)


def _write(file: pathlib.Path, kind: str, row: Row) -> None:
    """Adds a row to the results in a file, in place of an older one."""
    rows = record.with_row(record.rows(file), row, _KEY)
    record.write(
        file,
        f"python -m benchmarks.scale_plan --device={kind} --plan",
        record.machine("bertgen_jax", "jax", "jaxlib", device=kind),
        {
            "device": dataclasses.asdict(ahead_of_time.DEVICES[kind]),
            "assumptions": dataclasses.asdict(scale_model.ASSUMPTIONS),
            "rows": rows,
        },
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=list(ahead_of_time.DEVICES), required=True)
    parser.add_argument("--plan", action="store_true", help="all of docs/scaling.md")
    parser.add_argument("--mesh", type=arguments.mesh, default=(1, 1), help="data,fsdp")
    parser.add_argument("--rows", type=arguments.count, help="of all devices")
    parser.add_argument("--size", choices=list(SIZES), default="base")
    parser.add_argument("--tokens", type=arguments.bucket)
    parser.add_argument("--config", choices=EXPERIMENTS, help="file in configs/")
    policies = [memory.AUTO, *POLICIES]
    parser.add_argument("--policy", choices=policies, help="model.remat")
    parser.add_argument("--predict", action="store_true", help="compile nothing")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
