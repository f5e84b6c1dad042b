"""Texts of a file or a pipe come one after the other, and what is none says why."""

import gzip
import io
import os
import threading

import pytest

from bertgen_jax import errors
from bertgen_jax.data import source_texts
from bertgen_jax.data.formats.table import BadRow


def texts(source, format=None, column=None):
    """What is read; of what is no text, the reason in brackets."""
    found = source_texts.read(source, format, column)
    return [
        f"[{one.text.reason}]" if isinstance(one.text, BadRow) else one.text
        for one in found
    ]


def write(path, content):
    path.write_bytes(content)
    return str(path)


WANTED = ["a\tb", "", 'c, "d"', "ü"]
FILES = {
    "x.txt": b'a\tb\n\nc, "d"\n\xc3\xbc\n',
    "x": b'\xef\xbb\xbfa\tb\r\n\r\nc, "d"\r\n\xc3\xbc',
    "x.jsonl": b'{"source": "a\\tb"}\n{"source": ""}\n{"source": "c, \\"d\\""}\n'
    b'{"text": "y", "source": "\\u00fc"}\n\n',
    "x.JSON": b'{"text": "a\\tb"}\n{"text": ""}\n{"text": "c, \\"d\\""}\n'
    b'{"text": "\xc3\xbc"}',
    "x.csv": b'id,source\n1,a\tb\n2,\n3,"c, ""d"""\n4,\xc3\xbc\n',
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["file", "gz", "stream"])
def test_every_format_in_every_way(name, way, tmp_path):
    content = FILES[name]
    if way == "file":
        assert texts(write(tmp_path / name, content)) == WANTED
    elif way == "gz":
        assert texts(write(tmp_path / f"{name}.gz", gzip.compress(content))) == WANTED
    else:
        format = {".jsonl": "jsonl", ".JSON": "jsonl", ".csv": "csv"}.get(name[1:])
        assert texts(io.BytesIO(content), format) == WANTED


def test_a_format_that_is_given_wins_over_the_name(tmp_path):
    path = write(tmp_path / "x.csv", b"a,b\n")
    assert texts(path, "text") == ["a,b"]


def test_no_text_is_no_text(tmp_path):
    assert texts(write(tmp_path / "x.txt", b"")) == []
    assert texts(write(tmp_path / "x.jsonl", b"")) == []
    assert texts(io.BytesIO(b"")) == []


def test_only_line_feeds_end_lines(tmp_path):
    content = "a\u2028b\x0cc\rd\ne".encode()
    assert texts(write(tmp_path / "x", content)) == ["a\u2028b\x0cc\rd", "e"]


def test_columns_by_name_and_by_position():
    table = b"text\tsource\n1\t2\n"
    assert texts(io.BytesIO(table), "tsv") == ["2"]
    assert texts(io.BytesIO(table), "tsv", "text") == ["1"]
    assert texts(io.BytesIO(table), "tsv", "0") == ["text", "1"]
    assert texts(io.BytesIO(b'{"a": "b"}'), "jsonl", "a") == ["b"]


def test_columns_are_joined_as_in_training():
    rows = b'a,b\nc,d\n,e\n" ",\n'
    assert texts(io.BytesIO(rows), "csv", "b + a") == ["d c", "e", "  "]
    assert texts(io.BytesIO(rows), "csv", "0+1")[:2] == ["a b", "c d"]
    objects = b'{"a": ["x", "y"], "b": "z"}\n{"a": "x"}\n'
    assert texts(io.BytesIO(objects), "jsonl", "a+b") == ["x y z", "[missing column]"]


def test_a_list_of_texts_is_joined_as_in_training():
    assert texts(io.BytesIO(b'{"source": ["a b", "c"]}'), "jsonl") == ["a b c"]


def test_what_is_no_text_says_why_and_the_others_are_texts(tmp_path):
    lines = write(tmp_path / "x", b"a\n\xff\nb\n")
    assert texts(lines) == ["a", "[invalid UTF-8]", "b"]
    objects = (
        b'{"source": "a"}\nnonsense\n\n{"source": 5}\n{"x": 1}\n{"source": null}\n'
        b'{"source": "\\ud800"}\n[1]\n{"source": "b"}\n'
    )
    assert texts(write(tmp_path / "x.jsonl", objects)) == [
        "a",
        "[malformed JSON]",
        "[blank line]",
        "[no text]",
        "[missing column]",
        "[empty source]",
        "[invalid Unicode]",
        "[no JSON object]",
        "b",
    ]
    rows = write(tmp_path / "x.csv", b"source,id\na,1\nb\nc,d,e\nf,2\n")
    wrong = "[wrong number of columns]"
    assert texts(rows) == ["a", wrong, wrong, "f"]


