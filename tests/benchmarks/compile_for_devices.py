"""Compiles small programs for the meshes of a kind of device, for the tests.

python -m tests.benchmarks.compile_for_devices h100

Prints a JSON line for each program: its name, the number of devices, the bytes that it
needs on each, and the kinds of its collectives.
"""

import json
import sys

from benchmarks import ahead_of_time, programs, scale_plan
from benchmarks.ahead_of_time import Workload
from bertgen_jax.data.batching import Bucket
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.training import memory

SEARCHES = {
    "greedy": {},
    "beam": {"num_beams": 4, "length_penalty": 0.6, "early_stopping": "never"},
}
IDS = {"decoder_start_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}


def main() -> None:
    """Compiles a training step for each mesh, and both searches for each size."""
    kind = sys.argv[1]
    ahead_of_time.setup(kind)
    config = ahead_of_time.create_config("micro")
    meshes = sorted({(data, fsdp) for data, fsdp, _ in scale_plan.PLAN[kind]})
    generated = set()
    for data, fsdp in meshes:
        mesh = ahead_of_time.create_mesh(kind, data, fsdp)
        workload = Workload(config, Bucket(32, 16), 2 * mesh.size, policy="none")
        traced = ahead_of_time.trace_step(workload, mesh, "none")
        _print(f"step {data} x {fsdp}", mesh.size, traced.lower().compile())
        if mesh.size in generated:
            continue
        generated.add(mesh.size)
        for name, settings in SEARCHES.items():
            search = GenerationConfig(max_new_tokens=40, **settings, **IDS)
            program = ahead_of_time.compile_generator(
                config, mesh, 32, 2 * mesh.size, search.for_prompt(1)
            )
            _print(f"{name} {data} x {fsdp}", mesh.size, program)


def _print(name: str, devices: int, program) -> None:
    kinds = {each.kind for each in programs.collectives(program.as_text())}
    row = {
        "program": name,
        "devices": devices,
        "bytes": memory.program_bytes(program),
        "collectives": sorted(kinds),
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
