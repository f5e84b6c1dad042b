"""A run writes its files, and a stopped and resumed run writes the same ones."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from bertgen_jax import stacked_layers, trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    TrainingError,
)
from bertgen_jax.evaluation import evaluator
from bertgen_jax.generation.pipeline import pipeline
from bertgen_jax.training import memory, metrics_log, trainer
from bertgen_jax.training.step_watch import StepWatch
from configs import common

WORDS = [
    "ash",
    "birch",
    "cedar",
    "elm",
    "fir",
    "hazel",
    "larch",
    "maple",
    "oak",
    "pine",
    "rowan",
    "willow",
]


def write_examples(path, count, seed):
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        for i in range(count):
            words = rng.choice(WORDS, rng.integers(3, 9)).tolist()
            row = {"id": f"{path.stem}-{i}", "text": " ".join(words), "short": words[0]}
            file.write(json.dumps(row) + "\n")


def small_config(data):
    """One layer, eight steps; logs, evaluations and saves fall on different steps."""
    config = common.get_config()
    config.total_steps, config.batch_size = 8, 16
    config.ema_decay = 0.9
    config.model.size = "micro"
    config.tokenizer.vocab_size = 60
    config.data.train = str(data / "train.jsonl")
    config.data.validation = str(data / "held_out.jsonl")
    config.data.columns.update(source="text", target="short", id="id")
    config.data.max_source_tokens, config.data.max_target_tokens = 32, 8
    config.data.num_buckets = 1
    config.optim.schedule, config.optim.learning_rate = "constant", 1e-2
    config.optim.warmup_steps = 2
    config.eval.every_steps, config.eval.batch_size, config.eval.num_examples = 4, 8, 6
    config.decode.max_new_tokens, config.decode.num_beams = 4, 2
    config.checkpoint.every_steps = 3
    config.log.every_steps, config.log.tensorboard = 5, False
    return config


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """Later runs of the module find the programs of earlier ones compiled."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, compiled_once):
    folder = tmp_path_factory.mktemp("data")
    write_examples(folder / "train.jsonl", 40, seed=0)
    write_examples(folder / "held_out.jsonl", 10, seed=1)
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run without interruptions: (workdir, outcome)."""
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    outcome = trainer.train(small_config(data), workdir)
    return workdir, outcome


def metrics(workdir):
    """Returns everything that is logged but the timings."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k not in metrics_log.TIMINGS}
        for line in lines
    ]


def saved_state(workdir, step):
    """Returns every array of a checkpoint as bytes, and the extra fields."""
    store = CheckpointStore(workdir / "checkpoints", best_metric=None, best_mode="max")
    arrays = {}
    for part in ("params", "opt_state", "ema_params", "totals"):
        _, tree, extra = store.restore_params(step, part)
        for i, leaf in enumerate(jax.tree.leaves(tree)):
            arrays[part, i] = np.asarray(leaf).tobytes()
    store.close()
    del extra["elapsed_s"]
    return arrays, extra


def saved_subtree(workdir, name):
    """Returns a part of the newest checkpoint."""
    store = CheckpointStore(workdir / "checkpoints", best_metric=None, best_mode="max")
    _, tree, _ = store.restore_params(None, name)
    store.close()
    return tree


def interrupt(monkeypatch, step, action):
    """Calls `action` in the middle of a run, right after step `step` was dispatched."""
    add = StepWatch.add

    def add_and_act(self, number, *rest):
        add(self, number, *rest)
        if number == step:
            action()

    monkeypatch.setattr(StepWatch, "add", add_and_act)


class Killed(Exception):
    """Stands for the end of a process, because the loop does not handle it."""


def kill():
    raise Killed


