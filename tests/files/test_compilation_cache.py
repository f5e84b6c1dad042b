"""Compiled programs are kept in a private folder, and damage there changes no run."""

import logging
import pathlib

import jax
import numpy as np
import pytest
from jax._src import compilation_cache as jax_cache

from bertgen_jax.files import compilation_cache, paths

_OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Returns the folder of the programs; JAX's settings are restored afterwards."""
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compilation_cache, "_LEAST_COMPILE_S", 0.0)
    monkeypatch.setattr(jax_cache, "get_file_cache", jax_cache.get_file_cache)
    before = {name: getattr(jax.config, name) for name in _OPTIONS}
    jax_cache.reset_cache()
    yield tmp_path / "compiled"
    for name, value in before.items():
        jax.config.update(name, value)
    jax_cache.reset_cache()


def computed():
    """Compiles a program, or loads it, and returns what it computes."""
    jax.clear_caches()

    def addition(x):
        return x + 2.0

    return np.asarray(jax.jit(addition)(np.arange(3, dtype=np.float32))).tolist()


def entries(folder):
    return sorted(folder.glob("jit_addition-*-cache"))


def test_a_program_is_stored_where_only_its_owner_can_write(cache):
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    assert computed() == [2.0, 3.0, 4.0]
    (entry,) = entries(cache)
    written = entry.stat().st_mtime_ns
    assert computed() == [2.0, 3.0, 4.0]
    assert entry.stat().st_mtime_ns == written
    assert jax.config.jax_compilation_cache_max_size == compilation_cache.MAX_BYTES


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to_is_not_used(cache, caplog, mode):
    cache.mkdir()
    cache.chmod(mode)
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir is None
    assert "other users can write to it" in caplog.text
    assert f"mode {mode:o}" in caplog.text
    assert computed() == [2.0, 3.0, 4.0]
    assert not entries(cache)


def test_a_folder_of_another_user_is_not_used(cache, caplog, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: cache.parent.stat().st_uid + 1)
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir is None
    assert "belongs to another user" in caplog.text


def test_a_folder_that_cannot_be_made_is_reported(cache, caplog):
    cache.write_text("a file")
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir is None
    assert f"{cache}, because it cannot be used (File exists)" in caplog.text


def test_the_users_folder_is_left_alone(cache, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert not cache.exists()


def test_a_setting_of_jax_turns_it_off(cache):
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.enable()
    assert computed() == [2.0, 3.0, 4.0]
    assert not cache.exists()


def test_the_users_size_is_kept():
    jax.config.update("jax_compilation_cache_max_size", 1_000_000)
    compilation_cache.enable()
    assert jax.config.jax_compilation_cache_max_size == 1_000_000


def changed(data):
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize(
    "damage",
    [changed, lambda data: data[:50], lambda data: b"", lambda data: data[32:]],
)
def test_a_damaged_program_is_compiled_again(cache, caplog, damage):
    compilation_cache.enable()
    computed()
    (entry,) = entries(cache)
    intact = entry.read_bytes()
    entry.write_bytes(damage(intact))
    with caplog.at_level(logging.WARNING):
        assert computed() == [2.0, 3.0, 4.0]
    assert "is damaged; compiling it again" in caplog.text
    caplog.clear()
    assert entries(cache) == [entry]
    assert computed() == [2.0, 3.0, 4.0]
    assert caplog.text == ""


def test_a_full_disk_is_reported_and_leaves_no_half_entry(cache, caplog, monkeypatch):
    compilation_cache.enable()
    written = pathlib.Path.write_bytes

    def full(path, data):
        if path.name.startswith("jit_addition"):
            written(path, data[:10])
            raise OSError(28, "No space left on device")
        return written(path, data)

    jax_path = type(compilation_cache.CheckedCache(str(cache), max_size=1).path)
    monkeypatch.setattr(jax_path, "write_bytes", full)
    assert computed() == [2.0, 3.0, 4.0]
    assert "cannot be stored" in caplog.text
    assert "No space left" in caplog.text
    assert not entries(cache)


def test_half_an_entry_of_a_killed_process_is_dropped(cache):
    compilation_cache.enable()
    computed()
    (entry,) = entries(cache)
    entry.with_name(entry.name.replace("-cache", "-atime")).unlink()
    jax_cache.reset_cache()
    other = cache / "other-cache"
    other.write_bytes(b"half")
    assert computed() == [2.0, 3.0, 4.0]
    assert not other.exists()
    assert len(entries(cache)) == 1


def test_the_size_is_bounded_by_dropping_what_was_not_used_for_long(cache):
    store = compilation_cache.CheckedCache(str(cache), max_size=250)
    for name in ("first", "second", "third"):
        store.put(name, name.encode() * 10)
    assert store.get("first") is None
    assert store.get("second") == b"second" * 10
    assert store.get("third") == b"third" * 10


def test_a_lock_that_is_held_does_not_stop_a_run(cache, caplog, monkeypatch):
    store = compilation_cache.CheckedCache(str(cache), max_size=1000)
    store.put("key", b"value")

    def acquire(timeout):
        raise TimeoutError("the lock is held")

    monkeypatch.setattr(store.lock, "acquire", acquire)
    assert store.get("key") is None
    store.put("other", b"value")
    assert caplog.text.count("the lock is held") == 2


def test_derived_files_are_next_to_it(cache):
    assert cache.parent == paths.cache_dir()
