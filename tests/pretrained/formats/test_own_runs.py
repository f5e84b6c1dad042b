"""A work directory is read as its model or as one of its steps."""

import json
import shutil

import pytest

from bertgen_jax import trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.pretrained import saving
from bertgen_jax.pretrained.formats.location import MODEL_CONFIG
from tests.fixtures import opening
from tests.fixtures.models import pair_config


@pytest.fixture(scope="module")
def run(tmp_path_factory, draw_params):
    """A work directory with two steps: (directory, params of each)."""
    workdir = tmp_path_factory.mktemp("run")
    config = pair_config()
    (workdir / MODEL_CONFIG).write_text(json.dumps(config.to_dict()))
    (workdir / "config.json").write_text('{"ema_decay": 0.0}')
    store = CheckpointStore(
        workdir / "checkpoints", best_metric="loss", best_mode="min", keep_latest=2
    )
    params = {step: draw_params(config, seed=step) for step in (5, 10)}
    for step, tree in params.items():
        store.save(step, {"params": tree}, {})
        store.wait()
    store.close()
    saving.save(workdir / "model", config, params[5])
    return workdir, {step: trees.named(tree) for step, tree in params.items()}


def test_a_run_is_read_as_its_model_or_one_of_its_steps(run, tmp_path):
    workdir, params = run
    steps = workdir / "checkpoints"
    places = {
        workdir: (5, "Hugging Face encoder-decoder"),
        workdir / "config.json": (5, "Hugging Face encoder-decoder"),
        workdir / "model": (5, "Hugging Face encoder-decoder"),
        steps / "5": (5, "bertgen_jax checkpoint of step 5"),
        steps / "10": (10, "bertgen_jax checkpoint of step 10"),
    }
    for place, (step, format) in places.items():
        loaded = opening.load(place)
        assert loaded.format == format
        opening.assert_equal(opening.arrays_of(loaded), params[step])
    shutil.copytree(workdir, tmp_path / "run")  # that has not come to its end
    shutil.rmtree(tmp_path / "run" / "model")
    loaded = opening.load(tmp_path / "run")
    opening.assert_equal(opening.arrays_of(loaded), params[10])
    assert loaded.path == tmp_path / "run"  # where its tokenizer is