def test_a_run_writes_every_promised_file(finished):
    workdir, outcome = finished
    assert outcome.step == 8
    assert not outcome.interrupted
    assert json.loads((workdir / "config.json").read_text())["total_steps"] == 8
    steps = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
    assert {8, outcome.best_step} <= steps
    assert (workdir / "checkpoints" / "8" / "digests.json").exists()
    splits = [(line["step"], line["split"]) for line in metrics(workdir)]
    assert splits == [(4, "validation"), (5, "train"), (8, "train"), (8, "validation")]
    predictions = (workdir / "predictions" / "validation-8.jsonl").read_text()
    assert len(predictions.splitlines()) == 6
    results = json.loads((workdir / "results" / "validation-8.json").read_text())
    assert results["scores"]["rougeL"]["signature"].startswith("rouge-score")
    assert "rougeL" in results["baseline"]


def test_the_model_is_the_best_checkpoints_average(finished):
    workdir, outcome = finished
    path = workdir / "predictions" / f"validation-{outcome.best_step}.jsonl"
    expected = [json.loads(line) for line in path.read_text().splitlines()]
    summarize = pipeline("summarization", model=workdir / "model")
    generated = summarize([line["source"] for line in expected], batch_size=8)
    assert [text["generated_text"] for text in generated] == [
        line["prediction"] for line in expected
    ]


