"""Several processes train one model together and agree on all that they make."""

import json
import pathlib
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import jax
from bertgen_jax.training import trainer
from configs import bbc_summarize

process, port, workdir = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"localhost:{port}", 2, process)
config = bbc_summarize.get_config("demo")
config.update(total_steps=3, batch_size=8)
config.model.size = "micro"
config.tokenizer.vocab_size = 300
config.data.update(buckets=((128, 32),), test="")
config.optim.warmup_steps = 1
config.eval.update(every_steps=0, num_examples=8, batch_size=8)
config.decode.update(max_new_tokens=4, num_beams=1)
config.checkpoint.every_steps = 2
config.log.tensorboard = False
print(trainer.train(config, workdir))
"""


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def test_two_processes_train_evaluate_save_and_export(tmp_path):
    port, workdir = free_port(), tmp_path / "run"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), str(port), str(workdir)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
        assert "Outcome(step=3, best_step=3" in output
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["split"] for line in lines] == ["train", "validation"]
    predictions = (workdir / "predictions" / "validation-3.jsonl").read_text()
    assert len(predictions.splitlines()) == 8
    assert (workdir / "model" / "model.safetensors").exists()
