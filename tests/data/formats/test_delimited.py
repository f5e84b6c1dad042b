"""CSV and TSV: quotes, headers, columns by position, and rows of another width."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples
from bertgen_jax.data.formats import byte_file

COLUMNS = {"source": "s", "target": "t"}
BY_POSITION = {"source": "0", "target": "1"}


def read(path, content, columns=COLUMNS, **options):
    path.write_bytes(content)
    examples = open_examples(str(path), columns, **options)
    return [(row.source, *row.references) for row in examples]


def test_a_quoted_field_has_lines_quotes_and_delimiters(tmp_path):
    content = b's,t\r\n"two\r\nlines, ""quoted""\n",b\r\n"""",","\r\n'
    assert read(tmp_path / "x.csv", content) == [
        ('two\r\nlines, "quoted"\n', "b"),
        ('"', ","),
    ]


def test_tsv_has_no_quotes(tmp_path):
    content = b's\tt\n"a\tb"\n\'\'c\t"\n'
    assert read(tmp_path / "x.tsv", content) == [('"a', 'b"'), ("''c", '"')]


@pytest.mark.parametrize(("name", "tab"), [("x.csv", b","), ("x.tsv", b"\t")])
def test_columns_by_position_mean_that_there_is_no_header(name, tab, tmp_path):
    content = (
        tab.join([b"s", b"t", b"u"]) + b"\n" + tab.join([b"a", b"b", b"c"]) + b"\n"
    )
    rows = read(tmp_path / name, content, {"source": "2", "target": "0,1"})
    assert rows == [("u", "s", "t"), ("c", "a", "b")]


def test_positions_and_names_do_not_mix(tmp_path):
    with pytest.raises(
        errors.ConfigError, match=r"'0', 't': some by position and some"
    ):
        read(tmp_path / "x.tsv", b"s\tt\na\tb\n", {"source": "0", "target": "t"})


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        (
            "x.csv",
            b"document,summary\na,b\n",
            {"source": "dokument", "target": "summary"},
            r"x\.csv: there is no column 'dokument'; found: 'document', 'summary'\. "
            r"Did you mean 'document'\? .*map by position",
        ),
        (
            "x.tsv",
            b"a\tb\n",
            BY_POSITION | {"id": "2"},
            "no column '2'; found: '0', '1'",
        ),
        ("x.tsv", b"s\tt\ts\na\tb\tc\n", COLUMNS, "has 2 columns 's'"),
        (
            "x.tsv",
            b"s\xff\tt\n",
            COLUMNS,
            "line 1: byte 2 of the row, 0xff, is not UTF-8",
        ),
        ("x.csv", b's"x"y,t\n"s"x,t\n', COLUMNS, "no column 's'"),
        ("x.csv", b'"s"x,t\n', COLUMNS, "line 1: ',' expected after '\"'"),
    ],
)
@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_a_bad_header_is_an_error_of_the_file(
    name, content, columns, message, on_bad_row, tmp_path
):
    with pytest.raises(errors.DataError, match=message):
        read(tmp_path / name, content, columns, on_bad_row=on_bad_row)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("x.csv", b"a,b,c\n", r"line 3: columns: 3 found in 'a,b,c\\n', 2 expected"),
        ("x.csv", b'"a"x,b\n', "line 3: ',' expected after '\"'"),
        ("x.csv", b"a\rb,c\n", "line 3: new-line character seen in unquoted field"),
        ("x.csv", b"a\xffb,c\n", "line 3: byte 2 of the row, 0xff, is not UTF-8"),
        ("x.csv", b'" ",b\n', "line 3: column 's' is empty"),
        ("x.csv", b"\r\n", "line 3: the line is blank"),
        ("x.tsv", b"a\n", r"line 3: columns: 1 found in 'a\\n', 2 expected"),
        ("x.tsv", b"a\tb\tc\n", "line 3: columns: 3 found in"),
        ("x.tsv", b"a\t\n", "line 3: column 't' is empty"),
        ("x.tsv", b"a\xc3\t\n", "line 3: byte 2 of the row, 0xc3"),
    ],
)
def test_a_bad_row_is_an_error_or_skipped(name, row, message, tmp_path):
    good = {"x.csv": b"s,t\na,b\n", "x.tsv": b"s\tt\na\tb\n"}[name]
    last = good.splitlines(keepends=True)[-1]
    content = good + row + last + last
    with pytest.raises(errors.DataError, match=rf"x\.\w+, .*{message}.*'skip'\."):
        read(tmp_path / name, content)
    rows = open_examples(str(tmp_path / name), COLUMNS, on_bad_row="skip")
    assert [(row.source, *row.references) for row in rows] == [("a", "b")] * 3
    assert rows.skipped.count == 1


def test_messages_count_lines_and_not_rows(tmp_path):
    content = b's,t\n"a\n\n",b\nc\n'
    with pytest.raises(errors.DataError, match="line 5: columns: 1 found"):
        read(tmp_path / "x.csv", content)


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
def test_a_quote_that_is_never_closed_is_an_error_of_the_file(on_bad_row, tmp_path):
    content = b's,t\na,b\n"c,d\ne,f\n'
    with pytest.raises(
        errors.DataError, match=r"line 3: a quote is opened in '\"c,d\\n'"
    ):
        read(tmp_path / "x.csv", content, on_bad_row=on_bad_row)


def test_the_limit_is_on_all_lines_of_a_quoted_record(tmp_path, monkeypatch):
    monkeypatch.setattr(byte_file, "MAX_RECORD_BYTES", 1000)
    content = b's,t\n"' + b"line\n" * 250 + b'",b\n'
    with pytest.raises(
        errors.DataError, match="line 2: the record is longer than 1,000"
    ):
        read(tmp_path / "x.csv", content)
