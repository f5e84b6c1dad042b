"""JSON objects are read strictly, and every error names the file."""

import pytest

from bertgen_jax.errors import CheckpointError, TokenizerError
from bertgen_jax.files import json_files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "found a JSON list, expected a JSON object"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice in one object"),
    ],
)
def test_anything_but_one_object_is_an_error(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        json_files.read_object(path)


def test_the_caller_chooses_class_and_wording(tmp_path):
    with pytest.raises(TokenizerError, match=r"No such file.*Expected a vocabulary\."):
        json_files.read_object(
            tmp_path / "vocab.json", error=TokenizerError, expected="a vocabulary"
        )


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b" " * 11)
    with pytest.raises(CheckpointError, match=r"11 bytes; .* at most 10 bytes"):
        json_files.read_object(path, max_bytes=10)


def test_a_written_object_is_read_back(tmp_path):
    path = tmp_path / "folder" / "file.json"
    json_files.write_object(path, {"a": [1, "ä"]})
    assert json_files.read_object(path) == {"a": [1, "ä"]}
    assert path.read_text().endswith("}\n")
