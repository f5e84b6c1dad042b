"""Programs compile for GPUs and TPUs that are not there, and fit into them.

Each test needs the compiler for a kind of device, which `.ci/run aot` installs.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import ahead_of_time, programs, scale_plan
from benchmarks.ahead_of_time import Workload
from bertgen_jax import sharding
from bertgen_jax.data.batching import Bucket

ROOT = pathlib.Path(__file__).parents[2]
COMPILERS = {"cuda": "jax_cuda12_plugin", "tpu": "libtpu"}  # packages
PAPER = Bucket(512, 128)


def run(kind, *arguments):
    """Runs a module in a process of its own, because jax is set up once."""
    package = COMPILERS[ahead_of_time.DEVICES[kind].platform]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; .ci/run aot installs it")
    command = [sys.executable, "-m", *arguments]
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", scale_plan.PLAN)
def test_steps_and_generation_compile_for_every_mesh_of_the_plan(kind):
    output = run(kind, "tests.benchmarks.compile_for_devices", kind)
    rows = {row["program"]: row for row in map(json.loads, output.splitlines())}
    meshes = {(data, fsdp) for data, fsdp, _ in scale_plan.PLAN[kind]}
    assert {f"step {data} x {fsdp}" for data, fsdp in meshes} <= set(rows)
    sizes = {data * fsdp for data, fsdp in meshes}
    for search in ("greedy", "beam"):
        programs = [row for name, row in rows.items() if name.startswith(search)]
        assert {row["devices"] for row in programs} == sizes
    for name, row in rows.items():
        assert row["bytes"] > 0
        if name.startswith("step") and row["devices"] > 1:
            assert "all-reduce" in row["collectives"]


# On a v5e `auto` takes "full" as well, after the compiler has refused "dots".
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "policy", "temporaries"), [("h100", "dots", 12e9), ("v5e", "full", 6e9)]
)
def test_a_step_of_the_papers_size_fits(kind, policy, temporaries, tmp_path):
    file = tmp_path / "memory.json"
    run(
        kind,
        "benchmarks.memory",
        f"--device={kind}",
        "--sizes=base",
        "--batches=64",
        f"--policies={policy}",
        f"--output={file}",
    )
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert row["fits"]
    assert 0 < row["temporaries"] <= temporaries


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mesh"), [("h100", "1,1"), ("v5e", "8,1")])
def test_the_papers_summarization_fits(kind, mesh, tmp_path):
    file = tmp_path / "plan.json"
    run(
        kind,
        "benchmarks.scale_plan",
        f"--device={kind}",
        f"--mesh={mesh}",
        "--config=bbc_summarize",
        f"--output={file}",
    )
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (row["rows"], row["source"], row["target"]) == (128, 512, 64)
    assert row["parameters"] == 152_491_008  # of the paper's Table 1
    assert 0 < row["total"] <= row["available"]


def test_an_experiment_is_the_step_of_its_config():
    workload = Workload.of_experiment("bbc_summarize")
    assert (workload.rows, workload.bucket) == (128, Bucket(512, 64))
    assert (workload.dtype, workload.policy) == ("bfloat16", "auto")
    assert workload.config.share_encoder_decoder
    assert workload.parameters == 152_491_008
    fewer = Workload.of_experiment("bbc_summarize", rows=8, bucket=None)
    assert (fewer.rows, fewer.bucket) == (8, workload.bucket)


@pytest.mark.slow
def test_recomputing_what_dots_recomputes_is_at_most_a_tenth_more_work():
    workload = Workload(ahead_of_time.create_config("base"), PAPER, 64)
    mesh = sharding.create_mesh(8, 1)
    chunks = 64 // 8 * PAPER.target // 1024

    def operations(policy):
        traced = ahead_of_time.trace_step(workload, mesh, policy)
        return programs.product_flops(traced.jaxpr, chunks)

    none, dots, full = map(operations, ("none", "dots", "full"))
    assert none < dots <= 1.1 * none
    assert 1.1 * none < full < 1.5 * none
