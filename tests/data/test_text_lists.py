"""Columns of texts that are to be compared: nothing is left out of any format."""

import gzip
import json

import pytest

from bertgen_jax.data import text_lists
from bertgen_jax.errors import ConfigError, DataError

NAMES = ("prediction", "text")


@pytest.fixture
def written(tmp_path):
    def write(name, content):
        path = tmp_path / name
        content = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return write


@pytest.mark.parametrize("name", ["a.txt", "a", "a.de", "a.txt.gz"])
def test_a_line_is_a_text(written, name):
    path = written(name, "one\r\n\ntwo \u2028 three\x00\n")
    assert text_lists.read(path, NAMES) == [("one",), ("",), ("two \u2028 three\x00",)]


def test_the_last_line_needs_no_end(written):
    assert text_lists.read(written("a", "one\ntwo"), NAMES) == [("one",), ("two",)]
    assert text_lists.read(written("b", ""), NAMES) == []


def test_an_object_has_one_text_or_several(written):
    rows = [{"text": "a"}, {"text": ["b", "c"]}, {"text": []}, {"text": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    expected = [("a",), ("b", "c"), (), ()]
    assert text_lists.read(written("a.jsonl", lines), NAMES) == expected
    array = json.dumps(rows)
    assert text_lists.read(written("a.json.gz", array), NAMES) == expected
    assert text_lists.read(written("b.json", '["a", "b"]'), NAMES) == [("a",), ("b",)]


def test_the_first_known_column_is_read_or_the_named_one(written):
    path = written("a.jsonl", '{"text": "a", "prediction": "b", "other": "c"}\n')
    assert text_lists.read(path, NAMES) == [("b",)]
    assert text_lists.read(path, NAMES, "other") == [("c",)]
    assert text_lists.has_column(path, ("other",))
    assert not text_lists.has_column(path, ("references",))


def test_all_columns_of_tsv_are_texts_and_empty_ones_at_the_end_none(written):
    path = written("a.tsv", "a\tb\tc\nd\t\t\n\n\te\n")
    expected = [("a", "b", "c"), ("d",), ("",), ("", "e")]
    assert text_lists.read(path, NAMES) == expected


@pytest.mark.parametrize(("name", "comma"), [("a.csv", ","), ("a.tsv", "\t")])
def test_a_column_of_a_table(written, name, comma):
    path = written(name, f"id{comma}text\n1{comma}a\n2{comma}b\n")
    assert text_lists.read(path, NAMES, "text") == [("a",), ("b",)]
    assert text_lists.read(path, NAMES, "id+text") == [("1 a",), ("2 b",)]
    assert text_lists.read(path, NAMES, "1") == [("text",), ("a",), ("b",)]


def test_a_byte_order_mark_is_no_text(written):
    for name in ("a.txt", "a.tsv"):
        assert text_lists.read(written(name, b"\xef\xbb\xbfone\n"), NAMES) == [("one",)]


def test_what_failed_to_be_generated_is_an_empty_text(written):
    path = written("a.jsonl", '{"error": "x", "text": "a"}\n{"prediction": "b"}\n')
    assert text_lists.read(path, NAMES) == [("",), ("b",)]


def test_two_columns_are_joined(written):
    path = written("a.csv", "a,b\none,two\n")
    assert text_lists.read(path, NAMES, "a+b") == [("one two",)]
    assert text_lists.read(path, NAMES, "0+1") == [("a b",), ("one two",)]


def test_which_columns_there_are(written):
    path = written("a.csv", "id,reference\n1,a\n")
    assert text_lists.has_column(path, ("references", "reference"))
    assert not text_lists.has_column(path, ("source",))
    assert not text_lists.has_column(written("a.jsonl", ""), ("source",))


def test_csv_has_names(written):
    path = written("a.csv", 'id,text\n1,"a, b"\n')
    assert text_lists.read(path, NAMES) == [("a, b",)]


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
def test_what_is_no_text_is_named(written, name, content, column, message):
    with pytest.raises(DataError, match=message):
        text_lists.read(written(name, content), NAMES, column)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is a folder; expected a file"):
        text_lists.read(str(tmp_path), NAMES)


def test_a_file_that_is_not_there_and_a_column_of_lines(written):
    path = written("outputs.txt", "a\n")
    with pytest.raises(DataError, match=r"Did you mean 'outputs\.txt'"):
        text_lists.read(path.replace("outputs", "output"), NAMES)
    with pytest.raises(ConfigError, match=r"each line of .* is a text"):
        text_lists.read(path, NAMES, "text")
