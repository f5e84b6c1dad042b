"""Several processes tokenize a corpus as one does, and their failures are reported."""

import os
import pickle
import signal
import sys
import types

import pytest

from bertgen_jax import errors
from bertgen_jax.data import encoding, tokenizing_workers
from bertgen_jax.data import examples as examples_lib
from bertgen_jax.data.tokenizing import EncodingSpec, ExampleEncoder, TokenizedRange
from bertgen_jax.data.tokenizing_workers import Part
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

SPEC = EncodingSpec(16, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz.,"
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *letters,
        *("##" + c for c in letters),
    ]
    return WordPieceTokenizer({piece: row for row, piece in enumerate(pieces)})


@pytest.fixture
def processes(monkeypatch):
    """Returns the list of the processes that are started."""
    started = []
    popen = tokenizing_workers.subprocess.Popen
    monkeypatch.setattr(
        tokenizing_workers.subprocess,
        "Popen",
        lambda *args, **named: started.append(popen(*args, **named)) or started[-1],
    )
    return started


def demo():
    columns = {"source": "source", "target": "references"}
    return examples_lib.open_examples("demo:splits/train", columns)


def encoder_of(examples, tokenizer):
    return ExampleEncoder(examples, tokenizer, tokenizer, SPEC)


def parts_in(folder, count, size=10):
    return [
        Part(begin, begin + size, folder / f"{begin}.npz")
        for begin in range(0, count * size, size)
    ]


def test_an_entry_does_not_depend_on_the_number_of_processes(
    tokenizer, processes, cache, monkeypatch
):
    monkeypatch.setattr(encoding, "_PART", 16)
    entries = []
    for workers in (1, 2, 3):
        encoded = encoding.encode(demo(), tokenizer, SPEC, workers=workers)
        files = sorted((cache / "encoded" / encoded.fingerprint).iterdir())
        entries.append([(file.name, file.read_bytes()) for file in files])
        for file in files:
            file.unlink()
        files[0].parent.rmdir()
    assert entries[0] == entries[1] == entries[2]
    assert len(processes) == 2 + 3


def test_a_small_corpus_starts_no_process(tokenizer, processes):
    encoding.encode(demo(), tokenizer, SPEC, workers=0)
    assert not processes


def test_parts_are_complete_when_they_are_yielded(tokenizer, tmp_path):
    encoder = encoder_of(demo(), tokenizer)
    parts = parts_in(tmp_path, 7)
    seen = []
    for part in tokenizing_workers.write_parts(encoder, iter(parts), 2):
        expected = encoder.encode(part.begin, part.end)
        assert (TokenizedRange.load(part.path).tokens == expected.tokens).all()
        seen.append(part)
    assert sorted(seen) == parts


def test_processes_end_with_the_generator(tokenizer, processes, tmp_path):
    parts = iter(parts_in(tmp_path, 7))
    done = tokenizing_workers.write_parts(encoder_of(demo(), tokenizer), parts, 2)
    next(done)
    done.close()
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)


def test_an_error_in_a_process_is_raised_here(tokenizer, processes, tmp_path):
    file = tmp_path / "rows.tsv"
    file.write_text("a\tb\n" * 70)
    examples = examples_lib.open_examples(str(file), {"source": "0", "target": "1"})
    file.write_text("changed\tbehind our back\n" * 70)
    parts = iter(parts_in(tmp_path, 7))
    with pytest.raises(errors.DataError, match="was changed while it was in use"):
        list(tokenizing_workers.write_parts(encoder_of(examples, tokenizer), parts, 2))
    assert len(processes) == 2


def test_a_killed_process_is_an_error(tokenizer, processes, tmp_path):
    parts = iter(parts_in(tmp_path, 20))
    done = tokenizing_workers.write_parts(encoder_of(demo(), tokenizer), parts, 2)
    next(done)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(errors.DataError, match=r"ended by SIGKILL.*data\.workers"):
        list(done)


class Listed(list):
    """A user's own corpus."""

    fingerprint = "listed"


def test_what_cannot_be_pickled_is_tokenized_here(
    tokenizer, processes, tmp_path, caplog
):
    examples = Listed(demo()[index] for index in range(30))
    examples.opened = open(os.devnull)  # noqa: SIM115 it cannot be pickled
    encoder = encoder_of(examples, tokenizer)
    parts = parts_in(tmp_path, 3)
    assert list(tokenizing_workers.write_parts(encoder, iter(parts), 2)) == parts
    examples.opened.close()
    assert not processes
    assert "Tokenizing in one process: cannot pickle" in caplog.text


@pytest.mark.slow
def test_what_another_process_cannot_load_is_tokenized_here(
    tokenizer, processes, tmp_path, caplog, monkeypatch
):
    module = types.ModuleType("notebook_cell")
    module.Mine = type("Mine", (Listed,), {"__module__": "notebook_cell"})
    monkeypatch.setitem(sys.modules, "notebook_cell", module)
    examples = module.Mine(demo()[index] for index in range(30))
    parts = parts_in(tmp_path, 3)
    encoder = encoder_of(examples, tokenizer)
    assert list(tokenizing_workers.write_parts(encoder, iter(parts), 2)) == parts
    assert "another process cannot load it: No module named" in caplog.text
    assert all(process.returncode is not None for process in processes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.tsv", "s\tt\na\tb\nc\td\n"),
        ("x.csv", 's,t\na,b\n"c",d\n'),
        ("x.jsonl", '{"s": "a", "t": "b"}\n{"s": "c", "t": "d"}\n'),
        ("x.parquet", None),
    ],
)
def test_opened_files_are_pickled_by_their_names(name, content, tmp_path):
    file = tmp_path / name
    if content is None:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table({"s": ["a", "c"], "t": ["b", "d"]})
        parquet.write_table(table, file)
    else:
        file.write_text(content)
    examples = examples_lib.open_examples(str(file), {"source": "s", "target": "t"})
    data = pickle.dumps(examples_lib.first(examples, 1))
    copy = pickle.loads(data)
    assert copy[0] == examples[0]
    assert copy.fingerprint == examples_lib.first(examples, 1).fingerprint
    assert pickle.loads(pickle.dumps(examples))[1] == examples[1]


def test_the_index_of_a_file_is_mapped_and_not_copied(tmp_path):
    file = tmp_path / "rows.tsv"
    file.write_text("a\tb\n" * 10_000)
    examples = examples_lib.open_examples(str(file), {"source": "0", "target": "1"})
    assert len(pickle.dumps(examples)) < 10_000
