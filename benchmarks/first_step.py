"""Measures the time from the command `python train.py` to the first training step.

    python -m benchmarks.first_step [--sizes=small,base] [--repeats=3] [--output=FILE]

Each run is a process of its own, which is ended after its first step: "cold" without
compiled programs on disk, "warm" with those of the run before. Texts are tokenized
beforehand. The corpus is the demo's, batches are 4 x 128/64 tokens, and the vocabulary
is the paper's, from `BERTGEN_DATA_DIR`.
"""

import argparse
import os
import pathlib
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import arguments, record
from bertgen_jax.models.presets import SIZES

ROOT = pathlib.Path(__file__).parents[1]

# What train.py prints at the end of each stage.
STAGES = {
    "sign of life": r"loading JAX",
    "imports and data": r"tokens padding",
    "step compiled": r"compiled a step",
    "step begins": r"training from step",
    "step done": r"step 1/",
}


def main() -> int:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sizes = arguments.names(SIZES)
    parser.add_argument("--sizes", type=sizes, default=["small", "base"])
    parser.add_argument(
        "--repeats", type=arguments.count, default=3, help="runs of each kind"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    options = parser.parse_args()
    machine = record.machine("bertgen_jax", "jax", "jaxlib", "flax")
    load, rows = os.getloadavg()[0], []
    for size in options.sizes:
        rows += measure(command(size), size, options.repeats)
    record.write(
        options.output or record.results_file("first-step", machine),
        record.command("first_step"),
        machine,
        {"load": round(load, 2), "repeats": options.repeats, "rows": rows},
    )
    return 0


def command(size: str) -> list[str]:
    """Returns the command of a run, without its work directory."""
    fields = {
        "model.size": size,
        "model.scan_layers": True,
        "model.hidden_dropout_prob": 0.1,
        "model.attention_probs_dropout_prob": 0.1,
        "tokenizer.path": "vocab/bertgen_50358.model",
        "batch_size": 4,
        "data.max_source_tokens": 128,
        "data.max_target_tokens": 64,
        "data.buckets": "((128,64),)",
        "log.every_steps": 1,
    }
    return [
        sys.executable,
        "train.py",
        "--config=configs/wikisplit_split.py:demo",
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def measure(arguments: list[str], size: str, repeats: int) -> list[dict[str, object]]:
    """Runs a command cold and warm in turn; returns a row for each kind."""
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder) / "cache"
        run(arguments, cache, "imports and data")  # tokenizes
        for _ in range(repeats):
            shutil.rmtree(cache / "compiled", ignore_errors=True)
            for kind, results in runs.items():
                results.append(run(arguments, cache, "step done"))
                print(size, kind, results[-1], flush=True)
    return [
        {
            "size": size,
            "kind": kind,
            **{
                name: round(statistics.median(each[name] for each in results), 2)
                for name in results[0]
            },
        }
        for kind, results in runs.items()
    ]


def run(arguments: list[str], cache: pathlib.Path, last: str) -> dict[str, float]:
    """Runs a command until a stage has ended.

    Returns:
      Seconds from the start of the process to the end of each stage, and the seconds of
      CPU that the process took.

    Raises:
      RuntimeError: the process ended before the stage.
    """
    used_s, seconds, output = _cpu_s(), {}, []
    with tempfile.TemporaryDirectory() as folder:
        variables = {"BERTGEN_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
        started_s = time.monotonic()
        with subprocess.Popen(
            [*arguments, f"--workdir={folder}/run"],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                now_s = time.monotonic() - started_s
                output.append(line)
                for stage, pattern in STAGES.items():
                    if stage not in seconds and re.search(pattern, line):
                        seconds[stage] = now_s
                if last in seconds:
                    break
            process.kill()
    if last not in seconds:
        raise RuntimeError(f"{shlex.join(arguments)} failed:\n{''.join(output)}")
    return {**seconds, "cpu_s": _cpu_s() - used_s}


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
