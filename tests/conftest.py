"""Settings of the whole test session: several CPU devices and no cache of the user's."""

import os
import pathlib

import jax
import pytest

# Eight devices in one process, so that sharded code runs sharded wherever tests run.
jax.config.update("jax_num_cpu_devices", 8)
# Rank promotion hides shape mistakes: adding [B] to [T, B] should be spelled out.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    """Derived files go to the test session's own folder."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(cache))


@pytest.fixture
def data_dir() -> pathlib.Path:
    """The shared real data; tests that need it skip where it is not at hand."""
    value = os.environ.get("BERTGEN_DATA_DIR")
    if not value:
        pytest.skip("BERTGEN_DATA_DIR is not set; it names the folder of real data")
    return pathlib.Path(value)
