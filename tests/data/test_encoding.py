"""Tokenized corpora: special ids, lengths, the cache and its damages."""

import dataclasses
import io
import json
import logging
import os
import shutil
import threading
import time
import types
from concurrent import futures

import numpy as np
import pytest

from bertgen_jax import errors
from bertgen_jax.data import encoding
from bertgen_jax.data.columns import Example

PAD, BOS, EOS, UNK = 0, 2, 1, 3


class Corpus:
    """Examples in memory."""

    def __init__(self, pairs):
        self._pairs = list(pairs)
        self.fingerprint = str(hash(tuple(self._pairs)))

    def __len__(self):
        return len(self._pairs)

    def __getitem__(self, index):
        source, *references = self._pairs[index]
        return Example(str(index), source, tuple(references))


class Letters:
    """A tokenizer with one piece a letter, from id 4, that counts its calls."""

    def __init__(self, vocab_size=100):
        self.vocab_size = vocab_size
        self.fingerprint = f"letters {vocab_size}"
        self.source_prefix = self.source_suffix = ()
        self.special_ids = types.SimpleNamespace(pad=PAD, bos=BOS, eos=EOS, unk=UNK)
        self.calls = 0

    def encode_batch(self, texts):
        self.calls += 1
        return [
            [ord(c) - ord("a") + 4 if c.isalpha() else UNK for c in text]
            for text in texts
        ]


CORPUS = Corpus([("abcdef", "ab", "other"), ("a?", "abc"), ("b", "")])
SPEC = encoding.EncodingSpec(max_source_tokens=4, max_target_tokens=3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTGEN_CACHE_DIR", str(tmp_path))
    return tmp_path / "encoded"


def sequences(encoded):
    return [
        (encoded.source(i).tolist(), encoded.target(i).tolist())
        for i in range(len(encoded))
    ]


def test_sources_are_cut_and_targets_are_cut_after_their_end_symbol():
    encoded = encoding.encode(CORPUS, Letters(), SPEC)
    assert sequences(encoded) == [
        ([4, 5, 6, 7], [4, 5, EOS]),
        ([4, UNK], [4, 5, 6]),  # too long with its end symbol, which is lost
        ([5], [EOS]),
    ]
    assert encoded.source(0).dtype == encoded.target(0).dtype == np.int32
    np.testing.assert_array_equal(encoded.source_lengths, [4, 2, 1])
    np.testing.assert_array_equal(encoded.target_lengths, [3, 3, 1])
    assert encoded.source_lengths.dtype == encoded.target_lengths.dtype == np.int32


def test_special_ids_around_a_source_survive_the_cut():
    tokenizer = Letters()
    tokenizer.source_prefix, tokenizer.source_suffix = (2,), (1,)
    encoded = encoding.encode(CORPUS, tokenizer, SPEC)
    sources = [source for source, _ in sequences(encoded)]
    assert sources == [[2, 4, 5, 1], [2, 4, UNK, 1], [2, 5, 1]]
    assert encoded.report.longest_source == 8
    assert encoded.report.source_truncated == 1


def test_targets_may_have_their_own_tokenizer():
    target = Letters()
    target.fingerprint = "capitals"
    target.encode_batch = lambda texts: [[50 + len(text)] for text in texts]
    target.special_ids = types.SimpleNamespace(eos=60, unk=61)
    encoded = encoding.encode(CORPUS, Letters(), SPEC, target=target)
    plain = encoding.encode(CORPUS, Letters(), SPEC)
    assert [source for source, _ in sequences(encoded)] == [
        source for source, _ in sequences(plain)
    ]
    assert [ids for _, ids in sequences(encoded)] == [[52, 60], [53, 60], [50, 60]]
    assert encoded.fingerprint != plain.fingerprint


def test_the_report_counts_tokens_before_the_cut():
    report = encoding.encode(CORPUS, Letters(), SPEC).report
    assert report == encoding.EncodingReport(
        examples=3,
        source_tokens=6 + 2 + 1,
        target_tokens=3 + 4 + 1,
        longest_source=6,
        longest_target=4,
        max_source_tokens=4,
        max_target_tokens=3,
        source_truncated=1,
        target_truncated=1,
        unknown_share=1 / 17,
    )
    assert str(report) == (
        "3 examples: sources 3.0 tokens on average, 6 at most, 1 cut to 4; targets 2.7 "
        "tokens on average, 4 at most, 1 cut to 3; 5.88% of the tokens are unknown."
    )


def test_an_end_symbol_is_not_unknown_even_if_both_share_an_id():
    tokenizer = Letters()
    tokenizer.special_ids.unk = tokenizer.special_ids.eos = UNK  # as GPT-2 has it
    report = encoding.encode(CORPUS, tokenizer, SPEC).report
    assert report.unknown_share == 1 / 17


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


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.int32)]
)
def test_tokens_take_two_bytes_if_the_vocabulary_allows(vocab_size, dtype):
    tokenizer = Letters(vocab_size)
    tokenizer.special_ids.eos = vocab_size - 1
    encoded = encoding.encode(CORPUS, tokenizer, SPEC)
    assert encoded.tokens.dtype == dtype
    assert encoded.target(2).tolist() == [vocab_size - 1]


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


def test_a_corpus_without_examples_is_an_error():
    with pytest.raises(errors.DataError, match="no examples"):
        encoding.encode(Corpus([]), Letters(), SPEC)


def test_an_id_beyond_the_vocabulary_is_an_error():
    with pytest.raises(errors.TokenizerError, match=r"id 9 .* ends at 8"):
        encoding.encode(
            CORPUS,
            Letters(vocab_size=9),
            dataclasses.replace(SPEC, max_source_tokens=6),
        )


def test_lengths_too_small_for_a_text_are_errors():
    tokenizer = Letters()
    tokenizer.source_prefix, tokenizer.source_suffix = (2,), (1,)
    with pytest.raises(errors.ConfigError, match="max_source_tokens is 2"):
        encoding.encode(CORPUS, tokenizer, encoding.EncodingSpec(2, 8))
    with pytest.raises(errors.ConfigError, match="max_target_tokens is 0"):
        encoding.EncodingSpec(8, 0)
