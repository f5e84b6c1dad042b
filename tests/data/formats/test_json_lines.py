"""JSON lines: any object is a row, and anything else a bad one."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples

COLUMNS = {"source": "s", "target": "t"}


def read(path, content, columns=COLUMNS, **options):
    path.write_bytes(content)
    examples = open_examples(str(path), columns, **options)
    return [(row.source, *row.references) for row in examples]


def test_digits_are_names_like_any_other(tmp_path):
    assert read(
        tmp_path / "x.jsonl", b'{"0": "a", "1": "b"}', {"source": "0", "target": "1"}
    ) == [("a", "b")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b'{"s": "a", "t": "b"\n', r"line 2: Expecting ',' delimiter.*'\{\"s\""),
        (b'["a", "b"]\n', r"line 2: found '\[\"a\", \"b\"\]\\n'; expected one"),
        (b'{"s": "a\tb", "t": "b"}\n', "line 2: Invalid control character"),
        (b"\xe2\x82\n", "line 2: byte 1 of the row, 0xe2, is not UTF-8"),
        (b'{"s": "a"}\n', "line 2: there is no column 't'; found: 's'"),
        (b'{"s": "a", "T": "b"}\n', "no column 't'; found: 's', 'T'"),
        (b'{"s": 3, "t": "b"}\n', "column 's' holds '3' of type int; expected"),
        (b'{"s": ["a", 3], "t": "b"}\n', "column 's' holds '3' of type int"),
        (b'{"s": "a", "t": null}\n', "line 2: column 't' is empty; at least"),
        (b'{"s": "a", "t": [" ", ""]}\n', "column 't' is empty; at least one"),
        (b'{"s": [], "t": "b"}\n', "line 2: column 's' is empty; the source"),
        (b'{"s": "a\\ud83d", "t": "b"}\n', r"'s' has U\+D83D, half of a surrogate"),
        (b"[" * 100_000 + b"\n", "line 2: maximum recursion depth exceeded"),
        (b"\n", "line 2: the line is blank; expected a row"),
    ],
)
def test_a_bad_row_is_an_error_or_skipped(row, message, tmp_path):
    path, good = tmp_path / "x.jsonl", b'{"s": "a", "t": "b"}\n'
    with pytest.raises(errors.DataError, match=rf"x\.jsonl, .*{message}.*'skip'\."):
        read(path, good + row + good + good)
    rows = open_examples(str(path), COLUMNS, on_bad_row="skip")
    assert [(row.source, *row.references) for row in rows] == [("a", "b")] * 3
    assert rows.skipped.count == 1
