"""Files and directories are written completely or not at all."""

import pytest

from bertgen_jax.errors import DataError
from bertgen_jax.files import atomic


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    atomic.write_text(path, ["ä", "b\n"])
    assert path.read_bytes() == "äb\n".encode()

    def failing():
        yield "c"
        raise KeyError

    with pytest.raises(KeyError):
        atomic.write_text(path, failing())
    assert path.read_bytes() == "äb\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic.new_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_directory_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "a" / "b"
    with atomic.new_directory(path) as building:
        (building / "file").write_text("x")
        assert building.name == path.name
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["file"]
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_directory_leaves_nothing_behind(tmp_path):
    def fill():
        with atomic.new_directory(tmp_path / "a" / "b") as building:
            (building / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_contents_is_not_replaced(tmp_path):
    path = tmp_path / "full"
    path.mkdir()
    (path / "file").write_text("mine")
    with pytest.raises(OSError, match="not empty"), atomic.new_directory(path):
        pass
    assert (path / "file").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_checking_leaves_no_trace(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic.check_writable(path)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "x"):
        with pytest.raises(DataError, match="cannot be written"):
            atomic.check_writable(path)
