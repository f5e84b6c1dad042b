"""Keeps compiled programs on disk, so that the next process need not compile them.

JAX stores and loads the programs. This module chooses a private folder, bounds its
size, and lets no damaged entry through: programs are machine code that JAX runs without
a check.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import jax
from jax._src import compilation_cache, lru_cache  # JAX offers no hook for a digest

from bertgen_jax.files import paths

MAX_BYTES = 4_000_000_000
# Programs that compile faster are not stored: each one that is costs a look at all.
_LEAST_COMPILE_S = 0.05
_DIGEST_BYTES = 32  # SHA-256

_log = logging.getLogger(__name__)


def enable() -> None:
    """Stores compiled programs in `compiled`, a folder of `paths.cache_dir()`.

    Does nothing where the user has chosen a folder (`JAX_COMPILATION_CACHE_DIR`) or
    wants none (`JAX_ENABLE_COMPILATION_CACHE=false`). JAX's other options apply as
    well; `JAX_COMPILATION_CACHE_MAX_SIZE` is `MAX_BYTES` by default. A folder that
    cannot be used, or that others can write to, is reported and left alone.
    """
    config: Any = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    folder = paths.cache_dir() / "compiled"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = _problem(folder)
    except OSError as error:
        problem = f"it cannot be used ({error.strerror})"
    if problem:
        _log.warning(
            "compiled programs are not stored in %s, because %s. BERTGEN_CACHE_DIR "
            "names another folder; JAX_ENABLE_COMPILATION_CACHE=false stores none",
            folder,
            problem,
        )
        return
    compilation_cache.get_file_cache = _open
    config.update("jax_compilation_cache_dir", str(folder))
    if config.jax_compilation_cache_max_size == -1:
        config.update("jax_compilation_cache_max_size", MAX_BYTES)
    config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_COMPILE_S)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # of any size


def _problem(folder: pathlib.Path) -> str:
    """Returns why programs in a folder cannot be trusted; "" if they can."""
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return "it belongs to another user, who could replace the programs"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"other users can write to it (mode {stat.S_IMODE(status.st_mode):o}) and "
            "could replace the programs: delete it, and it is made again with mode 700"
        )
    return ""


class CheckedCache(lru_cache.LRUCache):
    """JAX's cache on disk, with a digest before each entry.

    Neither a damaged entry nor a full disk or a lock that is held for long stops a run:
    each is a log line, and the program is compiled.
    """

    def __init__(self, path: str, *, max_size: int):
        super().__init__(path, max_size=max_size)
        with self._reported("looked through"):
            self._drop_unfinished()

    def get(self, key: str) -> bytes | None:
        """Returns an entry; None if there is none. A damaged one is removed."""
        with self._reported("read"):
            entry = super().get(key)
            if entry is None:
                return None
            digest, value = entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES:]
            if hashlib.sha256(value).digest() == digest:
                return value
            _log.warning("the stored program %s is damaged; compiling it again", key)
            self._remove(key)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Stores an entry, unless there is one."""
        try:
            super().put(key, hashlib.sha256(value).digest() + value)
        except Exception as error:
            _report("stored", self.path, error)
            with contextlib.suppress(OSError):
                self._remove(key)  # half an entry

    def _drop_unfinished(self) -> None:
        """Removes what a killed process left, over which JAX would stumble."""
        if not self.eviction_enabled:
            return
        with self.lock.acquire(timeout=self.lock_timeout_secs):
            folder = pathlib.Path(self.path)
            for entry in folder.glob(f"*{lru_cache._CACHE_SUFFIX}"):
                key = entry.name.removesuffix(lru_cache._CACHE_SUFFIX)
                if not (folder / f"{key}{lru_cache._ATIME_SUFFIX}").is_file():
                    self._remove(key)

    def _remove(self, key: str) -> None:
        for suffix in (lru_cache._CACHE_SUFFIX, lru_cache._ATIME_SUFFIX):
            (pathlib.Path(self.path) / f"{key}{suffix}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reported(self, verb: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            _report(verb, self.path, error)


def _report(verb: str, folder: object, error: Exception) -> None:
    _log.warning(
        "compiled programs in %s cannot be %s: %s. Programs are compiled instead",
        folder,
        verb,
        str(error) or type(error).__name__,
    )


def _open(path: str) -> tuple[CheckedCache, str]:
    """Opens the cache; takes the place of `compilation_cache.get_file_cache`."""
    size = jax.config.jax_compilation_cache_max_size  # type: ignore[attr-defined]
    return CheckedCache(path, max_size=size), path
