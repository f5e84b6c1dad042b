"""Tokenizes a corpus once, into files of token ids that are cut to length.

The entry in the cache is named after everything that decides its content, so another
text, tokenizer or length makes another entry:

    CACHE/encoded/KEY/tokens.bin    source, target, source, target, ... without gaps
                      offsets.npy   i64[2N+1], where each of them begins
                      report.json   the dtype of the tokens and the `EncodingReport`

The entry is joined from parts of a few thousand examples, each a file:

    CACHE/encoded/.KEY-4096/0000012.npz

Whoever makes the entry makes the parts that are missing. So a killed process is
continued where it stopped, and several hosts with a common cache share the work.
"""

import contextlib
import dataclasses
import functools
import logging
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import cache, tokenizing_workers
from bertgen_jax.data.tokenizing import (
    Corpus,
    EncodingSpec,
    ExampleEncoder,
    TokenizedRange,
    Tokenizer,
)
from bertgen_jax.data.tokenizing_workers import Part
from bertgen_jax.files import json_files

_FORMAT = 2  # part of the key: raise it when the files or the cutting change
_PART = 4096  # examples in a part, half a megabyte of sentences
_PARTS_A_WORKER = 4  # starting a process for fewer would take longer than it saves
_WAIT_S = 120  # for the host that joins the parts; then this one does it
_POLL_S = 0.1
_CHECKED = 1 << 20  # offsets checked at once

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EncodingReport:
    """The length of a corpus in tokens, and how much of it was cut.

    Tokens are counted before the cut, with special ids.
    """

    examples: int
    source_tokens: int
    target_tokens: int
    longest_source: int  # tokens
    longest_target: int  # tokens
    max_source_tokens: int
    max_target_tokens: int
    source_truncated: int  # examples
    target_truncated: int  # examples
    unknown_share: float  # of all tokens

    def __str__(self) -> str:
        """Returns a paragraph for the log."""

        def side(tokens: int, longest: int, truncated: int, limit: int) -> str:
            return (
                f"{tokens / self.examples:,.1f} tokens on average, {longest:,} at "
                f"most, {truncated:,} cut to {limit:,}"
            )

        source = side(
            self.source_tokens,
            self.longest_source,
            self.source_truncated,
            self.max_source_tokens,
        )
        target = side(
            self.target_tokens,
            self.longest_target,
            self.target_truncated,
            self.max_target_tokens,
        )
        return (
            f"{self.examples:,} examples: sources {source}; targets {target}; "
            f"{self.unknown_share:.2%} of the tokens are unknown."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedExamples:
    """The token ids of a corpus, by the index of the example.

    Attributes:
      tokens: u16 or i32[sum of lengths], all sequences without gaps.
      offsets: i64[2N+1]; source i is `tokens[offsets[2i]:offsets[2i+1]]`, and its
        target continues to `offsets[2i+2]`. Both arrays are mapped from disk.
      report: what was encoded and what was cut.
      fingerprint: digest of data, tokenizer and spec.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    report: EncodingReport
    fingerprint: str

    def __len__(self) -> int:
        return self.report.examples

    @functools.cached_property
    def source_lengths(self) -> np.ndarray:
        """The number of tokens of each source, i32[N]."""
        return (self.offsets[1::2] - self.offsets[:-1:2]).astype(np.int32)

    @functools.cached_property
    def target_lengths(self) -> np.ndarray:
        """The number of tokens of each target, end symbol included, i32[N]."""
        return (self.offsets[2::2] - self.offsets[1::2]).astype(np.int32)

    def source(self, index: int) -> np.ndarray:
        """Returns the ids of one source, i32[its length]."""
        return self._sequence(2 * index)

    def target(self, index: int) -> np.ndarray:
        """Returns the ids of the first reference and the end symbol, i32[length]."""
        return self._sequence(2 * index + 1)

    def _sequence(self, number: int) -> np.ndarray:
        begin, end = self.offsets[number : number + 2]
        return self.tokens[begin:end].astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of the work that a host does first.

    Attributes:
      host: the number of this host, from 0.
      hosts: how many hosts tokenize the corpus at the same time.
    """

    host: int = 0
    hosts: int = 1


def encode(
    examples: Corpus,
    tokenizer: Tokenizer,
    spec: EncodingSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    target: Tokenizer | None = None,
    workers: int = 1,
    share: Share = Share(),
) -> EncodedExamples:
    """Tokenizes a corpus, or opens the result of an earlier call from the cache.

    The ids do not depend on `workers` and `share`. With several hosts, each one begins
    with every `share.hosts`-th part, then makes what is still missing in its cache. In
    a cache that all of them see, the work is divided; with a cache of its own, each
    host tokenizes the whole corpus.

    Args:
      examples: the corpus; the first reference of an example is its target.
      tokenizer: makes the ids; sources get its prefix and suffix.
      spec: the lengths to cut to.
      progress: called with (examples done, examples in all) after each part; not called
        for a corpus in the cache.
      target: makes the ids of targets, if they have another vocabulary.
      workers: the number of processes that tokenize a large corpus; 0 for one on each
        core. A small corpus is tokenized in this process.
      share: which host this is, of how many.

    Raises:
      ConfigError: the special ids leave no token for the text of a source.
      DataError: there are no examples, the cache cannot be written, or a process was
        killed.
      TokenizerError: an id is not in the vocabulary.
    """
    if not len(examples):
        raise errors.DataError(
            "The corpus has no examples, so there is nothing to encode. Check the "
            "data files and, with on_bad_row='skip', how many rows were left out."
        )
    encoder = ExampleEncoder(examples, tokenizer, target or tokenizer, spec)
    spec.source_capacity(tokenizer)
    key = [
        _FORMAT,
        examples.fingerprint,
        tokenizer.fingerprint,
        encoder.target.fingerprint,
        dataclasses.asdict(spec),
    ]
    folder = cache.folder_of("encoded", key)
    while (encoded := _cached(folder)) is None:
        _Builder(folder, encoder, share).make(
            workers or tokenizing_workers.number_of_cores(), progress
        )
    return encoded


def _cached(folder: pathlib.Path) -> EncodedExamples | None:
    """Opens an entry of the cache; removes a damaged one and returns None."""
    if not folder.exists():
        return None
    try:
        return _open(folder)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        _log.warning("Encoding again: the cache %s is damaged: %s", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _open(folder: pathlib.Path) -> EncodedExamples:
    """Maps the tokens of an entry and checks that its files fit together."""
    saved = json_files.read_object(folder / "report.json", error=errors.DataError)
    report = EncodingReport(**saved["report"])
    # Plain arrays over the same memory: slices of an np.memmap are much slower.
    offsets = np.asarray(np.load(folder / "offsets.npy", mmap_mode="r"))
    mapped = np.memmap(folder / "tokens.bin", dtype=saved["dtype"], mode="r")
    if offsets.shape != (2 * report.examples + 1,) or any(
        (np.diff(offsets[begin : begin + _CHECKED + 1]) < 0).any()
        for begin in range(0, len(offsets), _CHECKED)
    ):
        raise ValueError(f"offsets.npy does not describe {report.examples} examples")
    if mapped.shape != (offsets[-1],):
        raise ValueError(f"tokens.bin has {mapped.size} of {offsets[-1]} tokens")
    return EncodedExamples(np.asarray(mapped), offsets, report, folder.name)


class _Incomplete(Exception):
    """A part is damaged, or was removed by another process."""


class _Builder:
    """Makes an entry of the cache.

    Args:
      folder: the name of the entry.
      encoder: makes the ids.
      share: which host this is, of how many.
    """

    def __init__(self, folder: pathlib.Path, encoder: ExampleEncoder, share: Share):
        self._folder = folder
        self._encoder = encoder
        self._share = share
        self._total = len(encoder.examples)
        self._parts_folder = folder.with_name(f".{folder.name}-{_PART}")
        self._parts = [
            Part(
                begin,
                min(begin + _PART, self._total),
                self._parts_folder / f"{number:07}.npz",
            )
            for number, begin in enumerate(range(0, self._total, _PART))
        ]
        self._done: set[Part] = set()  # their files are complete
        self._examples_done = 0

    def make(self, workers: int, progress: Callable[[int, int], None] | None) -> None:
        """Makes the parts that are missing, and joins all parts.

        A part that turns out to be damaged is removed. Then there is no entry yet, and
        this method has to be called again.
        """
        try:
            self._parts_folder.mkdir(parents=True, exist_ok=True)
            is_shared = self._make_parts(workers, progress)
            if not (is_shared and self._share.host > 0 and self._was_joined()):
                self._join()
        except OSError as error:
            if self._folder.exists():
                return  # another process has finished the entry, and removed the parts
            raise errors.DataError(
                f"The cache entry {self._folder} cannot be written: {error}. "
                "BERTGEN_CACHE_DIR names another folder for derived files."
            ) from error
        finally:
            if self._folder.exists():
                shutil.rmtree(self._parts_folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._parts_folder.rmdir()  # only if no part is complete

    def _make_parts(
        self, workers: int, progress: Callable[[int, int], None] | None
    ) -> bool:
        """Makes the missing parts; returns whether another host made some meanwhile."""
        for part in self._parts:
            if part.path.exists():
                self._add(part)
        if self._done:
            _log.info(
                "%s of %s examples were tokenized before",
                f"{self._examples_done:,}",
                f"{self._total:,}",
            )
        missing = len(self._parts) - len(self._done)
        most = missing // self._share.hosts // _PARTS_A_WORKER
        made = 0
        with contextlib.closing(
            tokenizing_workers.write_parts(
                self._encoder, self._missing(), max(1, min(workers, most))
            )
        ) as completed:
            for part in completed:
                made += 1
                self._add(part)
                if progress is not None:
                    progress(self._examples_done, self._total)
        return made < missing

    def _missing(self) -> Iterator[Part]:
        """Yields the parts without a file, this host's share first.

        The parts of other hosts come in reverse order, because each host begins with
        its first one.
        """
        host, hosts = self._share.host, self._share.hosts
        own = self._parts[host::hosts]
        others = [n for n in range(len(self._parts)) if n % hosts != host]
        for part in [*own, *(self._parts[n] for n in reversed(others))]:
            if self._folder.exists():
                return  # another process has finished the entry
            if part.path.exists():
                self._add(part)
            elif part not in self._done:
                yield part

    def _add(self, part: Part) -> None:
        if part not in self._done:
            self._done.add(part)
            self._examples_done += part.end - part.begin

    def _was_joined(self) -> bool:
        """Waits a while for another host to join the parts."""
        deadline_s = time.monotonic() + _WAIT_S
        while not self._folder.exists():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def _join(self) -> None:
        """Writes the three files of the entry, one part at a time."""
        if self._folder.exists():
            return
        try:
            with cache.new_entry(self._folder) as building:
                self._write(building)
        except _Incomplete as problem:
            _log.warning("Tokenizing again: %s", problem)

    def _write(self, building: pathlib.Path) -> None:
        offsets = np.lib.format.open_memmap(
            building / "offsets.npy", "w+", np.int64, (2 * self._total + 1,)
        )
        offsets[0] = end = 0
        truncated, sums, longest = np.zeros((3, 2), np.int64)  # of sources, targets
        unknown = 0
        with (building / "tokens.bin").open("wb") as file:
            for part in self._parts:
                tokenized = self._load(part)
                file.write(tokenized.tokens.tobytes())
                ends = end + np.cumsum(tokenized.lengths, dtype=np.int64)
                offsets[2 * part.begin + 1 : 2 * part.end + 1] = ends
                end = ends[-1]
                full = tokenized.full_lengths.reshape(-1, 2)
                truncated += (tokenized.lengths.reshape(-1, 2) < full).sum(0)
                sums += full.sum(0, dtype=np.int64)
                longest = np.maximum(longest, full.max(0))
                unknown += tokenized.unknown
        offsets.flush()
        spec = self._encoder.spec
        report = EncodingReport(
            examples=self._total,
            source_tokens=int(sums[0]),
            target_tokens=int(sums[1]),
            longest_source=int(longest[0]),
            longest_target=int(longest[1]),
            max_source_tokens=spec.max_source_tokens,
            max_target_tokens=spec.max_target_tokens,
            source_truncated=int(truncated[0]),
            target_truncated=int(truncated[1]),
            unknown_share=unknown / int(sums.sum()),
        )
        saved = {
            "dtype": self._encoder.dtype.str,
            "report": dataclasses.asdict(report),
        }
        json_files.write_object(building / "report.json", saved)

    def _load(self, part: Part) -> TokenizedRange:
        """Reads a part; removes a damaged one."""
        try:
            tokenized = TokenizedRange.load(part.path)
            if len(tokenized.lengths) != 2 * (part.end - part.begin):
                raise ValueError(f"it has {len(tokenized.lengths)} sequences")
        except FileNotFoundError as error:
            raise _Incomplete(f"{part.path} was removed") from error
        except ValueError as error:
            part.path.unlink(missing_ok=True)
            raise _Incomplete(f"{part.path} is damaged: {error}") from error
        return tokenized
