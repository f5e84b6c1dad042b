"""Both trainers learn the same from the same pairs, and the result has all of it."""

import json
import subprocess
import sys

import pytest

from benchmarks import train_epoch, training_tables
from bertgen_jax.files import paths


def test_a_result_compares_the_medians_of_all_systems(tmp_path, monkeypatch):
    seconds = {
        name: iter((1.0 * n, 3.0 * n)) for n, name in enumerate(train_epoch.SYSTEMS, 1)
    }

    def run(name, options):
        fields = {"cpu_s": 5.0, "train_s": 0.5, "loss": 2.0, "padding": 0.25}
        return {"seconds": next(seconds[name]), **fields}

    output = tmp_path / "results.json"
    monkeypatch.setattr(train_epoch, "_run", run)
    monkeypatch.setattr(train_epoch, "prepare", lambda options: None)
    monkeypatch.setattr(sys, "argv", ["x", "--repeats=2", f"--output={output}"])
    assert train_epoch.main() == 0
    rows = json.loads(output.read_text())["rows"]
    assert [row["seconds"] for row in rows] == [2.0, 4.0, 6.0]
    assert [row["ours_is_faster"] for row in rows] == [1, 2, 3]
    table = training_tables.table(output).splitlines()
    assert "| Seq2SeqTrainer | 4 s | 0 s | 5 s | 25% | 2.000 | 2.00x |" in table


@pytest.mark.slow
@pytest.mark.parity
def test_the_systems_train_the_same_model(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    if paths.data_dir() is None:
        pytest.skip("BERTGEN_DATA_DIR is not set")
    output = tmp_path / "results.json"
    sizes = ("--size=tiny", "--pairs=64", "--validation=8", "--beams=2")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.train_epoch",
            *sizes,
            "--new-tokens=8",
            f"--output={output}",
        ],
        check=True,
    )
    results = json.loads(output.read_text())
    ours, random, grouped = results["rows"]
    assert ours["system"] == "bertgen_jax"
    assert ours["ours_is_faster"] == 1
    for other in (random, grouped):
        # Four updates of the same weights, from other batches of the same pairs.
        assert other["loss"] == pytest.approx(ours["loss"], abs=0.05)
    assert ours["padding"] < random["padding"]
