"""Both trainers learn the same from the same pairs, and the result has all of it."""

import json
import subprocess
import sys

import pytest

from bertgen_jax.files import paths

pytest.importorskip("torch")
pytest.importorskip("accelerate")
if paths.data_dir() is None:
    pytest.skip("BERTGEN_DATA_DIR is not set", allow_module_level=True)


@pytest.mark.slow
@pytest.mark.parity
def test_the_systems_train_the_same_model(tmp_path):
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
