"""Columns and the rules that make an example of a row."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data import mapping, table
from bertgen_jax.data.example import Example


def test_the_mapping_of_a_config():
    columns = mapping.Columns.from_mapping({"target": "a, b", "source": "d", "id": "a"})
    assert columns == mapping.Columns("d", ("a", "b"), "a")
    assert columns.names == ("d", "a", "b")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source": "s"}, "columns maps source; target is needed too"),
        ({}, "columns maps nothing; source is needed too"),
        ({"source": "s", "targets": "t"}, r"maps 'targets'.*Did you mean 'target'\?"),
        ({"source": "s", "target": ""}, "maps target to ''; the name of a column"),
        ({"source": 0, "target": "t"}, "maps source to 0; the name of a column"),
        ({"source": "s", "target": "a,,b"}, "maps target to 'a,,b'; the name of a col"),
    ],
)
def test_a_mapping_that_cannot_be_meant(columns, message):
    with pytest.raises(errors.ConfigError, match=message):
        mapping.Columns.from_mapping(columns)


def test_a_row_becomes_an_example():
    columns = mapping.Columns("s", ("t", "u"))
    row = {"s": ["a ", "b"], "t": b"caf\xc3\xa9", "u": ["", "c", "d"], "other": 1}
    assert columns.to_example(row, "f:1") == Example("f:1", "a  b", ("café", "c", "d"))


@pytest.mark.parametrize("value", [True, None, " ", [], ["a", "b"], {"a": 1}])
def test_an_id_is_a_text_or_a_number(value):
    columns = mapping.Columns("s", ("t",), "n")
    with pytest.raises(
        table.BadRow, match=r"'n' gives the id and holds .*; a text or a number is"
    ):
        columns.to_example({"s": "a", "t": "b", "n": value}, "unused")


def test_many_columns_are_listed_in_part():
    message = mapping.no_such_column("x", [f"column{i}" for i in range(50)])
    assert "'column19' and 30 more." in message
    assert "column20" not in message
