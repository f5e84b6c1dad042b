"""Loading refuses values that are not finite, and accounts for unused tensors."""

import ml_dtypes
import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.formats import detection
from tests.fixtures import checkpoints, opening

BIAS = "bert.encoder.layer.1.output.dense.bias"


def with_(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize("kind", checkpoints.ALL)
def test_every_tensor_is_used_or_listed_as_unused(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    opened = detection.open_checkpoint(directory)
    loaded = checkpoint.load(opened)
    taken = {t for array in loaded.arrays.values() for t in array.tensors}
    left = [unused.tensor for unused in loaded.unused if not unused.rows]
    assert sorted([*taken, *left]) == sorted(opened.tensors.tensors)
    assert {unused.tensor for unused in loaded.unused if unused.rows} <= taken
    for unused in loaded.unused:
        assert unused.shape == opened.tensors.tensors[unused.tensor].shape
        assert unused.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64]
)
def test_values_that_are_not_finite_are_refused(value, dtype, tmp_path):
    def spoil(tensors):
        tensors[BIAS] = np.array([0, 1, 2, 3, 4, 5, 6, value], dtype)

    directory, _ = checkpoints.write("bert", tmp_path / "it", change=spoil)
    with pytest.raises(CheckpointError, match=rf"safetensors: {BIAS} holds NaN or inf"):
        opening.load(directory)


def test_values_too_large_for_f32_are_refused(tmp_path):
    directory, _ = checkpoints.write(
        "bert", tmp_path / "it", change=with_(BIAS, np.full(8, 1e300))
    )
    with pytest.raises(CheckpointError, match=f"{BIAS} holds NaN or infinity"):
        opening.load(directory)


def test_unused_tensors_may_have_any_values(tmp_path):
    odd = np.full((3, 1), np.nan)
    directory, _ = checkpoints.write(
        "bert", tmp_path / "it", change=with_("classifier.weight", odd)
    )
    reasons = {
        unused.tensor: unused.reason for unused in opening.load(directory).unused
    }
    assert reasons["classifier.weight"] == "head of another task"
