"""Directories of Hugging Face are read; other models are refused."""

import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax.errors import CheckpointError
from tests.fixtures import checkpoints, opening

zeros = np.zeros(8, np.float32)


def test_safetensors_is_read_unless_another_file_is_named(tmp_path):
    checkpoints.write("bert", tmp_path / "it", seed=1)
    checkpoints.write("bert, pickled", tmp_path / "it", seed=2)
    assert opening.load(tmp_path / "it").file.name == "model.safetensors"
    assert (
        opening.load(tmp_path / "it" / "config.json").file.name == "model.safetensors"
    )
    loaded = opening.load(tmp_path / "it" / "pytorch_model.bin")
    np.testing.assert_array_equal(
        loaded.arrays["embeddings/LayerNorm/bias"].values,
        checkpoints.bert(2)["bert.embeddings.LayerNorm.bias"],
    )


def test_stacks_that_should_be_shared_must_be_equal(tmp_path):
    directory, _ = checkpoints.write("pair", tmp_path / "it", tie_encoder_decoder=True)
    with pytest.raises(CheckpointError, match="tensors are shared, tied or ab"):
        opening.load(directory)


def test_the_tensors_of_another_library_are_refused(tmp_path):
    checkpoints.write_config(tmp_path, checkpoints.BERT)
    safetensors.numpy.save_file(
        {"0.auto_model.x": zeros}, tmp_path / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors .*0\.auto_model"):
        opening.load(tmp_path)
