"""Results are written as lines, and a file that was cut off is continued."""

import io
import json
import os

import pytest

from bertgen_jax.errors import ConfigError, DataError
from bertgen_jax.generation import result_files
from bertgen_jax.generation.result_files import (
    ResultWriter,
    TextResult,
    as_json,
    as_text,
)


def hypotheses(*texts):
    return [
        {"generated_text": text, "score": -float(i)} for i, text in enumerate(texts)
    ]


RESULTS = [
    TextResult(1, hypotheses("a text"), id="é"),
    TextResult(2, error="no text"),
    TextResult(3, hypotheses("b")),
]


def test_a_text_with_line_breaks_is_one_line():
    breaks = "a\nb\r\nc\u2028d\x0ce\tf\n"
    assert as_text(TextResult(1, hypotheses(breaks))) == "a b c d e\tf\n"
    assert as_text(TextResult(1, hypotheses(""))) == "\n"
    assert as_text(TextResult(1, error="no text")) == "\n"


def test_several_hypotheses_are_separated_by_tabs():
    assert as_text(TextResult(1, hypotheses("a\tb", "c\nd"))) == "a b\tc d\n"


def test_a_json_object_has_the_fields_of_the_result():
    assert as_json(RESULTS[0]) == (
        '{"line": 1, "id": "é", "generated_text": "a text", "score": -0.0}\n'
    )
    assert json.loads(as_json(RESULTS[1])) == {"line": 2, "error": "no text"}
    assert json.loads(as_json(TextResult(3, hypotheses("a\nb", "c")))) == {
        "line": 3,
        "generated_text": "a\nb",
        "score": 0.0,
        "hypotheses": hypotheses("a\nb", "c"),
    }


def test_half_a_surrogate_pair_in_an_id_is_preserved():
    stream = io.BytesIO()
    ResultWriter(stream, as_json).write([TextResult(1, hypotheses("a"), id="\ud800")])
    assert json.loads(stream.getvalue().decode())["id"] == "\ud800"


def write_results(path):
    with result_files.opened(str(path)) as writer:
        writer.write(RESULTS)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".txt"])
def test_a_file_cut_off_at_any_byte_is_completed(suffix, tmp_path):
    expected = write_results(tmp_path / f"whole{suffix}")
    path = tmp_path / f"cut{suffix}"
    for length in range(len(expected) + 1):
        path.write_bytes(expected[:length])
        with result_files.opened(str(path)) as writer:
            assert writer.count == expected[:length].count(b"\n")
            assert path.read_bytes() == expected[:length]  # not truncated yet
            writer.write(RESULTS[writer.count :])
        assert path.read_bytes() == expected


@pytest.mark.parametrize(
    "tail", [b"\0" * 40, b"\0\n", b'{"line": 4, "gen\n', b"\xff\n"]
)
def test_a_last_line_that_is_not_json_is_replaced(tail, tmp_path):
    path = tmp_path / "x.jsonl"
    expected = write_results(path)
    path.write_bytes(expected + tail)
    with result_files.opened(str(path)) as writer:
        assert (writer.count, writer.failed) == (3, 1)
        writer.write([])
    assert path.read_bytes() == expected


@pytest.mark.parametrize(
    "content",
    [
        b'{"line": 2}\n{"line": 3}\n',
        b'{"line": 1}\n{"line": 1}\n',
        b'{"line": 1}\nnonsense\n{"line": 3}\n',
        b'{"line": 1}\n[2]\n',
        b'{"line": 1}\n{"id": 2}\n',
        b'{"line": 1}\n\n{"line": 2}\n',
    ],
)
def test_a_file_of_something_else_is_left_unchanged(content, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    message = r"x.jsonl, line [12]: found .* Name another --output, or start anew"
    with pytest.raises(DataError, match=message), result_files.opened(str(path)):
        pass
    assert path.read_bytes() == content
    with result_files.opened(str(path), overwrite=True) as writer:
        assert writer.count == 0
        writer.write(RESULTS[:1])
    assert path.read_text("utf-8") == as_json(RESULTS[0])


def test_results_are_flushed_at_once(tmp_path):
    path = tmp_path / "x.txt"
    with result_files.opened(str(path)) as writer:
        writer.write(RESULTS[:1])
        assert path.read_text() == "a text\n"


def test_two_processes_cannot_write_one_file(tmp_path):
    path = str(tmp_path / "x.txt")
    message = "x.txt is being written by another process"
    with (
        result_files.opened(path),
        pytest.raises(DataError, match=message),
        result_files.opened(path, overwrite=True),
    ):
        pass
    with result_files.opened(path):  # the lock is released
        pass


def test_a_named_pipe_is_written_from_its_start(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    result_files.check(str(path))
    with result_files.opened(str(path)) as writer:
        assert writer.count == 0
        writer.write(RESULTS[:1])
    assert os.read(reader, 100) == b"a text\n"
    os.close(reader)


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "dir.txt").mkdir()
    for name in ("dir.txt", "nowhere/x.txt"):
        with (
            pytest.raises(DataError, match=f"{name} cannot be written: "),
            result_files.opened(str(tmp_path / name)),
        ):
            pass
    with (
        pytest.raises(DataError, match="/dev/full cannot be written: No space left"),
        result_files.opened("/dev/full") as writer,
    ):
        writer.write(RESULTS[:1])


def test_invalid_names(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a\n")
    result_files.check(str(tmp_path / "y.txt"), str(path))
    result_files.check("x.JSONL")
    for name in ("x.csv", "x", "x.jsonl.gz"):
        with pytest.raises(ConfigError, match=r"ends in .jsonl .* or .txt"):
            result_files.check(name)
    with pytest.raises(ConfigError, match="the input as well as the output"):
        result_files.check(str(path), str(tmp_path / "." / "x.txt"))
