"""What JSON lines, CSV and TSV share: line ends, blank lines, encoding, size."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples
from bertgen_jax.data.formats import byte_file

COLUMNS = {"source": "s", "target": "t"}


def read(path, content, columns=COLUMNS, **options):
    path.write_bytes(content)
    examples = open_examples(str(path), columns, **options)
    return [(row.source, *row.references) for row in examples]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", b'\xef\xbb\xbf{"s": "a", "t": "b"}\n{"s": "c", "t": "d"}\n'),
        ("x.jsonl", b'{"s": "a", "t": "b"}\r\n{"s": "c", "t": "d"}\r\n'),
        ("x.jsonl", b'{"s": "a", "t": "b"}\n{"t": "d", "s": "c", "u": [1]}'),
        ("x.jsonl", b'{"s": "a", "t": "b"}\n{"s": "c", "t": "d"}\n\n  \n\r\n'),
        ("x.csv", b"\xef\xbb\xbfs,t\na,b\nc,d\n"),
        ("x.csv", b"s,t\r\na,b\r\nc,d\r\n\r\n"),
        ("x.csv", b'u,"t","s"\n1,"b",a\n"2",d,"c"'),
        ("x.tsv", b"\xef\xbb\xbfs\tt\na\tb\nc\td\n"),
        ("x.tsv", b"s\tt\r\na\tb\r\nc\td\r\n\r\n\n"),
        ("x.tsv", b"t\tu\ts\nb\t\ta\nd\t\tc"),
    ],
)
def test_byte_order_marks_line_ends_and_blank_lines_at_the_end_do_not_matter(
    name, content, tmp_path
):
    assert read(tmp_path / name, content) == [("a", "b"), ("c", "d")]


GOOD = {
    "x.jsonl": b'{"s": "a", "t": "b"}\n',
    "x.csv": b"s,t\na,b\n",
    "x.tsv": b"s\tt\na\tb\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_utf16_is_an_error_that_names_it(name, tmp_path):
    with pytest.raises(errors.DataError, match="UTF-16; expected UTF-8"):
        read(tmp_path / name, GOOD[name].decode().encode("utf-16"))


@pytest.mark.parametrize("name", GOOD)
def test_records_may_be_long_and_have_a_limit(name, tmp_path, monkeypatch):
    text = "ten million characters".ljust(10_000_000, ".")
    content = GOOD[name].replace(b"a", text.encode())
    assert read(tmp_path / name, content) == [(text, "b")]
    monkeypatch.setattr(byte_file, "MAX_RECORD_BYTES", 9_000_000)
    with pytest.raises(errors.DataError, match=r"the record is longer than 9,000,000"):
        read(tmp_path / f"again-{name}", content)
