"""Files are read at any position, and no more of them stay open than allowed."""

import os

import pytest

from bertgen_jax import errors
from bertgen_jax.data.formats import byte_file


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(
        errors.DataError, match=r"^x cannot be read: No such file or dir"
    ):
        byte_file.ByteFile(tmp_path / "x", "x")


@pytest.mark.skipif(
    not os.path.exists("/proc/self/fd"), reason="/proc lists the open files on Linux"
)
def test_files_stay_within_the_limit_of_open_ones(tmp_path, monkeypatch):
    files = []
    for number in range(byte_file._OPEN_FILES + 20):
        path = tmp_path / str(number)
        path.write_text(f"{number:04}")
        files.append(byte_file.ByteFile(path, path.name))
    before = len(os.listdir("/proc/self/fd"))
    for number, file in enumerate(files):
        assert file.read(0, 4) == b"%04d" % number
    assert len(os.listdir("/proc/self/fd")) <= before + byte_file._OPEN_FILES
    assert files[0].read(2, 4) == b"00"
