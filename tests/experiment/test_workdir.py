"""A work directory belongs to one configuration and to one run at a time."""

import json

import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.experiment import checks, workdir
from configs import common


def test_the_same_configuration_may_resume(tmp_path):
    workdir.claim(tmp_path, common.get_config())
    workdir.check(tmp_path, common.get_config())


def test_differences_are_listed_by_field(tmp_path):
    workdir.claim(tmp_path, common.get_config())
    config = common.get_config()
    config.optim.learning_rate = 0.1
    config.batch_size = 64
    with pytest.raises(CheckpointError) as caught:
        workdir.check(tmp_path, config)
    assert "batch_size: 128, 64" in str(caught.value)
    assert "optim.learning_rate: 0.05, 0.1" in str(caught.value)
    assert "optim.b1" not in str(caught.value)


def test_how_a_run_is_executed_may_change(tmp_path):
    workdir.claim(tmp_path, common.get_config())
    config = common.get_config()
    config.mesh.fsdp = 2
    config.log.every_steps = 7
    config.total_steps = 300_000  # the paper's schedule does not depend on the end
    workdir.check(tmp_path, config)


def test_a_run_of_an_earlier_version_may_resume_and_be_evaluated(tmp_path):
    """Fields that did not exist then have their defaults."""
    config = common.get_config()
    config.batch_size = 64
    saved = workdir.resolved(config)
    for field in ("watchdog_s", "bad_steps"):
        del saved[field]
    del saved["data"]["workers"]
    (tmp_path / "config.json").write_text(json.dumps(saved))
    workdir.check(tmp_path, config)
    completed = workdir.read_config(tmp_path, common.get_config())
    assert workdir.resolved(completed) == workdir.resolved(config)
    checks.check(completed)


@pytest.mark.parametrize("changes", [{"scan_layers": False}, {"remat": "full"}])
def test_layers_may_run_in_another_way(tmp_path, changes):
    config = common.get_config()
    assert config.model.hidden_dropout_prob > 0  # dropout masks do not depend on it
    workdir.claim(tmp_path, config)
    config.model.update(changes)
    workdir.check(tmp_path, config)


def test_a_config_that_lost_its_model_is_a_difference(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"model: None, \{"):
        workdir.check(tmp_path, common.get_config())


def test_the_end_may_not_move_under_a_schedule_that_depends_on_it(tmp_path):
    config = common.get_config()
    config.optim.schedule = "cosine"
    workdir.claim(tmp_path, config)
    config.total_steps += 1
    with pytest.raises(CheckpointError, match="total_steps: 200000, 200001"):
        workdir.check(tmp_path, config)


def test_two_runs_in_one_directory_are_refused(tmp_path):
    with (
        workdir.locked(tmp_path / "run"),
        pytest.raises(CheckpointError, match="another process is training"),
        workdir.locked(tmp_path / "run"),
    ):
        pass
    with workdir.locked(tmp_path / "run"):
        pass  # free again


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        workdir.read(tmp_path)


def test_evaluation_requires_the_model_that_was_trained(tmp_path):
    workdir.claim(tmp_path, common.get_config())
    config = common.get_config()
    config.decode.num_beams = 1  # the model's use may differ
    config.data.test = "elsewhere.jsonl"
    workdir.check_model(tmp_path, config)
    config.model.size = "large"
    with pytest.raises(CheckpointError, match=r"model\.size: 'base', 'large'"):
        workdir.check_model(tmp_path, config)
