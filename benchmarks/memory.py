"""Prints the memory that a training step needs on a device, by size, batch and policy.

    python -m benchmarks.memory --device=h100|v5e|v5p|v6e|here [--sizes=base,large]
        [--batches=16,64] [--policies=auto,none,dots,full] [--tokens=512/128]
        [--output=FILE]

The programs for other devices are compiled ahead of time; `ahead_of_time` says which
packages that takes. Beside each program stands the prediction that chooses the policy
of `model.remat="auto"`. With --output, the rows replace those of the same programs in
the file.
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys
import time
from typing import Any

import jax
from jax.sharding import Mesh

from benchmarks import ahead_of_time, arguments, record
from benchmarks.ahead_of_time import Workload
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.rematerialization import POLICIES
from bertgen_jax.training import memory

HERE = "here"
_KEY = ("size", "batch", "source", "target", "requested")


def main() -> int:
    """Prints a line for each program, and writes all of them on request."""
    options = _options()
    if options.device == HERE:
        mesh = sharding.create_mesh(-1, 1)
        available, dtype = memory.available_bytes(), "float32"
        if jax.default_backend() != "cpu":
            dtype = "bfloat16"
    else:
        ahead_of_time.setup(options.device)
        mesh = ahead_of_time.create_mesh(options.device, 1, 1)
        available, dtype = ahead_of_time.DEVICES[options.device].memory, "bfloat16"
    print(f"{options.device}, {available / 1e9:.1f} GB, {dtype}")
    for size, batch, policy in itertools.product(
        options.sizes, options.batches, options.policies
    ):
        workload = Workload(
            ahead_of_time.create_config(size),
            options.tokens,
            batch,
            dtype=dtype,
            policy=policy,
        )
        names = {"size": size, "batch": batch, "requested": policy}
        row = (
            names
            | dataclasses.asdict(options.tokens)
            | measure(workload, mesh, available)
        )
        fits = "fits" if row["fits"] else "does not fit"
        print(
            f"{size} {batch} x {row['source']}/{row['target']} {policy} "
            f"({row['policy']}): temporaries {row['temporaries'] / 1e9:.2f} GB, in all "
            f"{row['total'] / 1e9:.2f} GB (predicted {row['predicted'] / 1e9:.2f}), "
            f"{fits}; compiled in {row['compile_s']:.0f} s",
            flush=True,
        )
        if options.output:
            _write(options.output, options.device, dtype, available, row)
    return 0


def measure(workload: Workload, mesh: Mesh, available: float) -> dict[str, Any]:
    """Compiles a step with the first policy that fits.

    Returns:
      The policy, and bytes on each device: temporaries, in all, and predicted. They are
      0 if the compiler found that the program does not fit and made none.
    """
    row: dict[str, Any] = {}
    started_s = time.monotonic()
    for policy in workload.policies(mesh, available):
        traced = ahead_of_time.trace_step(workload, mesh, policy)
        compiled = memory.compile_or_none(traced.lower())
        total = memory.program_bytes(compiled) if compiled is not None else None
        row = {
            "policy": policy,
            "parameters": workload.parameters,
            "predicted": workload.predicted_bytes(mesh, policy),
            "temporaries": 0,
            "total": total or 0,
            "fits": 0 < (total or 0) <= available,
        }
        if compiled is not None:
            row["temporaries"] = compiled.memory_analysis().temp_size_in_bytes
        if row["fits"]:
            break
    return row | {"compile_s": round(time.monotonic() - started_s, 1)}


def _write(
    file: pathlib.Path,
    device: str,
    dtype: str,
    available: float,
    row: dict[str, Any],
) -> None:
    """Adds a row to the results in a file, in place of an older one."""
    rows = record.with_row(record.rows(file), row, _KEY)
    kind = None if device == HERE else device
    record.write(
        file,
        f"python -m benchmarks.memory --device={device} --output=FILE",
        record.machine("bertgen_jax", "jax", "jaxlib", device=kind),
        {"device": device, "dtype": dtype, "available": int(available), "rows": rows},
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--device", choices=[HERE, *ahead_of_time.DEVICES], default=HERE
    )
    parser.add_argument(
        "--sizes", type=arguments.names(SIZES), default=["base", "large"]
    )
    parser.add_argument("--batches", type=arguments.counts, default=[16, 64])
    policies = arguments.names([memory.AUTO, *POLICIES])
    parser.add_argument("--policies", type=policies, default=[memory.AUTO])
    parser.add_argument("--tokens", type=arguments.bucket, default=Bucket(512, 128))
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
