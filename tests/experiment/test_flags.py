"""train.py and eval.py answer mistakes with a paragraph, in seconds, and status 2."""

import logging
import os
import pathlib
import subprocess
import sys
import time

import pytest
from absl import flags

from bertgen_jax.experiment import flags as flags_lib

ROOT = pathlib.Path(__file__).parents[2]


def run_script(script, *arguments):
    """Runs a script of the repository as a user does."""
    return subprocess.run(
        [sys.executable, ROOT / script, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "BERTGEN_DATA_DIR": ""},
        check=False,
    )


def refused_by(script, *arguments):
    """Returns the message of a script that refuses its arguments."""
    process = run_script(script, *arguments)
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    return process.stderr.strip()


@pytest.fixture
def refused(capsys, monkeypatch):
    """The same in this process: (*arguments) -> the message."""

    def call(*arguments):
        values = flags.FlagValues()
        arguments = ["train.py", *arguments]
        flags_lib.define_flags(values, arguments)
        monkeypatch.chdir(ROOT)
        # A handler would outlive the test and write into its closed stream.
        monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
        status = flags_lib.run(lambda config, workdir: 0, arguments, "", values=values)
        message = capsys.readouterr().err
        assert status == 2, message
        assert "Traceback" not in message
        return message

    return call


DEMO = "--config=configs/bbc_summarize.py:demo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([DEMO, "--config.optim.learning_rat=1"], "learning_rate"),
        ([DEMO, "--config.optim.learning_rate=fast"], "fast"),
        ([DEMO, "--config.learning_rate=1"], "Did you mean 'optim.learning_rate'?"),
        ([DEMO, "--config.learning_rate=1"], "config: learning_rate."),
        (
            [DEMO, "--config.batch_size=abc"],
            "batch_size is 'abc'; expected a whole number",
        ),
        ([DEMO, "--wrkdir=x"], "workdir"),
        ([DEMO, "surplus"], "'surplus' is not a flag"),
        (["--config=configs/bbc_summarise.py"], "configs/bbc_summarize.py"),
        (["--config=configs/bbc_summarize.py:dmeo"], "demo"),
        ([], "--config=configs/bbc_summarize.py:demo"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_on_the_command_line_is_explained(arguments, message, refused):
    assert message in refused(*arguments)


def test_a_full_config_without_its_data_says_how_to_get_some(tmp_path):
    start = time.monotonic()
    message = refused_by(
        "train.py",
        "--config=configs/bbc_summarize.py",
        f"--workdir={tmp_path / 'run'}",
    )
    print(f"refused after {time.monotonic() - start:.1f} s")
    assert "xsum/train" in message
    for way in ("BERTGEN_DATA_DIR", "hf:", ":demo"):
        assert way in message


def test_the_flags_that_a_missing_checkpoint_suggests_are_complete(tmp_path):
    config = "--config=configs/bbc_summarize.py"
    data = [
        f"--config.data.{split}=demo:news/{split}"
        for split in ("train", "validation", "test")
    ]
    message = refused_by(
        "train.py",
        config,
        *data,
        "--config.init.encoder=bert-base-uncased",
        f"--workdir={tmp_path / 'run'}",
    )
    assert (
        "--config.init.recipe=rnd2rnd --config.init.encoder= --config.tokenizer.path="
        in message
    )


def test_evaluating_an_empty_directory_is_refused(tmp_path):
    for arguments in ([DEMO], []):
        message = refused_by("eval.py", *arguments, f"--workdir={tmp_path}")
        assert str(tmp_path) in message


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_a_script_says_that_it_runs_before_it_imports_jax(script, tmp_path):
    (tmp_path / "jax.py").write_text("raise SystemExit('jax is imported')")
    process = subprocess.run(
        [sys.executable, ROOT / script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        check=False,
    )
    assert process.stderr == f"{script}: loading JAX\njax is imported\n"


def test_training_imports_nothing_that_takes_seconds_and_is_needed_later():
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from bertgen_jax.training import trainer; "
            "print(*{'torch', 'scipy', 'nltk', 'tensorboardX'} & set(sys.modules))",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert process.stdout.strip() == ""


def test_help_lists_the_flags():
    process = run_script("train.py", "--help")
    assert process.returncode == 0
    assert "--workdir" in process.stdout
    assert "configs/common.py" in process.stdout


def test_the_arguments_of_a_config_can_be_repeated():
    arguments = [
        "train.py",
        DEMO,
        "--workdir=x",
        "--config.seed",
        "3",
        "--config.batch_size=8",
    ]
    assert flags_lib.config_arguments(arguments) == [
        DEMO,
        "--config.seed",
        "3",
        "--config.batch_size=8",
    ]
