"""Tokenizes a corpus once, into files of token ids that are cut to length.

The entry in the cache is named after everything that decides its content, so another
text, tokenizer or length makes another entry:

    CACHE/encoded/KEY/tokens.bin    source, target, source, target, ... without gaps
                      offsets.npy   i64[2N+1], where each of them begins
                      report.json   the dtype of the tokens and the `EncodingReport`
"""

import dataclasses
import functools
import logging
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import cache
from bertgen_jax.data.columns import Example
from bertgen_jax.files import json_files

_FORMAT = 2  # part of the key: raise it when the files or the cutting change
_CHUNK = 1024  # examples tokenized at once, a few megabytes of text

_log = logging.getLogger(__name__)


class Corpus(Protocol):
    """Random access to examples."""

    @property
    def fingerprint(self) -> str:
        """Digest of the examples."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class SpecialIds(Protocol):
    """The special ids that encoding uses."""

    @property
    def eos(self) -> int:
        """Ends a target."""
        ...

    @property
    def unk(self) -> int:
        """Stands for text that the vocabulary cannot spell."""
        ...


class Tokenizer(Protocol):
    """The part of a tokenizer that encoding uses."""

    fingerprint: str
    vocab_size: int
    source_prefix: tuple[int, ...]
    source_suffix: tuple[int, ...]

    @property
    def special_ids(self) -> SpecialIds:
        """The ids with a role."""
        ...

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Returns the ids of the pieces of each text, without special ids."""
        ...


@dataclasses.dataclass(frozen=True)
class EncodingSpec:
    """The lengths that sequences are cut to.

    Attributes:
      max_source_tokens: of sources, with the tokenizer's prefix and suffix.
      max_target_tokens: of targets. They are cut after the end symbol is added, so a
        target that is too long loses it (as in the code that the paper builds on).
    """

    max_source_tokens: int
    max_target_tokens: int

    def __post_init__(self) -> None:
        if self.max_target_tokens < 1:
            raise errors.ConfigError(
                f"max_target_tokens is {self.max_target_tokens}; expected at least 1, "
                "because a target has an end symbol. The paper uses 32 to 128."
            )

    def source_capacity(self, tokenizer: Tokenizer) -> int:
        """Returns how many tokens of a source may come from its text, at least one.

        Raises:
          ConfigError: the special ids leave none.
        """
        specials = len(tokenizer.source_prefix) + len(tokenizer.source_suffix)
        capacity = self.max_source_tokens - specials
        if capacity < 1:
            raise errors.ConfigError(
                f"max_source_tokens is {self.max_source_tokens} and special ids take "
                f"{specials} of them, which leaves none for the text. The paper uses "
                "128 to 512."
            )
        return capacity


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
        target continues to `offsets[2i+2]`.
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


def encode(
    examples: Corpus,
    tokenizer: Tokenizer,
    spec: EncodingSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    target: Tokenizer | None = None,
) -> EncodedExamples:
    """Tokenizes a corpus, or opens the result of an earlier call from the cache.

    Args:
      examples: the corpus; the first reference of an example is its target.
      tokenizer: makes the ids; sources get its prefix and suffix.
      spec: the lengths to cut to.
      progress: called with (examples done, examples in all) after each chunk; not
        called for a corpus in the cache.
      target: makes the ids of targets, if they have another vocabulary.

    Raises:
      ConfigError: the special ids leave no token for the text of a source.
      DataError: there are no examples, or the cache cannot be written.
      TokenizerError: an id is not in the vocabulary.
    """
    if not len(examples):
        raise errors.DataError(
            "The corpus has no examples, so there is nothing to encode. Check the "
            "data files and, with on_bad_row='skip', how many rows were left out."
        )
    target = target or tokenizer
    spec.source_capacity(tokenizer)
    key = [
        _FORMAT,
        examples.fingerprint,
        tokenizer.fingerprint,
        target.fingerprint,
        dataclasses.asdict(spec),
    ]
    folder = cache.folder_of("encoded", key)
    encoded = _cached(folder)
    if encoded is None:
        with cache.new_entry(folder) as building:
            _write(building, examples, tokenizer, target, spec, progress)
            # The mapped files stay valid when the folder is renamed.
            encoded = _open(building)
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
    offsets = np.load(folder / "offsets.npy")
    mapped = np.memmap(folder / "tokens.bin", dtype=saved["dtype"], mode="r")
    if offsets.shape != (2 * report.examples + 1,) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets.npy does not describe {report.examples} examples")
    if mapped.shape != (offsets[-1],):
        raise ValueError(f"tokens.bin has {mapped.size} of {offsets[-1]} tokens")
    # A plain array over the same memory: slices of an np.memmap are much slower.
    return EncodedExamples(np.asarray(mapped), offsets, report, folder.name)


