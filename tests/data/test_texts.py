"""Texts are streamed from files and pipes, and columns of texts are read to compare."""

import gzip
import io
import json
import os
import threading

import pytest

from bertgen_jax.data import texts
from bertgen_jax.data.formats.table import BadRow
from bertgen_jax.errors import BertgenError, ConfigError, DataError


def stream(file, format=None, column=None):
    """The texts of a stream; for a row without a text, the reason in brackets."""
    return [
        f"[{row.text.reason}]" if isinstance(row.text, BadRow) else row.text
        for row in texts.stream(file, format, column)
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
def test_every_format_is_read_from_files_gz_files_and_streams(name, way, tmp_path):
    content = FILES[name]
    if way == "file":
        assert stream(write(tmp_path / name, content)) == WANTED
    elif way == "gz":
        assert stream(write(tmp_path / f"{name}.gz", gzip.compress(content))) == WANTED
    else:
        format = {".jsonl": "jsonl", ".JSON": "jsonl", ".csv": "csv"}.get(name[1:])
        assert stream(io.BytesIO(content), format) == WANTED


def test_an_explicit_format_overrides_the_suffix(tmp_path):
    path = write(tmp_path / "x.csv", b"a,b\n")
    assert stream(path, "text") == ["a,b"]


def test_an_empty_file_has_no_texts(tmp_path):
    assert stream(write(tmp_path / "x.txt", b"")) == []
    assert stream(write(tmp_path / "x.jsonl", b"")) == []
    assert stream(io.BytesIO(b"")) == []


def test_only_line_feeds_end_lines(tmp_path):
    content = "a\u2028b\x0cc\rd\ne".encode()
    assert stream(write(tmp_path / "x", content)) == ["a\u2028b\x0cc\rd", "e"]


def test_a_column_is_chosen_by_name_or_by_position():
    table = b"text\tsource\n1\t2\n"
    assert stream(io.BytesIO(table), "tsv") == ["2"]
    assert stream(io.BytesIO(table), "tsv", "text") == ["1"]
    assert stream(io.BytesIO(table), "tsv", "0") == ["text", "1"]
    assert stream(io.BytesIO(b'{"a": "b"}'), "jsonl", "a") == ["b"]


def test_columns_are_joined_as_in_training():
    rows = b'a,b\nc,d\n,e\n" ",\n'
    assert stream(io.BytesIO(rows), "csv", "b + a") == ["d c", "e", "  "]
    assert stream(io.BytesIO(rows), "csv", "0+1")[:2] == ["a b", "c d"]
    objects = b'{"a": ["x", "y"], "b": "z"}\n{"a": "x"}\n'
    assert stream(io.BytesIO(objects), "jsonl", "a+b") == ["x y z", "[missing column]"]


def test_a_list_of_texts_is_joined_as_in_training():
    assert stream(io.BytesIO(b'{"source": ["a b", "c"]}'), "jsonl") == ["a b c"]


def test_a_bad_row_gives_its_reason_and_costs_no_other_row(tmp_path):
    lines = write(tmp_path / "x", b"a\n\xff\nb\n")
    assert stream(lines) == ["a", "[invalid UTF-8]", "b"]
    objects = (
        b'{"source": "a"}\nnonsense\n\n{"source": 5}\n{"x": 1}\n{"source": null}\n'
        b'{"source": "\\ud800"}\n[1]\n{"source": "b"}\n'
    )
    assert stream(write(tmp_path / "x.jsonl", objects)) == [
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
    assert stream(rows) == ["a", wrong, wrong, "f"]


def test_texts_keep_their_id_and_their_line(tmp_path):
    rows = write(tmp_path / "x.csv", b'id,source\n7,"two\nlines"\nb,a\n')
    assert [(row.id, row.line) for row in texts.stream(rows)] == [("7", 2), ("b", 4)]
    objects = b'{"source": "a", "id": 7}\n{"source": "b"}\n{"source": 1, "id": "c"}\n'
    rows = texts.stream(io.BytesIO(objects), "jsonl")
    assert [(row.id, row.line) for row in rows] == [(7, 1), (None, 2), ("c", 3)]


@pytest.mark.parametrize("format", ["text", "csv", "jsonl"])
def test_a_text_of_a_pipe_is_available_as_soon_as_its_line_is_written(format):
    lines = {
        "text": [b"a\n", b"b\n"],
        "csv": [b"source\na\n", b"b\n"],
        "jsonl": [b'{"source": "a"}\n', b'{"source": "b"}\n'],
    }[format]
    out, into = os.pipe()
    with open(out, "rb") as source, open(into, "wb", buffering=0) as sink:
        sink.write(lines[0])
        # The pipe stays open: waiting for more than a line would never end.
        rows = texts.stream(source, format)
        assert next(rows).text == "a"
        sink.write(lines[1])
        assert next(rows).text == "b"


def test_a_named_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(b"text\na\nb\n",)).start()
    assert stream(str(path), "csv") == ["a", "b"]
    threading.Thread(target=path.write_bytes, args=(b"a\nb\n",)).start()
    assert texts.TextTable(str(path)).texts(NAMES) == [("a",), ("b",)]


def test_a_stream_of_any_length_takes_little_memory():
    class Endless(io.RawIOBase):
        size = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            content = (b"a text\n" * (len(buffer) // 7 + 1))[: len(buffer) // 7 * 7]
            buffer[: len(content)] = content
            self.size += len(content)
            return len(content)

    endless = Endless()
    rows = texts.stream(io.BufferedReader(endless))
    assert [next(rows).text for _ in range(10)] == ["a text"] * 10
    assert endless.size <= 1 << 20  # one buffer


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("x.csv", b"", None, "is empty"),
        ("x.tsv", b"\n", None, "is empty; expected rows of text"),
        ("x.csv", b"a,b\n", None, "no column 'source'; found: 'a', 'b'. --column"),
        ("x.csv", b"texts\n1\n", "text", "Did you mean 'texts'"),
        ("x.tsv", b"a\tb\n", "2", "no column '2'; found: '0', '1'"),
        ("x.tsv", b"a\tb\n", "a+c", "no column 'c'; found: 'a', 'b'"),
        ("x.csv", b"text,text\n1,2\n", None, "has 2 columns 'text'; expected one"),
        ("x", b"\xff\xfea\x00", None, "UTF-16; expected UTF-8"),
        ("x.gz", b"a", None, "cannot be decompressed"),
        (
            "x",
            b"a\n",
            "text",
            "'text' is asked for, and each line of .* --format",
        ),
    ],
)
def test_an_unreadable_file_is_an_error(name, content, column, message, tmp_path):
    with pytest.raises(BertgenError, match=message):
        stream(write(tmp_path / name, content), None, column)


def test_rows_before_an_unclosed_quote_are_yielded(tmp_path):
    rows = texts.stream(write(tmp_path / "x.csv", b'text\na\n"b\nc\n'))
    assert next(rows).text == "a"
    with pytest.raises(DataError, match="line 3: a quote is opened"):
        next(rows)


def test_a_wrong_name_is_an_error_with_a_suggestion(tmp_path):
    write(tmp_path / "texts.txt", b"a\n")
    with pytest.raises(DataError, match=r"Did you mean 'texts.txt'"):
        texts.stream(str(tmp_path / "text.txt"))
    with pytest.raises(DataError, match="nowhere/x cannot be read"):
        texts.stream("nowhere/x")
    with pytest.raises(DataError, match="is a folder; expected a file"):
        texts.stream(str(tmp_path))
    with pytest.raises(ConfigError, match="Did you mean 'jsonl'"):
        texts.stream(str(tmp_path / "texts.txt"), "json")


# Columns of texts

NAMES = ("prediction", "text")


@pytest.fixture
def table(tmp_path):
    def read(name, content):
        content = content if isinstance(content, bytes) else content.encode()
        content = gzip.compress(content) if name.endswith(".gz") else content
        return texts.TextTable(write(tmp_path / name, content))

    return read


@pytest.mark.parametrize("name", ["a.txt", "a", "a.de", "a.txt.gz"])
def test_a_line_is_a_text(table, name):
    lines = table(name, "one\r\n\ntwo \u2028 three\x00\n")
    assert lines.texts(NAMES) == [("one",), ("",), ("two \u2028 three\x00",)]


def test_the_last_line_needs_no_end(table):
    assert table("a", "one\ntwo").texts(NAMES) == [("one",), ("two",)]
    assert table("b", "").texts(NAMES) == []


def test_an_object_has_one_text_or_several(table):
    rows = [{"text": "a"}, {"text": ["b", "c"]}, {"text": []}, {"text": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    expected = [("a",), ("b", "c"), (), ()]
    assert table("a.jsonl", lines).texts(NAMES) == expected
    assert table("a.json.gz", json.dumps(rows)).texts(NAMES) == expected
    assert table("b.json", '["a", "b"]').texts(NAMES) == [("a",), ("b",)]


def test_the_first_known_column_is_read_or_the_named_one(table):
    lines = table("a.jsonl", '{"text": "a", "prediction": "b", "other": "c"}\n')
    assert lines.texts(NAMES) == [("b",)]
    assert lines.texts(NAMES, "other") == [("c",)]
    assert lines.has_column(("other",))
    assert not lines.has_column(("references",))


def test_all_columns_of_tsv_are_texts_but_empty_ones_at_the_end(table):
    rows = table("a.tsv", "a\tb\tc\nd\t\t\n\n\te\n")
    assert rows.texts(NAMES) == [("a", "b", "c"), ("d",), ("",), ("", "e")]


@pytest.mark.parametrize(("name", "comma"), [("a.csv", ","), ("a.tsv", "\t")])
def test_columns_of_csv_and_tsv_are_found_by_name_and_position(table, name, comma):
    rows = table(name, f"id{comma}text\n1{comma}a\n2{comma}b\n")
    assert rows.texts(NAMES, "text") == [("a",), ("b",)]
    assert rows.texts(NAMES, "id+text") == [("1 a",), ("2 b",)]
    assert rows.texts(NAMES, "1") == [("text",), ("a",), ("b",)]


def test_a_byte_order_mark_is_no_text(table):
    for name in ("a.txt", "a.tsv"):
        assert table(name, b"\xef\xbb\xbfone\n").texts(NAMES) == [("one",)]


def test_an_object_with_an_error_is_an_empty_text(table):
    rows = table("a.jsonl", '{"error": "x", "text": "a"}\n{"prediction": "b"}\n')
    assert rows.texts(NAMES) == [("",), ("b",)]


def test_a_column_of_csv_may_be_called_error(table):
    rows = table("a.csv", "prediction,error\na b,a b\nc,\n")
    assert rows.texts(NAMES) == [("a b",), ("c",)]


def test_two_columns_are_joined(table):
    rows = table("a.csv", "a,b\none,two\n")
    assert rows.texts(NAMES, "a+b") == [("one two",)]
    assert rows.texts(NAMES, "0+1") == [("a b",), ("one two",)]


def test_the_columns_of_csv_are_those_of_its_first_line(table):
    rows = table("a.csv", 'id,reference,text\n1,a,"b, c"\n')
    assert rows.has_column(("references", "reference"))
    assert not rows.has_column(("source",))
    assert not table("a.jsonl", "").has_column(("source",))
    assert rows.texts(NAMES) == [("b, c",)]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.txt", b"good\n\xff\n", None, r"a\.txt, row 2: byte 1 .* is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 1}\n', None, "row 2: column 'text' hold"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": ""}\n', None, "row 2.*no column 'text'"),
        ("a.jsonl", b"{\n", None, "row 1: .*one JSON object a line"),
        (
            "a.jsonl",
            b'{"prediction": "a"}\n{"text": "b"}\n',
            None,
            "row 2.*'prediction'",
        ),
        ("a.csv", b"text,text\na,b\n", None, "2 columns 'text'"),
        ("a.tsv", b"text\nb\n", None, "look like names of columns"),
        ("a.txt", b"\xff\xfea\x00", None, "UTF-16"),
        ("a.json", b"[1]", None, "row 1: .*of type int"),
        ("a.json", b"{}", None, r"JSON dict; expected an array"),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', None, "Extra data.*jsonl"),
        ("a.csv", b"id,txt\n1,a\n", "text", "no column 'text'.*Did you mean 'txt'"),
        ("a.tsv", b"id\ttext\n1\n", "text", "row 2: columns: 1 found"),
    ],
)
def test_a_row_without_a_text_is_an_error(table, name, content, column, message):
    with pytest.raises(DataError, match=message):
        table(name, content).texts(NAMES, column)


def test_a_missing_file_and_a_folder_are_errors(table, tmp_path):
    table("outputs.txt", "a\n")
    with pytest.raises(DataError, match=r"Did you mean 'outputs\.txt'"):
        texts.TextTable(str(tmp_path / "output.txt"))
    with pytest.raises(DataError, match="is a folder; expected a file"):
        texts.TextTable(str(tmp_path))


def test_a_file_of_lines_has_no_columns(table):
    with pytest.raises(ConfigError, match=r"each line of .* is a text"):
        table("outputs.txt", "a\n").texts(NAMES, "text")


def test_a_first_row_without_the_column_is_an_error_at_once(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"abstract": "a"}\n{"abstract": "b"}\n')
    with pytest.raises(DataError, match=r"'abstract'.*--column names another"):
        texts.stream(str(path))
