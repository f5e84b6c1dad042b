"""Tests that two processes save and restore one sharded state.

Run as a script, this file is one of the two processes.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.errors import CheckpointError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
KERNEL = np.arange(64, dtype=np.float32).reshape(16, 4)


def open_store(directory):
    store = CheckpointStore(directory, best_metric=None, best_mode="max", keep_latest=2)
    return contextlib.closing(store)


def run_process(directory, port, process):
    jax.distributed.initialize(f"localhost:{port}", 2, process)
    mesh = jax.make_mesh((2,), ("fsdp",), (AxisType.Auto,))
    sharding = NamedSharding(mesh, P("fsdp"))
    kernel = jax.make_array_from_callback(KERNEL.shape, sharding, KERNEL.__getitem__)
    abstract = {"w": jax.ShapeDtypeStruct((16, 4), jnp.float32, sharding=sharding)}
    with open_store(directory) as store:
        for step in (1, 2):
            store.save(step, {"w": step * kernel}, {"position": step})
        with pytest.raises(CheckpointError):  # on both processes, so that neither waits
            store.save(2, {"w": kernel}, {})
        if process == 0:
            (directory / "2" / "extra.json").write_text("damaged")
        step, state, extra = store.restore(None, abstract)
    assert (step, extra) == (1, {"position": 1})
    for shard in state["w"].addressable_shards:
        assert np.array_equal(shard.data, KERNEL[shard.index])
    jax.distributed.shutdown()


@pytest.mark.slow
def test_two_processes_save_agree_on_the_intact_step_and_restore(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(port), str(process)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"},
            text=True,
        )
        for process in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    with open_store(tmp_path) as store:  # one process, one device
        abstract = {"w": jax.ShapeDtypeStruct((16, 4), jnp.float32)}
        step, state, _ = store.restore(None, abstract)
    assert step == 1
    assert np.array_equal(state["w"], KERNEL)


if __name__ == "__main__":
    run_process(pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