def test_ids_and_lines_are_those_of_the_file(tmp_path):
    rows = write(tmp_path / "x.csv", b'id,source\n7,"two\nlines"\nb,a\n')
    found = [(one.id, one.line) for one in source_texts.read(rows)]
    assert found == [("7", 2), ("b", 4)]
    objects = b'{"source": "a", "id": 7}\n{"source": "b"}\n{"source": 1, "id": "c"}\n'
    found = source_texts.read(io.BytesIO(objects), "jsonl")
    assert [(one.id, one.line) for one in found] == [(7, 1), (None, 2), ("c", 3)]


@pytest.mark.parametrize("format", ["text", "csv", "jsonl"])
def test_a_line_of_a_pipe_is_a_text_as_soon_as_it_is_there(format):
    lines = {
        "text": [b"a\n", b"b\n"],
        "csv": [b"source\na\n", b"b\n"],
        "jsonl": [b'{"source": "a"}\n', b'{"source": "b"}\n'],
    }[format]
    out, into = os.pipe()
    with open(out, "rb") as source, open(into, "wb", buffering=0) as sink:
        sink.write(lines[0])
        # The pipe stays open: whoever waits for more than a line waits for ever.
        found = source_texts.read(source, format)
        assert next(found).text == "a"
        sink.write(lines[1])
        assert next(found).text == "b"


def test_a_named_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(b"text\na\nb\n",)).start()
    assert texts(str(path), "csv") == ["a", "b"]


def test_a_stream_of_any_length_takes_little_memory():
    class Endless(io.BufferedIOBase):
        given = 0

        def readinto1(self, buffer):
            content = (b"a text\n" * (len(buffer) // 7 + 1))[: len(buffer) // 7 * 7]
            buffer[: len(content)] = content
            self.given += len(content)
            return len(content)

    stream = Endless()
    found = source_texts.read(stream)
    assert [next(found).text for _ in range(10)] == ["a text"] * 10
    assert stream.given <= 1 << 20  # one buffer


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("x.csv", b"", None, "is empty"),
        ("x.tsv", b"\n", None, "line 1: a row is expected; found none"),
        ("x.csv", b"a,b\n", None, "no column 'source'; found: 'a', 'b'. --column"),
        ("x.csv", b"texts\n1\n", "text", "Did you mean 'texts'"),
        ("x.tsv", b"a\tb\n", "2", "no column '2'; found: '0', '1'"),
        ("x.tsv", b"a\tb\n", "a+c", "no column 'c'; found: 'a', 'b'"),
        ("x.csv", b"text,text\n1,2\n", None, "has 2 columns 'text'; expected one"),
        ("x", b"\xff\xfea\x00", None, "UTF-16; UTF-8 is expected"),
        ("x.gz", b"a", None, "cannot be decompressed"),
        ("x", b"a\n", "text", "column 'text' is asked for, and each line"),
    ],
)
def test_what_cannot_be_read_at_all(name, content, column, message, tmp_path):
    with pytest.raises(errors.BertgenError, match=message):
        texts(write(tmp_path / name, content), None, column)


def test_a_quote_that_is_never_closed_is_told_after_what_comes_before(tmp_path):
    found = source_texts.read(write(tmp_path / "x.csv", b'text\na\n"b\nc\n'))
    assert next(found).text == "a"
    with pytest.raises(errors.DataError, match="line 3: a quote is opened"):
        next(found)


def test_mistakes_in_names(tmp_path):
    write(tmp_path / "texts.txt", b"a\n")
    with pytest.raises(errors.DataError, match=r"Did you mean 'texts.txt'"):
        source_texts.read(str(tmp_path / "text.txt"))
    with pytest.raises(errors.DataError, match="nowhere/x cannot be read"):
        source_texts.read("nowhere/x")
    with pytest.raises(errors.DataError, match="cannot be read: Is a directory"):
        source_texts.read(str(tmp_path))
    with pytest.raises(errors.ConfigError, match="Did you mean 'jsonl'"):
        source_texts.read(str(tmp_path / "texts.txt"), "json")
