"""The cache of tokenized corpora: its parts, several hosts, and its damages."""

import dataclasses
import io
import json
import logging
import os
import shutil
import threading
import time
from concurrent import futures

import numpy as np
import pytest

from bertgen_jax.data import encoding
from tests.data.test_encoding import CORPUS, SPEC, Corpus, Letters, sequences


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path))
    return tmp_path / "encoded"


REPEATED = Corpus([("abcdef", "ab"), ("a?", "abc"), ("b", "")] * 4)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(encoding, "_PART", 5)


def files_of(cache, encoded):
    """Returns the files of an entry, and checks that nothing else is left."""
    assert [entry.name for entry in cache.iterdir()] == [encoded.fingerprint]
    entry = cache / encoded.fingerprint
    return {file.name: file.read_bytes() for file in entry.iterdir()}


def test_a_corpus_of_several_parts_is_encoded_in_order(small_parts, cache):
    whole = sequences(encoding.encode(CORPUS, Letters(), SPEC))
    shutil.rmtree(cache)
    tokenizer, seen = Letters(), []
    encoded = encoding.encode(
        REPEATED, tokenizer, SPEC, progress=lambda *counts: seen.append(counts)
    )
    assert sequences(encoded) == whole * 4
    assert seen == [(5, 12), (10, 12), (12, 12)]
    assert tokenizer.calls == 6  # sources and targets of each part
    assert encoded.report.source_truncated == 4
    assert set(files_of(cache, encoded)) == {"tokens.bin", "offsets.npy", "report.json"}


def test_parts_do_not_change_a_byte(monkeypatch, cache):
    files = []
    for size in (1, 5, 12, 100):
        monkeypatch.setattr(encoding, "_PART", size)
        files.append(files_of(cache, encoding.encode(REPEATED, Letters(), SPEC)))
        shutil.rmtree(cache)
    assert files[1:] == files[:-1]
    saved = io.BytesIO()
    np.save(saved, np.load(io.BytesIO(files[0]["offsets.npy"])))
    assert files[0]["offsets.npy"] == saved.getvalue()


class Killed(Letters):
    """A tokenizer whose process is killed during the second part."""

    def encode_batch(self, texts):
        if self.calls == 2:
            raise KeyboardInterrupt
        return super().encode_batch(texts)


def test_a_killed_encoding_goes_on_where_it_stopped(small_parts, cache, caplog):
    expected = files_of(cache, encoding.encode(REPEATED, Letters(), SPEC))
    shutil.rmtree(cache)
    with pytest.raises(KeyboardInterrupt):
        encoding.encode(REPEATED, Killed(), SPEC)
    (parts,) = cache.iterdir()
    (parts / "0000001.npz.5f7e.tmp").write_bytes(b"PK")  # SIGKILL leaves such a file
    tokenizer, seen = Letters(), []
    with caplog.at_level(logging.INFO):
        encoded = encoding.encode(
            REPEATED, tokenizer, SPEC, lambda *counts: seen.append(counts)
        )
    assert tokenizer.calls == 4
    assert seen == [(10, 12), (12, 12)]
    assert "5 of 12 examples were tokenized before" in caplog.text
    assert files_of(cache, encoded) == expected


@pytest.mark.parametrize("content", [b"", b"PK", None])
def test_a_damaged_part_is_made_again_with_a_warning(
    content, small_parts, cache, caplog
):
    expected = files_of(cache, encoding.encode(REPEATED, Letters(), SPEC))
    shutil.rmtree(cache)
    with pytest.raises(KeyboardInterrupt):
        encoding.encode(REPEATED, Killed(), SPEC)
    ((part,),) = [list(parts.iterdir()) for parts in cache.iterdir()]
    saved = part.read_bytes()
    middle = len(saved) // 2
    damaged = saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :]
    part.write_bytes(damaged if content is None else content)
    encoded = encoding.encode(REPEATED, Letters(), SPEC)
    assert files_of(cache, encoded) == expected
    assert f"{part} is damaged" in caplog.text


def test_a_host_begins_with_its_own_parts(monkeypatch):
    monkeypatch.setattr(encoding, "_PART", 1)
    corpus = Corpus([(letter, letter) for letter in "abcdefg"])

    class Recorder(Letters):
        def encode_batch(self, texts):
            seen.extend(texts)
            return super().encode_batch(texts)

    for host, order in enumerate(["aceg" + "fdb", "bdf" + "geca"]):
        seen: list[str] = []
        tokenizer = Recorder(100 + host)
        encoding.encode(corpus, tokenizer, SPEC, share=encoding.Share(host, 2))
        assert "".join(seen[::2]) == order


def test_hosts_with_a_common_cache_divide_the_work(small_parts, cache):
    """Host 1 starts while host 0 is at its second part."""
    expected = files_of(cache, encoding.encode(REPEATED, Letters(), SPEC))
    shutil.rmtree(cache)
    later = Letters()
    pool = futures.ThreadPoolExecutor(1)
    results = []

    class First(Letters):
        def encode_batch(self, texts):
            if self.calls == 2:
                share = encoding.Share(1, 2)
                result = pool.submit(
                    encoding.encode, REPEATED, later, SPEC, share=share
                )
                results.append(result)
                while later.calls < 2:
                    time.sleep(0.001)
            return super().encode_batch(texts)

    first = First()
    encoded = encoding.encode(REPEATED, first, SPEC, share=encoding.Share(0, 2))
    assert sequences(results[0].result()) == sequences(encoded)
    assert first.calls + later.calls < 2 * 3 * 2  # less than everything twice
    assert files_of(cache, encoded) == expected


