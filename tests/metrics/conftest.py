"""Readers of the shared real data and of the scores that it should get."""

import gzip
import json

import pytest


@pytest.fixture
def read_lines(data_dir):
    """Lines of a compressed text file."""

    def read(name):
        with gzip.open(data_dir / name, "rt", encoding="utf-8", newline="\n") as file:
            return file.read().removesuffix("\n").split("\n")

    return read


@pytest.fixture
def read_rows(read_lines):
    """Objects of a compressed file of JSON lines."""
    return lambda name: [json.loads(line) for line in read_lines(name)]


@pytest.fixture
def read_json(data_dir):
    return lambda name: json.loads((data_dir / name).read_text(encoding="utf-8"))


@pytest.fixture
def cases(read_json):
    """The small cases of metric_cases."""
    return read_json("metric_cases/cases.json")
