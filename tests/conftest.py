"""Settings and fixtures of all tests: eight CPU devices, a cache of their own."""

import os
import pathlib

import jax
import jaxlib
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.pretrained import parameter_maps

# Eight devices in one process, so that sharded code runs sharded on every machine.
jax.config.update("jax_num_cpu_devices", 8)
# Rank promotion hides mistakes in shapes, such as adding [B] to [T, B].
jax.config.update("jax_numpy_rank_promotion", "raise")
# Compilation takes most of the time of the tests. XLA's older code generator takes two
# thirds as long. Only jaxlib 0.10 has this flag; an unknown flag ends the process.
jax.config.update("jax_disable_most_optimizations", True)
if jaxlib.__version__.startswith("0.10."):
    with pytest.MonkeyPatch.context() as environment:  # not for subprocesses
        flags = os.environ.get("XLA_FLAGS", "")
        environment.setenv("XLA_FLAGS", f"{flags} --xla_cpu_use_fusion_emitters=false")
        jax.devices()  # XLA reads the flags now


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory, monkeypatch):
    """Keeps derived files out of the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(cache))


@pytest.fixture(autouse=True, scope="module")
def _free_compiled_programs():
    """Frees the compiled programs of a test file at its end.

    Each program has memory mappings of its own, Linux limits their number to about
    65,000 per process, and the compiler aborts the process when it gets none.
    """
    yield
    jax.clear_caches()


@pytest.fixture
def data_dir() -> pathlib.Path:
    """Returns the folder of shared real data; skips the test if there is none."""
    value = os.environ.get("BERTGEN_DATA_DIR")
    if not value:
        pytest.skip("BERTGEN_DATA_DIR is not set; it names the folder of real data")
    return pathlib.Path(value)


@pytest.fixture(scope="session")
def draw_params():
    """Returns a function that draws large random weights for a config.

    Biases and LayerNorms are random too, because zeros and ones would hide mistakes.
    Unlike a model's `init`, it compiles nothing.
    """

    def draw(config, seed=0, stddev=0.3):
        rng, params = np.random.default_rng(seed), {}
        for weight in parameter_maps.weights_of(config):
            if weight.path:
                is_matrix = weight.path.endswith(("kernel", "embedding"))
                noise = rng.normal(0, stddev if is_matrix else 0.1, weight.shape)
                mean = 1 if weight.path.endswith("scale") else 0
                params[weight.path] = np.float32(mean + noise)
        return trees.nested(params)

    return draw
