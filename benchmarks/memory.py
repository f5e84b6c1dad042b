"""Prints the memory that a training step needs on a device, by size, batch and policy.

    python -m benchmarks.memory --device=h100|v5e|v5p|v6e|here [--sizes=base,large]
        [--batches=16,64] [--policies=none,dots,full] [--devices=1] [--fsdp=1]
        [--tokens=512/128] [--output=FILE]

The programs for other devices are compiled ahead of time; `ahead_of_time` says which
packages that takes. Beside each program stands the prediction that chooses the policy
of `model.remat="auto"`.
"""

import argparse
import itertools
import math
import pathlib
import shlex
import sys
import time
from typing import Any

import jax

from benchmarks import ahead_of_time, record
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
from bertgen_jax.training import memory

HERE = "here"


def main() -> int:
    """Prints a line for each program, and writes all of them on request."""
    options = _options()
    if options.device == HERE:
        mesh = sharding.create_mesh(-1, options.fsdp)
        available, dtype = memory.available_bytes(), "float32"
        if jax.default_backend() != "cpu":
            dtype = "bfloat16"
    else:
        ahead_of_time.setup(options.device)
        mesh = ahead_of_time.create_mesh(
            options.device, options.devices // options.fsdp, options.fsdp
        )
        available, dtype = ahead_of_time.DEVICES[options.device].memory, "bfloat16"
    rows = []
    print(f"{mesh.size} x {options.device}, {available / 1e9:.1f} GB, {dtype}")
    for size, batch, policy in itertools.product(
        options.sizes, options.batches, options.policies
    ):
        row = _measure(size, batch, policy, options.tokens, mesh, dtype)
        rows.append(row)
        fits = "fits" if 0 < row["total"] <= available else "does not fit"
        print(
            f"{size} {batch} x {options.tokens.source}/{options.tokens.target} "
            f"{policy}: temporaries {row['temporaries'] / 1e9:.2f} GB, in all "
            f"{row['total'] / 1e9:.2f} GB (predicted {row['predicted'] / 1e9:.2f}), "
            f"{fits}; compiled in {row['compile_s']:.0f} s",
            flush=True,
        )
    if options.output:
        machine = record.machine("bertgen_jax", "jax", "jaxlib", device=options.device)
        record.write(
            options.output,
            f"python -m benchmarks.memory {shlex.join(sys.argv[1:])}",
            machine,
            {
                "device": options.device,
                "devices": mesh.size,
                "fsdp": options.fsdp,
                "dtype": dtype,
                "available": available,
                "source": options.tokens.source,
                "target": options.tokens.target,
                "rows": rows,
            },
        )
    return 0


def _measure(
    size: str, batch: int, policy: str, bucket: Bucket, mesh: Any, dtype: str
) -> dict[str, Any]:
    """Compiles one program; its sizes are in bytes on each device, 0 if it failed."""
    config = ahead_of_time.create_config(size)
    parameters = sum(
        math.prod(leaf.shape)
        for leaf in jax.tree.leaves(ahead_of_time.abstract_params(config))
    )
    predicted = memory.predicted_bytes(
        config,
        parameters,
        memory.Shapes(
            rows=batch // mesh.size,
            source=bucket.source,
            target=bucket.target,
            itemsize=2 if dtype == "bfloat16" else 4,
            split=mesh.shape["fsdp"],
        ),
        policy,
    )
    row = {
        "size": size,
        "batch": batch,
        "policy": policy,
        "parameters": parameters,
        "predicted": predicted,
        "temporaries": 0,
        "total": 0,
    }
    started_s = time.monotonic()
    try:
        compiled = ahead_of_time.compile_step(
            config, mesh, bucket, batch, policy=policy, dtype=dtype
        )
        row["temporaries"] = compiled.memory_analysis().temp_size_in_bytes
        row["total"] = memory.program_bytes(compiled)
    except jax.errors.JaxRuntimeError as error:  # a TPU's compiler refuses
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
    return row | {"compile_s": round(time.monotonic() - started_s, 1)}


def _options() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    def bucket(text: str) -> Bucket:
        return Bucket(*(int(part) for part in text.split("/")))

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--device", choices=[HERE, *ahead_of_time.DEVICES], default=HERE
    )
    parser.add_argument("--sizes", type=names, default=["base", "large"])
    parser.add_argument("--batches", type=numbers, default=[16, 64])
    parser.add_argument("--policies", type=names, default=["none", "dots", "full"])
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--fsdp", type=int, default=1)
    parser.add_argument("--tokens", type=bucket, default=Bucket(512, 128))
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
