"""A run is assembled from its config, and opened again from its work directory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError, DataError
from bertgen_jax.experiment import run as run_lib
from bertgen_jax.experiment.run import Run
from bertgen_jax.tokenizers.pair import TokenizerPair
from tests.fixtures.models import pair_config


def test_the_model_runs_as_the_config_says(config):
    config.model.update(dtype="bfloat16", scan_layers=True, remat="dots")
    model = run_lib.create_model(config, pair_config())
    assert (model.dtype, model.scan_layers, model.remat) == (jnp.bfloat16, True, "dots")


def test_the_search_is_the_configs(config, tokenizer):
    config.decode.update(
        num_beams=3,
        length_penalty=0.9,
        length_penalty_form="power",
        early_stopping="True",
        max_new_tokens=7,
        min_new_tokens=2,
        no_repeat_ngram_size=3,
    )
    search = run_lib.generation_config(config, TokenizerPair.of(tokenizer))
    assert (search.num_beams, search.length_penalty) == (3, 0.9)
    assert (search.length_penalty_form, search.early_stopping) == ("power", True)
    assert (search.num_new_tokens, search.min_new_tokens) == (7, 2)
    assert search.no_repeat_ngram_size == 3
    assert search.eos_ids == (tokenizer.special_ids.eos,)


@pytest.mark.parametrize(("keep_latest", "kept"), [(1, [3]), (2, [2, 3])])
def test_checkpoints_are_kept_as_the_config_says(config, tmp_path, keep_latest, kept):
    config.checkpoint.keep_latest = keep_latest
    store = run_lib.open_store(config, tmp_path)
    for step in (1, 2, 3):
        store.save(step, {"params": jax.numpy.ones(3)}, {})
    store.close()
    assert store.steps() == kept


def test_the_best_checkpoint_is_by_the_configs_metric(config, tmp_path):
    config.eval.metric = "loss"
    config.checkpoint.keep_every_steps = 2
    store = run_lib.open_store(config, tmp_path)
    for step, loss in ((1, 0.5), (2, 0.9), (3, 0.7)):
        store.save(step, {"params": jax.numpy.ones(3)}, {}, {"loss": loss})
    store.close()
    assert store.best_step() == 1
    assert store.steps() == [1, 2, 3]


@pytest.fixture
def runnable(config_of_rows):
    """A config of a run whose splits are all the same few rows."""
    config = config_of_rows
    config.data.update(test="")
    path = config.data.train
    config.data.validation = path.replace("rows.jsonl", "*.jsonl")
    config.update(batch_size=8)
    config.eval.batch_size = 8
    config.model.size = "micro"
    config.tokenizer.vocab_size = 60
    return config


def test_a_new_run_keeps_what_it_needs_to_resume(runnable, tmp_path):
    workdir = tmp_path / "run"
    with Run.for_training(runnable, workdir) as new:
        assert new.is_new
        assert set(new.examples) == {"train", "validation"}
        assert len(new.split("train", num_examples=3).encoded) == 3
        new.write_config()
        new.store.save(1, {"params": new.first_params()}, {})
        new.store.wait()
    runnable.data.train = str(tmp_path / "nowhere.jsonl")
    with Run.for_evaluation(runnable, workdir, ["validation"]) as opened:
        assert not opened.is_new
        assert set(opened.examples) == {"validation"}
        assert opened.model == new.model
        assert opened.tokenizers.fingerprint == new.tokenizers.fingerprint
        assert opened.generation_config == new.generation_config
        assert opened.find_step("latest") == 1
        with pytest.raises(CheckpointError, match=r"step is '2'.*: 1\."):
            opened.find_step("2")
        expected = new.first_params()
        jax.tree.map(np.testing.assert_array_equal, opened.params(1), expected)


def test_a_missing_checkpoint_fails_before_anything_is_made(runnable, tmp_path):
    runnable.init.update(recipe="bertshare", encoder=str(tmp_path / "nowhere"))
    with (
        pytest.raises(CheckpointError, match="nowhere"),
        Run.for_training(runnable, tmp_path / "run"),
    ):
        pass
    assert not (tmp_path / "run" / "tokenizer").exists()


def test_a_missing_test_split_fails_before_anything_is_made(runnable, tmp_path):
    runnable.data.test = str(tmp_path / "nowhere.jsonl")
    with (
        pytest.raises(DataError, match="nowhere"),
        Run.for_training(runnable, tmp_path / "run"),
    ):
        pass
    assert not (tmp_path / "run" / "tokenizer").exists()
