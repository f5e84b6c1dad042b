"""Files are mapped into memory, and anything but a file of weights is an error."""

import os

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.files.memory_maps import mapped


def test_the_bytes_outlive_the_file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abcd")
    content = mapped(path)
    path.unlink()
    assert content[:] == b"abcd"
    view = np.ndarray((2,), np.uint16, content)
    assert not view.flags.writeable


def test_anything_but_a_file_with_content_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "pointer").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 12\n"
    )
    messages = {
        "missing": "No such file",
        "missing/file": "No such file",
        "empty/file": "Not a directory",
        ".": "not a file",
        "pipe": "not a file",  # without waiting for a writer
        "empty": "empty",
        "pointer": "git lfs pull",
    }
    for name, message in messages.items():
        path = tmp_path / name
        with pytest.raises(CheckpointError, match=message) as caught:
            mapped(path)
        assert str(caught.value).startswith(f"{path}: ")