def test_a_signal_after_the_last_step_is_not_forgotten(data, tmp_path, monkeypatch):
    config = small_config(data)
    config.total_steps = 2
    interrupt(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    outcome = trainer.train(config, tmp_path)
    assert (outcome.step, outcome.interrupted) == (2, "SIGTERM")
    assert (tmp_path / "model").is_dir()


def test_a_run_that_is_killed_and_stopped_ends_bit_for_bit_the_same(
    finished, data, tmp_path, monkeypatch
):
    undisturbed, outcome = finished
    config = small_config(data)
    with monkeypatch.context() as patch:
        interrupt(patch, 5, kill)  # two steps after a save, within a log interval
        with pytest.raises(Killed):
            trainer.train(config, tmp_path)
    with monkeypatch.context() as patch:
        interrupt(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        stopped = trainer.train(config, tmp_path)
        assert (stopped.step, stopped.interrupted) == (7, "SIGTERM")
    assert trainer.train(config, tmp_path) == outcome

    assert saved_state(tmp_path, 8) == saved_state(undisturbed, 8)
    assert metrics(tmp_path) == metrics(undisturbed)
    for folder in ("predictions", "results"):
        for path in (undisturbed / folder).iterdir():
            assert (tmp_path / folder / path.name).read_bytes() == path.read_bytes()
    weights = "model/model.safetensors"
    assert (tmp_path / weights).read_bytes() == (undisturbed / weights).read_bytes()


def test_a_later_evaluation_gives_the_results_of_training(finished, data, tmp_path):
    workdir, outcome = finished
    copy = shutil.copytree(workdir, tmp_path / "copy")
    config = small_config(data)
    config.eval.num_examples = 0
    evaluation = evaluator.evaluate_run(config, copy, "validation", "8")
    assert len(evaluation.predictions) == 10  # all of the split, unlike in training
    text = (workdir / "predictions" / "validation-8.jsonl").read_text()
    for line, again in zip(text.splitlines(), evaluation.predictions, strict=False):
        assert json.loads(line)["id"] == again.id
        assert json.loads(line)["prediction"] == again.prediction
    logged = [line for line in metrics(workdir) if line["split"] == "validation"]
    assert evaluation.metrics["loss"] == pytest.approx(logged[-1]["loss"], rel=1e-5)
    assert (copy / "results" / "validation-8.json").exists()

    best = evaluator.evaluate_run(config, copy, "validation", "best")
    assert best.results.step == outcome.best_step
    with pytest.raises(CheckpointError, match=r"step is '5'.*: .*8"):
        evaluator.evaluate_run(config, copy, "validation", "5")


def test_evaluation_needs_no_training_data(finished, data):
    workdir, outcome = finished
    config = small_config(data)
    config.data.train = str(data / "nowhere.jsonl")
    evaluation = evaluator.evaluate_run(config, workdir, "validation", "best")
    assert evaluation.results.step == outcome.best_step


def test_an_implicit_transfer_in_the_loop_is_an_error(data, tmp_path, monkeypatch):
    interrupt(monkeypatch, 2, lambda: jax.numpy.negative(np.ones(3)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device"):
        trainer.train(small_config(data), tmp_path)


def test_the_train_step_is_compiled_once_for_each_bucket(
    data, tmp_path, monkeypatch, caplog
):
    config = small_config(data)
    config.data.buckets = ((12, 8), (32, 8))
    config.eval.every_steps = config.checkpoint.every_steps = config.total_steps
    interrupt(monkeypatch, 6, kill)  # after three epochs; before it evaluates or saves
    caplog.set_level("INFO")
    with pytest.raises(Killed):
        trainer.train(config, tmp_path)
    lines = [line for line in caplog.messages if line.startswith("compiled a step")]
    assert sorted(line.split()[4] for line in lines) == ["12", "32"]
    assert all("model.remat=none" in line for line in lines)


def test_a_run_that_does_not_fit_fails_before_it_starts(data, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000)
    with pytest.raises(ConfigError, match=r"(?s)needs \d+ MB.*micro_batches=\d"):
        trainer.train(small_config(data), tmp_path)
    assert not (tmp_path / "checkpoints").exists() or not list(
        (tmp_path / "checkpoints").glob("[0-9]*")
    )


def test_a_finished_run_does_not_change(finished, data, tmp_path):
    workdir, outcome = finished
    copy = shutil.copytree(workdir, tmp_path / "copy")
    assert trainer.train(small_config(data), copy) == outcome
    assert metrics(copy) == metrics(workdir)


def test_a_run_resumes_on_another_mesh_and_says_so(finished, data, tmp_path, caplog):
    undisturbed, _ = finished
    config = small_config(data)
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    for step in ("8", "4"):
        shutil.rmtree(copy / "checkpoints" / step, ignore_errors=True)
    config.mesh.fsdp = 4
    trainer.train(config, copy)
    said = [line for line in caplog.messages if "saved elsewhere" in line]
    assert ["mesh.data: 8, 2; mesh.fsdp: 1, 4" in line for line in said] == [True]
    actual, expected = metrics(copy)[-1], metrics(undisturbed)[-1]
    assert actual["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_a_run_resumes_with_unstacked_layers_and_says_so(
    finished, data, tmp_path, caplog
):
    undisturbed, _ = finished
    config = small_config(data)
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    for step in ("8", "4"):
        shutil.rmtree(copy / "checkpoints" / step, ignore_errors=True)
    paths = trees.named(saved_subtree(copy, "params"))
    assert any("/layer_0/" in path for path in paths)
    assert not any(map(stacked_layers.is_stacked, paths))
    config.model.scan_layers = False
    trainer.train(config, copy)
    said = [line for line in caplog.messages if "saved elsewhere" in line]
    assert ["scan_layers: True, False" in line for line in said] == [True]
    actual, expected = metrics(copy)[-1], metrics(undisturbed)[-1]
    assert actual["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert trees.named(saved_subtree(copy, "params")).keys() == paths.keys()


def test_settings_for_some_layers_train_unstacked_ones(data, tmp_path):
    config = small_config(data)
    config.model.size = "tiny"  # two layers
    config.optim.freeze = ("layer_1/",)
    config.total_steps = config.checkpoint.every_steps = 2
    trainer.train(config, tmp_path)
    moments = saved_subtree(tmp_path, "opt_state")
    paths = [path for path in trees.named(moments) if "/mu/" in path]
    assert any("/layer_0/" in path for path in paths)
    assert not any("/layer_1/" in path for path in paths)


def test_a_checkpoint_of_an_earlier_version_loads(finished, data, tmp_path, caplog):
    workdir, outcome = finished
    copy = shutil.copytree(workdir, tmp_path / "copy")
    step = copy / "checkpoints" / "8"
    fields = json.loads((step / "extra.json").read_text())
    names = ("data", "elapsed_s", "best", "best_step", "stale_evaluations")
    (step / "extra.json").write_text(json.dumps({name: fields[name] for name in names}))
    (step / "digests.json").unlink()
    assert trainer.train(small_config(data), copy) == outcome
    assert "goes on with other masks" in caplog.text


def test_a_damaged_newest_checkpoint_costs_steps_not_the_run(
    finished, data, tmp_path, caplog
):
    undisturbed, _ = finished
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    file = max((copy / "checkpoints" / "8" / "state").rglob("*"), key=size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with caplog.at_level("WARNING", logger="bertgen_jax"):
        trainer.train(small_config(data), copy)
    assert file.name in caplog.text
    assert saved_state(copy, 8) == saved_state(undisturbed, 8)


def size(path):
    return path.stat().st_size if path.is_file() else 0


def test_a_long_window_of_losses_is_whole_on_every_device(data, tmp_path, monkeypatch):
    """Arrays of its size are split over `mesh.fsdp`, if they are parameters."""
    config = small_config(data)
    config.mesh.fsdp = 4
    config.bad_steps.update(action="skip", spike_factor=5.0, window=2048)
    config.total_steps, config.checkpoint.every_steps = 4, 2
    with monkeypatch.context() as patch:
        interrupt(patch, 3, kill)
        with pytest.raises(Killed):
            trainer.train(config, tmp_path)
    assert trainer.train(config, tmp_path).step == 4
    _, extra = saved_state(tmp_path, 4)
    assert np.shape(extra["recent"]) == (2, 4)


def test_a_wrong_schedule_fails_before_tokenizing(data, tmp_path, monkeypatch):
    config = small_config(data)
    config.optim.schedule, config.optim.warmup_steps = "cosine", config.total_steps
    monkeypatch.setattr(trainer.Run, "split", lambda *_: pytest.fail("tokenizes"))
    with pytest.raises(ConfigError, match=r"optim\.warmup_steps"):
        trainer.train(config, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(data, tmp_path):
    config = small_config(data)
    config.optim.learning_rate = 1e30
    config.checkpoint.every_steps = 1
    with pytest.raises(TrainingError, match=r"step \d: .* not finite .*train-\d+"):
        trainer.train(config, tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        for part, content in saved_state(tmp_path, int(path.name))[0].items():
            if part[0] == "params":
                assert np.isfinite(np.frombuffer(content, np.float32)).all()


def test_patience_ends_a_run_that_no_longer_improves(data, tmp_path):
    config = small_config(data)
    config.optim.learning_rate = 0.0
    config.optim.freeze = ()
    config.total_steps = 100
    config.eval.every_steps, config.eval.patience = 1, 2
    assert trainer.train(config, tmp_path).step == 3


def test_another_configuration_is_refused_and_nothing_is_lost(finished, data):
    workdir, _ = finished
    before = sorted(path for path in workdir.rglob("*"))
    config = small_config(data)
    config.optim.b2 = 0.98
    with pytest.raises(CheckpointError, match=r"optim\.b2: 0\.999, 0\.98"):
        trainer.train(config, workdir)
    assert sorted(path for path in workdir.rglob("*")) == before


def test_changed_data_is_refused(finished, data, tmp_path):
    workdir, _ = finished
    copy = shutil.copytree(workdir, tmp_path / "copy")
    original = (data / "train.jsonl").read_text()
    try:
        write_examples(data / "train.jsonl", 40, seed=5)
        with pytest.raises(CheckpointError, match="data, its tokenizer or its batches"):
            trainer.train(small_config(data), copy)
    finally:
        (data / "train.jsonl").write_text(original)


def test_missing_data_stops_the_run_at_once(tmp_path):
    with pytest.raises(DataError, match=r"(?s)train\.jsonl.*:demo"):
        trainer.train(small_config(tmp_path / "nowhere"), tmp_path / "run")
