"""A file is written whole or not at all."""

import pytest

from bertgen_jax.files import atomic
from bertgen_jax.errors import DataError


def test_what_fails_half_way_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    atomic.write(path, ["ä", "b\n"])
    assert path.read_bytes() == "äb\n".encode()

    def failing():
        yield "c"
        raise KeyError

    with pytest.raises(KeyError):
        atomic.write(path, failing())
    assert path.read_bytes() == "äb\n".encode()


def test_what_can_be_written_is_left_as_it_is(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic.check(path)
    assert list((tmp_path / "new").iterdir()) == []


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "x"):
        with pytest.raises(DataError, match="cannot be written"):
            atomic.check(path)
