"""train.py restarts itself once, with huge pages, where that helps."""

import os
import pathlib
import subprocess
import sys

import pytest

import train

ROOT = pathlib.Path(__file__).parents[1]
SETTING = "glibc.malloc.hugetlb=1"


@pytest.fixture
def restarts(tmp_path, monkeypatch):
    """Returns the commands that take the place of this process, with their setting."""
    commands = []

    def execv(program, arguments):
        assert program == sys.executable == arguments[0]
        commands.append((arguments[1:], os.environ["GLIBC_TUNABLES"]))

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(train, "PAGES", tmp_path / "enabled")
    train.PAGES.write_text("always [madvise] never\n")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py", "--config=a b"])
    monkeypatch.setattr(
        sys, "orig_argv", ["python", "-X", "utf8", "train.py", "--config=a b"]
    )
    monkeypatch.setattr(sys, "gettrace", lambda: None)  # of coverage
    return commands


def test_the_same_command_runs_again_with_the_setting(restarts):
    train.restart_with_huge_pages()
    assert restarts == [(["-X", "utf8", "train.py", "--config=a b"], SETTING)]


def test_other_settings_stay(restarts, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    train.restart_with_huge_pages()
    ((_, tunables),) = restarts
    assert tunables == f"glibc.malloc.arena_max=2:{SETTING}"


@pytest.mark.parametrize("value", ["0", "1"])
def test_a_setting_of_the_user_stays(restarts, monkeypatch, value):
    monkeypatch.setenv("GLIBC_TUNABLES", f"glibc.malloc.hugetlb={value}")
    train.restart_with_huge_pages()
    assert restarts == []


@pytest.mark.parametrize(
    "enabled", ["[always] madvise never", "always madvise [never]", None]
)
def test_nothing_restarts_where_it_does_not_help(restarts, enabled):
    train.PAGES.unlink() if enabled is None else train.PAGES.write_text(enabled)
    train.restart_with_huge_pages()
    assert restarts == []


def test_a_notebook_and_a_debugger_are_left_alone(restarts, monkeypatch):
    with monkeypatch.context() as notebook:
        kernel = ["python", "-m", "ipykernel_launcher", "-f", "kernel.json"]
        notebook.setattr(sys, "orig_argv", kernel)
        train.restart_with_huge_pages()
    with monkeypatch.context() as debugger:
        debugger.setattr(sys, "gettrace", lambda: print)
        train.restart_with_huge_pages()
    assert restarts == []


def test_the_script_starts_again_once(tmp_path):
    if not train.PAGES.exists() or "[madvise]" not in train.PAGES.read_text():
        pytest.skip("this system does not give huge pages on request")
    log = tmp_path / "log"
    (tmp_path / "jax.py").write_text("raise SystemExit('jax is imported')")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"open({str(log)!r}, 'a').write(os.environ.get('GLIBC_TUNABLES', '') + ' '\n"
        "    + ' '.join(sys.orig_argv[1:]) + '\\n')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    environment.pop("GLIBC_TUNABLES", None)
    process = subprocess.run(
        [sys.executable, "train.py", "--workdir=a b"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stderr == "train.py: loading JAX\njax is imported\n"
    command = "train.py --workdir=a b"
    assert log.read_text().splitlines() == [f" {command}", f"{SETTING} {command}"]
