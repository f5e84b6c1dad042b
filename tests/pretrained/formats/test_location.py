"""The name of a checkpoint may be a directory, a file or a prefix."""

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from tests.fixtures import checkpoints, opening


def test_a_tensorflow_prefix_may_be_named(tmp_path):
    for prefix in ("model.ckpt-1", "model.ckpt-20"):
        seed = len(prefix)
        writer, values, made, _ = checkpoints.ALL["google"]
        writer(tmp_path, values, made(seed), prefix=prefix)
    for prefix in ("model.ckpt-1", "model.ckpt-20"):
        for end in ("", ".index", ".data-00000-of-00001"):
            loaded = opening.load(tmp_path / f"{prefix}{end}")
            assert loaded.file.name == f"{prefix}.index"
            np.testing.assert_array_equal(
                loaded.arrays["embeddings/word_embeddings/embedding"].values,
                made(len(prefix))["bert.embeddings.word_embeddings.weight"],
            )
    with pytest.raises(CheckpointError, match="holds 2 TensorFlow checkpoints"):
        opening.load(tmp_path)


def test_names_are_relative_to_the_data_or_the_working_directory(tmp_path, monkeypatch):
    checkpoints.write("bert", tmp_path / "data" / "one")
    checkpoints.write("google", tmp_path / "work" / "other")
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "work")
    assert opening.load("one").path == tmp_path / "data" / "one"
    assert opening.load("other/bert_model.ckpt").path == tmp_path / "work" / "other"


def test_a_directory_with_one_subdirectory_stands_for_it(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "outer" / "inner")
    (tmp_path / "outer" / ".DS_Store").touch()
    assert opening.load(tmp_path / "outer").path == directory


def test_a_missing_checkpoint_is_refused(tmp_path):
    for name in ("", str(tmp_path / "none"), "x" * 300, "/dev/null", "a\0b"):
        with pytest.raises(CheckpointError):
            opening.load(name)
