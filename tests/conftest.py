"""Settings of the test session: several CPU devices, and no cache of the user's."""

import os
import pathlib

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.pretrained import name_maps

# Eight devices in one process, so that sharded code runs sharded wherever tests run.
jax.config.update("jax_num_cpu_devices", 8)
# Rank promotion hides shape mistakes: adding [B] to [T, B] should be spelled out.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile much and run little.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    """Derived files go to the test session's own folder."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(cache))


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Compiled programs of one file of tests are gone with it.

    Each has pages of its own, and Linux lets a process have no more than some ten
    thousand mappings: a compiler that gets none ends the process.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def data_dir() -> pathlib.Path:
    """The shared real data; tests that need it skip where it is not at hand."""
    value = os.environ.get("BERTGEN_DATA_DIR")
    if not value:
        pytest.skip("BERTGEN_DATA_DIR is not set; it names the folder of real data")
    return pathlib.Path(value)


@pytest.fixture(scope="session")
def draw_params():
    """Large random weights: (config, seed, stddev) -> params.

    Biases and LayerNorms are random too, a little: zeros and ones would hide mistakes.
    Nothing is compiled for it, as `init` would have to be.
    """

    def draw(config, seed=0, stddev=0.3):
        rng, params = np.random.default_rng(seed), {}
        for weight in name_maps.weights_of(config):
            if weight.path:
                is_matrix = weight.path.endswith(("kernel", "embedding"))
                noise = rng.normal(0, stddev if is_matrix else 0.1, weight.shape)
                centre = 1 if weight.path.endswith("scale") else 0
                params[weight.path] = np.float32(centre + noise)
        return trees.nested(params)

    return draw
