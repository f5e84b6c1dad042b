"""GELU has two forms, and a config means one of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models.activations import ACTIVATIONS


@pytest.mark.parametrize(
    ("name", "at_one"),
    [("gelu", 0.8413447), ("gelu_new", 0.8411920), ("gelu_pytorch_tanh", 0.8411920)],
)
def test_gelu_is_exact_and_gelu_new_the_tanh_form(name, at_one):
    np.testing.assert_allclose(ACTIVATIONS[name](jnp.float32(1.0)), at_one, rtol=1e-6)
