"""Folders come from the environment, and files are looked up in them."""

import pathlib

import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.files import paths


def test_folders_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BERTGEN_CACHE_DIR", "~/derived")
    assert paths.data_dir() == tmp_path
    assert paths.cache_dir() == pathlib.Path.home() / "derived"


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_environment(monkeypatch, value):
    for name in ("BERTGEN_DATA_DIR", "BERTGEN_CACHE_DIR"):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert paths.data_dir() is None
    assert paths.cache_dir() == pathlib.Path.home() / ".cache" / "bertgen_jax"


def test_the_data_folder_comes_before_the_working_directory(monkeypatch, tmp_path):
    data, work = tmp_path / "data", tmp_path / "work"
    for folder in (data, work):
        folder.mkdir()
        (folder / "both.txt").write_text("")
    (work / "one.txt").write_text("")
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(data))
    monkeypatch.chdir(work)
    assert paths.find("both.txt", "f") == data / "both.txt"
    assert paths.find("one.txt", "f") == work / "one.txt"
    assert paths.find(str(work / "both.txt"), "f") == work / "both.txt"
    with pytest.raises(ConfigError) as error:
        paths.find("none.txt", "tokenizer.path")
    for part in ("tokenizer.path is 'none.txt'", str(data), str(work)):
        assert part in str(error.value)