def test_a_host_that_writes_a_part_while_another_finishes_takes_its_result(
    small_parts, monkeypatch, cache
):
    """The other one removes the folder that the part is written to."""
    fsync, results = os.fsync, []

    def finish_elsewhere(number):
        fsync(number)
        if not results:  # not again for the parts of the other one
            results.append(None)
            results[0] = encoding.encode(REPEATED, Letters(), SPEC)

    monkeypatch.setattr(os, "fsync", finish_elsewhere)
    tokenizer = Letters()
    encoded = encoding.encode(REPEATED, tokenizer, SPEC, share=encoding.Share(1, 2))
    assert tokenizer.calls == 2  # sources and targets of one part
    assert sequences(encoded) == sequences(results[0])
    assert [path.name for path in cache.iterdir()] == [encoded.fingerprint]


def test_a_host_whose_peer_never_joins_the_parts_does_it(
    small_parts, monkeypatch, cache
):
    monkeypatch.setattr(encoding, "_WAIT_S", 0.01)
    expected = files_of(cache, encoding.encode(REPEATED, Letters(), SPEC))
    shutil.rmtree(cache)

    class Helped(Letters):
        """Another host makes the first part meanwhile, and is lost."""

        def encode_batch(self, texts):
            if not self.calls:
                with pytest.raises(KeyboardInterrupt):
                    encoding.encode(REPEATED, Killed(), SPEC)
            return super().encode_batch(texts)

    tokenizer = Helped()
    encoded = encoding.encode(REPEATED, tokenizer, SPEC, share=encoding.Share(1, 2))
    assert tokenizer.calls == 4
    assert files_of(cache, encoded) == expected


def test_the_second_time_comes_from_the_cache():
    tokenizer, seen = Letters(), []
    first = encoding.encode(CORPUS, tokenizer, SPEC)
    calls = tokenizer.calls
    second = encoding.encode(CORPUS, tokenizer, SPEC, lambda *_: seen.append(1))
    assert tokenizer.calls == calls
    assert not seen
    assert sequences(second) == sequences(first)
    assert second.report == first.report
    assert second.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("corpus", "tokenizer", "spec"),
    [
        (Corpus([("abcdef", "ac")]), Letters(), SPEC),
        (CORPUS, Letters(vocab_size=101), SPEC),
        (CORPUS, Letters(), dataclasses.replace(SPEC, max_source_tokens=5)),
    ],
    ids=["data", "tokenizer", "length"],
)
def test_data_tokenizer_and_lengths_decide_the_fingerprint(corpus, tokenizer, spec):
    first = encoding.encode(CORPUS, Letters(), SPEC)
    other = encoding.encode(corpus, tokenizer, spec)
    assert other.fingerprint != first.fingerprint
    assert tokenizer.calls


def cut_tokens(entry):
    path = entry / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])


def empty_offsets(entry):
    (entry / "offsets.npy").write_bytes(b"")


def reversed_offsets(entry):
    path = entry / "offsets.npy"
    offsets = np.load(path)
    offsets[[1, 2]] = offsets[[2, 1]]
    np.save(path, offsets)


def other_report(entry):
    path = entry / "report.json"
    saved = json.loads(path.read_text())
    saved["report"]["examples"] += 1
    path.write_text(json.dumps(saved))


@pytest.mark.parametrize(
    "damage",
    [
        cut_tokens,
        empty_offsets,
        reversed_offsets,
        other_report,
        lambda entry: (entry / "tokens.bin").unlink(),
        lambda entry: (entry / "report.json").write_text('{"report": {}}'),
        lambda entry: (entry / "report.json").write_text("[]"),
        lambda entry: (entry / "report.json").write_text("{"),
    ],
)
def test_a_damaged_entry_is_made_again_with_a_warning(damage, cache, caplog):
    first = sequences(encoding.encode(CORPUS, Letters(), SPEC))
    (entry,) = cache.iterdir()
    damage(entry)
    tokenizer = Letters()
    with caplog.at_level(logging.WARNING):
        assert sequences(encoding.encode(CORPUS, tokenizer, SPEC)) == first
    assert tokenizer.calls
    assert "damaged" in caplog.text
    again = Letters()
    encoding.encode(CORPUS, again, SPEC)
    assert not again.calls


def test_an_encoding_that_completes_no_part_leaves_nothing_behind(cache):
    class Interrupted(Letters):
        def encode_batch(self, texts):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoding.encode(CORPUS, Interrupted(), SPEC)
    assert not list(cache.iterdir())


def test_the_remains_of_a_killed_encoding_are_ignored(cache):
    # SIGKILL leaves the hidden folder with any content.
    (cache / ".k1ll3d").mkdir(parents=True)
    tokenizer = Letters()
    assert len(encoding.encode(CORPUS, tokenizer, SPEC)) == 3
    assert tokenizer.calls


def test_concurrent_encodings_all_get_the_corpus(cache):
    everyone_builds = threading.Barrier(4)

    class Racing(Letters):
        def encode_batch(self, texts):
            if not self.calls:
                everyone_builds.wait(timeout=30)
            return super().encode_batch(texts)

    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(encoding.encode(CORPUS, Racing(), SPEC))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sequences(encoding.encode(CORPUS, Letters(), SPEC))
    assert [sequences(result) for result in results] == [expected] * 4
    assert [entry.name for entry in cache.iterdir()] == [results[0].fingerprint]
