"""Columns are parsed from a config and make an example of a row."""

import pytest

from bertgen_jax import errors
from bertgen_jax.data.columns import Columns, Example, no_such_column
from bertgen_jax.data.formats import table


def test_a_mapping_is_parsed():
    columns = Columns.from_mapping({"target": "a, b", "source": "d", "id": "a"})
    assert columns == Columns("d", ("a", "b"), "a")
    assert columns.names == ("d", "a", "b")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"source": "s"}, "columns maps source; expected target too"),
        ({}, "columns maps nothing; expected source too"),
        ({"source": "s", "targets": "t"}, r"'targets'; .*Did you mean 'target'\?"),
        ({"source": "s", "target": ""}, "maps target to ''; expected the name"),
        ({"source": 0, "target": "t"}, "maps source to 0; expected the name"),
        (
            {"source": "s", "target": "a,,b"},
            "maps target to 'a,,b'; expected the name",
        ),
        (
            {"source": "s+", "target": "t"},
            r"maps source to 's\+'; expected the name",
        ),
        (
            {"source": "s", "target": "a,+b"},
            r"maps target to 'a,\+b'; expected the name",
        ),
        (
            {"source": "s", "target": "t", "id": " "},
            "maps id to ' '; expected the name",
        ),
    ],
)
def test_an_invalid_mapping_is_an_error(columns, message):
    with pytest.raises(errors.ConfigError, match=message):
        Columns.from_mapping(columns)


def test_a_row_becomes_an_example():
    columns = Columns("s", ("t", "u"))
    row = {"s": ["a ", "b"], "t": b"caf\xc3\xa9", "u": ["", "c", "d"], "other": 1}
    assert columns.to_example(row, "f:1") == Example("f:1", "a  b", ("café", "c", "d"))


def test_columns_are_joined_by_a_plus():
    columns = Columns.from_mapping({"source": "a + b", "target": "c+d, b"})
    assert columns == Columns("a+b", ("c+d", "b"))
    assert columns.names == ("a", "b", "c", "d")
    row = {"a": " x", "b": b"y ", "c": ["", "z", " ", "z"], "d": None}
    assert columns.to_example(row, "f:1") == Example("f:1", "x y", ("z z", "y "))


def test_an_id_is_one_column_whatever_its_name():
    columns = Columns.from_mapping({"source": "a", "target": "b", "id": "a+"})
    assert columns.names == ("a", "b", "a+")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": " ", "b": "", "c": "x"}, "column 'a\\+b' is empty; the source"),
        ({"a": "x", "b": None, "c": []}, "column 'c' and column 'a2' is empty"),
        ({"a": "x", "c": "y"}, "no column 'b'; found: 'a2', 'a', 'c'"),
        ({"a": "x", "b": 3, "c": "y"}, "column 'b' holds '3' of type int"),
    ],
)
def test_joined_columns_without_a_text_are_a_bad_row(row, message):
    columns = Columns.from_mapping({"source": "a+b", "target": "c, a2"})
    with pytest.raises(table.BadRow, match=message):
        columns.to_example({"a2": None, **row}, "unused")


@pytest.mark.parametrize("value", [True, None, " ", [], ["a", "b"], {"a": 1}])
def test_an_id_is_a_text_or_a_number(value):
    columns = Columns("s", ("t",), "n")
    with pytest.raises(
        table.BadRow,
        match=r"'n' gives the id and holds .*; expected a text or a number",
    ):
        columns.to_example({"s": "a", "t": "b", "n": value}, "unused")


def test_many_columns_are_listed_in_part():
    message = no_such_column("x", [f"column{i}" for i in range(50)])
    assert "'column19' and 30 more." in message
    assert "column20" not in message
