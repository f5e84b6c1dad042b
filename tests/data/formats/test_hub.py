"""Datasets of the hub: the calls of the library, and examples from its answer."""

import sys
import types

import pytest

from bertgen_jax import errors
from bertgen_jax.data.examples import open_examples

COLUMNS = {"source": "document", "target": "summary"}


class FakeDataset:
    """The part of `datasets.Dataset` that the documentation promises and we use."""

    def __init__(self, columns, cache_files=()):
        self._columns = columns
        self.column_names = list(columns)
        self.cache_files = [{"filename": str(path)} for path in cache_files]

    def select_columns(self, names):
        return FakeDataset({name: self._columns[name] for name in names})

    def __len__(self):
        return len(self._columns[self.column_names[0]])

    def __getitem__(self, row):
        return {name: values[row] for name, values in self._columns.items()}


@pytest.fixture
def hub(monkeypatch):
    """A `datasets` module that notes calls and answers with `hub.answer`."""
    fake = types.ModuleType("datasets")
    fake.calls = []
    fake.answer = FakeDataset(
        {"document": ["one", "two"], "summary": ["1", "2"], "number": [7, 8]}
    )

    def load_dataset(path, name=None, *, split, revision):
        fake.calls.append((path, name, revision, split))
        if isinstance(fake.answer, Exception):
            raise fake.answer
        return fake.answer

    fake.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


@pytest.mark.parametrize(
    ("location", "call"),
    [
        ("hf:xsum", ("xsum", None, None, "train")),
        ("hf:EdinburghNLP/xsum#test", ("EdinburghNLP/xsum", None, None, "test")),
        ("hf:a/b:c@d#train[:10%]", ("a/b", "c", "d", "train[:10%]")),
        ("hf:a/b@refs/convert/parquet", ("a/b", None, "refs/convert/parquet", "train")),
        ("hf:a/b:3.0.0#x", ("a/b", "3.0.0", None, "x")),
    ],
)
def test_a_location_names_config_revision_and_split(location, call, hub):
    open_examples(location, COLUMNS)
    assert hub.calls == [call]


@pytest.mark.parametrize("location", ["hf:", "hf:#train", "hf:a#", "hf:a:@b"])
def test_a_misspelt_location_is_an_error(location, hub):
    with pytest.raises(errors.ConfigError, match=r"hf:NAME\[:CONFIG\]\[@REVISION\]"):
        open_examples(location, COLUMNS)
    assert not hub.calls


def test_rows_are_examples(hub):
    examples = open_examples("hf:a/b#test", {**COLUMNS, "id": "number"})
    assert [(row.id, row.source, *row.references) for row in examples] == [
        ("7", "one", "1"),
        ("8", "two", "2"),
    ]
    joined = open_examples(
        "hf:a/b", {"source": "summary+document", "target": "document"}
    )
    assert [row.source for row in joined] == ["1 one", "2 two"]
    numbered = open_examples("hf:a/b#test", COLUMNS)
    assert [row.id for row in numbered] == ["hf:a/b#test:1", "hf:a/b#test:2"]


def test_the_texts_decide_the_fingerprint(hub):
    first = open_examples("hf:a/b", COLUMNS).fingerprint
    assert open_examples("hf:other/name", COLUMNS).fingerprint == first
    hub.answer = FakeDataset({"document": ["one", "2"], "summary": ["1", "2"]})
    assert open_examples("hf:a/b", COLUMNS).fingerprint != first


def test_the_index_is_cached_by_the_files_of_the_dataset(hub, tmp_path):
    arrow = tmp_path / "data.arrow"
    arrow.write_bytes(b"arrow")
    columns = {"document": ["one"], "summary": ["1"]}
    hub.answer = FakeDataset(columns, [arrow])
    assert len(open_examples("hf:a/b", COLUMNS)) == 1
    columns["document"][0] = ""
    assert len(open_examples("hf:a/b", COLUMNS)) == 1
    arrow.write_bytes(b"changed")
    with pytest.raises(
        errors.DataError, match="hf:a/b, row 1: column 'document' is emp"
    ):
        open_examples("hf:a/b", COLUMNS)


def test_a_missing_column_is_an_error_that_lists_the_others(hub):
    with pytest.raises(
        errors.DataError, match=r"found: 'document', 'summary', 'number'"
    ):
        open_examples("hf:a/b", {**COLUMNS, "source": "dokument"})


def test_errors_of_the_library_are_reported(hub, monkeypatch):
    hub.answer = ValueError("Unknown split 'x'. Should be one of ['train'].")
    with pytest.raises(
        errors.DataError, match=r"hf:a/b#x cannot be loaded: Unknown split 'x'"
    ):
        open_examples("hf:a/b#x", COLUMNS)
    hub.answer = ConnectionError("Couldn't reach the Hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        errors.DataError, match="loaded with HF_HUB_OFFLINE=1: Couldn't reach"
    ):
        open_examples("hf:a/b", COLUMNS)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        errors.DataError, match=r"pip install 'bertgen_jax\[datasets\]'"
    ):
        open_examples("hf:EdinburghNLP/xsum", COLUMNS)


def test_a_real_dataset_from_local_files(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="the [datasets] extra is not installed")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"document": ["a", "b"], "summary": "c"}\n')
    (folder / "test.jsonl").write_text('{"document": ["d"], "summary": "e"}\n')
    for _ in range(2):
        (row,) = open_examples(f"hf:{folder}#test", COLUMNS)
        assert (row.source, row.references) == ("d", ("e",))
    with pytest.raises(errors.DataError, match="Unknown split"):
        open_examples(f"hf:{folder}#dev", COLUMNS)
