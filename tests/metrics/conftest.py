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


@pytest.fixture
def simplification(read_rows, read_json):
    """Fourteen systems on ASSET or TurkCorpus: sources, references, systems.

    A system is its name, its outputs, and what they score.
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
            (one["system"], one["outputs"], golden[key][one["system"]])
            for one in read_rows("asset/test.outputs.jsonl.gz")
        ]
        assert len(systems) == len(golden[key]) == 14
        return [one["orig"] for one in rows], [one["refs"] for one in rows], systems

    return read


@pytest.fixture
def published_on_asset(read_json):
    """BLEU and SARI that EASSE printed, by system."""
    golden = read_json("asset/golden.json")
    return golden["published (EASSE numbers on ASSET test: [BLEU, SARI])"]