def _write(
    folder: pathlib.Path,
    examples: Corpus,
    tokenizer: Tokenizer,
    target: Tokenizer,
    spec: EncodingSpec,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Writes the three files of an entry, one chunk of the corpus at a time."""
    largest = max(tokenizer.vocab_size, target.vocab_size)
    dtype = np.dtype("<u2" if largest <= np.iinfo(np.uint16).max + 1 else "<i4")
    total = len(examples)
    full_lengths, lengths = [], []  # before and after the cut, i64[2 * chunk] each
    unknown = 0
    with (folder / "tokens.bin").open("wb") as file:
        for begin in range(0, total, _CHUNK):
            end = min(begin + _CHUNK, total)
            chunk = [examples[index] for index in range(begin, end)]
            sources = tokenizer.encode_batch([example.source for example in chunk])
            targets = target.encode_batch([example.references[0] for example in chunk])
            # Count before special ids are added: GPT-2 has one id for end and unknown.
            for encoder, rows in ((tokenizer, sources), (target, targets)):
                _check_ids(rows, encoder)
                unknown += sum(ids.count(encoder.special_ids.unk) for ids in rows)
            pairs = list(_sequences(sources, targets, tokenizer, target, spec))
            full_lengths.append(np.array([len(ids) for ids, _ in pairs]))
            lengths.append(np.array([len(cut) for _, cut in pairs]))
            tokens = np.array([token for _, cut in pairs for token in cut])
            file.write(tokens.astype(dtype).tobytes())
            if progress is not None:
                progress(end, total)
    full, cut = np.concatenate(full_lengths), np.concatenate(lengths)
    report = EncodingReport(
        examples=total,
        source_tokens=int(full[::2].sum()),
        target_tokens=int(full[1::2].sum()),
        longest_source=int(full[::2].max()),
        longest_target=int(full[1::2].max()),
        max_source_tokens=spec.max_source_tokens,
        max_target_tokens=spec.max_target_tokens,
        source_truncated=int((cut < full)[::2].sum()),
        target_truncated=int((cut < full)[1::2].sum()),
        unknown_share=unknown / int(full.sum()),
    )
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(cut)]))
    saved = {"dtype": dtype.str, "report": dataclasses.asdict(report)}
    json_files.write_object(folder / "report.json", saved)


def _sequences(
    sources: list[list[int]],
    targets: list[list[int]],
    tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    spec: EncodingSpec,
) -> Iterator[tuple[list[int], list[int]]]:
    """Yields (all ids, ids after the cut) of source 0, target 0, source 1, ..."""
    prefix, suffix = tokenizer.source_prefix, tokenizer.source_suffix
    capacity, eos = spec.source_capacity(tokenizer), target_tokenizer.special_ids.eos
    for source, target in zip(sources, targets, strict=True):
        yield [*prefix, *source, *suffix], [*prefix, *source[:capacity], *suffix]
        ended = [*target, eos]
        yield ended, ended[: spec.max_target_tokens]


def _check_ids(rows: list[list[int]], tokenizer: Tokenizer) -> None:
    """Rejects ids beyond the vocabulary, which JAX would silently clamp."""
    specials = [
        tokenizer.special_ids.eos,
        *tokenizer.source_prefix,
        *tokenizer.source_suffix,
    ]
    tokens = np.array([*specials, *(token for row in rows for token in row)])
    invalid = tokens[(tokens < 0) | (tokens >= tokenizer.vocab_size)]
    if invalid.size:
        raise errors.TokenizerError(
            f"The id {invalid[0]} occurs in the encoded corpus, but the vocabulary "
            f"ends at {tokenizer.vocab_size - 1}. Check that the special ids belong to "
            "this tokenizer."
        )
