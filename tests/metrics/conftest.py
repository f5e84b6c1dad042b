"""Fixtures that read the shared real data and its expected scores."""

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


@pytest.fixture
def simplification(read_rows, read_json):
    """Reads sources, references and fourteen systems of ASSET or TurkCorpus.

    A system is a tuple of its name, its outputs and their scores.
    """

    def read(corpus):
        rows = read_rows(f"{corpus}/test.jsonl.gz")
        golden = read_json(f"{corpus}/golden.json")
        (key,) = (
            key
            for key in golden
            if key.startswith("computed") and key != "computed legacy"
        )
        systems = [
            (row["system"], row["outputs"], golden[key][row["system"]])
            for row in read_rows("asset/test.outputs.jsonl.gz")
        ]
        assert len(systems) == len(golden[key]) == 14
        return [row["orig"] for row in rows], [row["refs"] for row in rows], systems

    return read


@pytest.fixture
def published_on_asset(read_json):
    """The [BLEU, SARI] that EASSE printed for each system."""
    golden = read_json("asset/golden.json")
    return golden["published (EASSE numbers on ASSET test: [BLEU, SARI])"]
