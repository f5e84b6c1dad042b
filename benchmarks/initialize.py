"""Measures how long drawing random parameters takes, beside `model.init` of Flax.

    python -m benchmarks.initialize [--sizes=small,base] [--repeats=3] [--output=FILE]

Each run is a process of its own, because compiling takes most of the time: `jax.jit` of
`model.init`, then `draw_params`. The runs take turns. Importing is not timed. The
parameters must be the same, bit for bit.
"""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np

from benchmarks import arguments, record
from benchmarks.ahead_of_time import WORDS
from bertgen_jax import rng, trees
from bertgen_jax.models import create, initialization
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig

_FLAX = "model.init"
_OURS = "draw_params"


def main() -> int:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sizes = arguments.names(SIZES)
    parser.add_argument("--sizes", type=sizes, default=["small", "base"])
    parser.add_argument(
        "--repeats", type=arguments.count, default=3, help="rounds that are timed"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    parser.add_argument("--run", choices=(_FLAX, _OURS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(_measure(options.run, *options.sizes)))
        return 0
    machine = record.machine("bertgen_jax", "jax", "jaxlib", "flax")
    load, rows = os.getloadavg()[0], []
    for size in options.sizes:
        results: dict[str, list[dict[str, Any]]] = {_FLAX: [], _OURS: []}
        for _ in range(options.repeats):
            for name, runs in results.items():
                runs.append(_run(name, size))
        if len({run["sha256"] for runs in results.values() for run in runs}) != 1:
            print(f"The parameters of {size} differ; nothing is written")
            return 1
        row = {"size": size, "parameters": results[_OURS][0]["parameters"]}
        for name, runs in results.items():
            for field in ("seconds", "cpu_s"):
                median = statistics.median(run[field] for run in runs)
                row[f"{name} {field}"] = round(median, 2)
        row["ratio"] = round(row[f"{_FLAX} seconds"] / row[f"{_OURS} seconds"], 2)
        rows.append(row)
        print(row)
    record.write(
        options.output or record.results_file("initialize", machine),
        record.command("initialize"),
        machine,
        {"load": round(load, 2), "repeats": options.repeats, "rows": rows},
    )
    return 0


def _run(name: str, size: str) -> dict[str, Any]:
    command = ["-m", "benchmarks.initialize", f"--run={name}", f"--sizes={size}"]
    done = subprocess.run(
        [sys.executable, *command], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def _measure(name: str, size: str) -> dict[str, Any]:
    """Draws the parameters of an encoder-decoder in this process."""
    fields: dict[str, Any] = {**SIZES[size], "vocab_size": WORDS}
    encoder = BertGenerationConfig(**fields)
    decoder = BertGenerationConfig(**fields, is_decoder=True, add_cross_attention=True)
    model = create.create_model(EncoderDecoderConfig(encoder, decoder))
    jax.block_until_ready(jax.numpy.zeros(1))  # starts the backend
    started_s, cpu_s = time.perf_counter(), time.process_time()
    key = rng.key(0, "init")
    if name == _OURS:
        params = initialization.draw_params(model, key)
    else:
        ids = np.zeros((1, 2), np.int32)
        init = jax.jit(lambda key: model.init(key, ids, None, ids)["params"])
        params = jax.block_until_ready(init(key))
    seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    digest = hashlib.sha256()
    leaves = trees.named(params)
    for path in sorted(leaves):
        digest.update(np.asarray(leaves[path]).tobytes())
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "parameters": sum(leaf.size for leaf in leaves.values()),
        "sha256": digest.hexdigest(),
    }


if __name__ == "__main__":
    sys.exit(main())
