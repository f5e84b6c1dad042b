"""Parquet files: row groups, types of columns and faults."""

import sys

import pyarrow
import pytest
from pyarrow import parquet as pq

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples

COLUMNS = {"source": "s", "target": "t"}


def write(path, columns, **options):
    pq.write_table(pyarrow.table(columns), path, **options)
    return str(path)


def test_rows_of_many_groups_are_found_in_any_order(tmp_path):
    texts = [f"text {i}" for i in range(57)]
    path = write(tmp_path / "x.parquet", {"s": texts, "t": texts}, row_group_size=5)
    examples = open_examples(path, COLUMNS)
    for index in (56, 0, 31, 4, 5, 56, 20, 0):
        assert examples[index].source == f"text {index}"
        assert examples[index].id == f"x.parquet:{index + 1}"


def test_lists_numbers_and_binary_columns(tmp_path):
    columns = {
        "s": [["a", "b"], ["c"]],
        "t": pyarrow.array([b"caf\xc3\xa9", b"x"], pyarrow.binary()),
        "n": [1, 2],
        "unused": [{"deep": 1}, {"deep": 2}],
    }
    path = write(tmp_path / "x.parquet", columns)
    examples = open_examples(path, {**COLUMNS, "id": "n"})
    assert [(row.id, row.source, *row.references) for row in examples] == [
        ("1", "a b", "café"),
        ("2", "c", "x"),
    ]


def test_a_bad_row_is_an_error_or_skipped(tmp_path):
    columns = {"s": ["a", None, "c"], "t": ["x", "y", "z"]}
    path = write(tmp_path / "x.parquet", columns, row_group_size=1)
    with pytest.raises(
        errors.DataError, match=r"x\.parquet, row 2: column 's' is empty"
    ):
        open_examples(path, COLUMNS)
    left = open_examples(path, COLUMNS, on_bad_row="skip")
    assert [row.id for row in left] == ["x.parquet:1", "x.parquet:3"]
    assert left[1].source == "c"


def test_a_missing_column_is_an_error_that_lists_the_others(tmp_path):
    path = write(tmp_path / "x.parquet", {"source": ["a"], "t": ["b"]})
    with pytest.raises(
        errors.DataError, match=r"no column 'sourse'; found: 'source', 't'"
    ):
        open_examples(path, {"source": "sourse", "target": "t"})


def test_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "x.parquet"
    write(path, {"s": ["some text"] * 9, "t": ["b"] * 9}, compression="none")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(errors.DataError, match=r"x\.parquet cannot be read as Parquet"):
        open_examples(str(path), COLUMNS)


def test_a_damaged_page_is_detected_by_its_checksum(tmp_path):
    path = tmp_path / "x.parquet"
    write(
        path,
        {"s": ["some text"], "t": ["b"]},
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    content = path.read_bytes()
    assert content.count(b"some text") == 1
    path.write_bytes(content.replace(b"some text", b"same text"))
    with pytest.raises(errors.DataError, match=r"x\.parquet cannot be read as Parquet"):
        open_examples(str(path), COLUMNS)


def test_a_file_that_changes_while_it_is_used_is_noticed(tmp_path):
    path = write(tmp_path / "x.parquet", {"s": ["a"], "t": ["b"]})
    examples = open_examples(path, COLUMNS)
    write(tmp_path / "x.parquet", {"s": ["a", "b"], "t": ["b", "c"]})
    with pytest.raises(errors.DataError, match=r"x\.parquet was changed"):
        examples[0]


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "x.parquet", {"s": ["a"], "t": ["b"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        errors.DataError, match=r"pip install 'bertgen_jax\[datasets\]'"
    ):
        open_examples(path, COLUMNS)
