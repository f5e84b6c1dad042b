"""Turns ranges of examples into token ids that are cut to length."""

import dataclasses
import itertools
import pathlib
import uuid
import zipfile
from typing import Protocol

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data.columns import Example
from bertgen_jax.files import atomic

# Examples tokenized at once. Their ids are Python objects for a moment: a few megabytes
# for sentences, a hundred for long documents.
_CHUNK = 512


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


@dataclasses.dataclass(frozen=True, eq=False)
class TokenizedRange:
    """The token ids of consecutive examples.

    Attributes:
      tokens: u16 or i32[sum of lengths]: source, target, source, target, ...
      lengths: i32[2n], of each sequence in `tokens`.
      full_lengths: i32[2n], of each sequence before it was cut.
      unknown: how many ids of all sequences, before the cut, stand for unknown text.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    full_lengths: np.ndarray
    unknown: int

    def save(self, path: pathlib.Path) -> None:
        """Writes a file, which appears complete or not at all.

        Several processes may write the same file at once.
        """
        mine = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with atomic.new_file(mine) as file:
            np.savez(
                file,
                tokens=self.tokens,
                lengths=self.lengths,
                full_lengths=self.full_lengths,
                unknown=np.int64(self.unknown),
            )
        mine.replace(path)

    @classmethod
    def load(cls, path: pathlib.Path) -> "TokenizedRange":
        """Reads a file of `save`.

        Raises:
          ValueError: it is damaged.
          OSError: it cannot be read.
        """
        try:
            with np.load(path) as saved:  # verifies the checksum of each array
                loaded = cls(
                    saved["tokens"],
                    saved["lengths"],
                    saved["full_lengths"],
                    int(saved["unknown"]),
                )
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise ValueError(str(error)) from error
        if loaded.tokens.shape != (loaded.lengths.sum(),):
            raise ValueError(f"{path.name} has {loaded.tokens.size} tokens")
        return loaded


@dataclasses.dataclass(frozen=True)
class ExampleEncoder:
    """Turns examples into token ids. Can be pickled if its parts can.

    Attributes:
      examples: the corpus; the first reference of an example is its target.
      source: makes the ids of sources, which get its prefix and suffix.
      target: makes the ids of targets.
      spec: the lengths to cut to.
    """

    examples: Corpus
    source: Tokenizer
    target: Tokenizer
    spec: EncodingSpec

    @property
    def dtype(self) -> np.dtype:
        """The type of the tokens: two bytes if the vocabularies allow."""
        largest = max(self.source.vocab_size, self.target.vocab_size)
        return np.dtype("<u2" if largest <= np.iinfo(np.uint16).max + 1 else "<i4")

    def encode(self, begin: int, end: int) -> TokenizedRange:
        """Tokenizes the examples from `begin` to `end`, in order.

        Raises:
          TokenizerError: an id is not in the vocabulary.
        """
        chunks = [
            self._encode_chunk(start, min(start + _CHUNK, end))
            for start in range(begin, end, _CHUNK)
        ]
        return TokenizedRange(
            np.concatenate([chunk.tokens for chunk in chunks]),
            np.concatenate([chunk.lengths for chunk in chunks]),
            np.concatenate([chunk.full_lengths for chunk in chunks]),
            sum(chunk.unknown for chunk in chunks),
        )

    def _encode_chunk(self, begin: int, end: int) -> TokenizedRange:
        chunk = [self.examples[index] for index in range(begin, end)]
        sources = _Rows.encode(self.source, [example.source for example in chunk])
        targets = _Rows.encode(
            self.target, [example.references[0] for example in chunk]
        )
        capacity = self.spec.source_capacity(self.source)
        prefix, suffix = self.source.source_prefix, self.source.source_suffix
        specials = len(prefix) + len(suffix)
        max_target = self.spec.max_target_tokens

        full_lengths = np.empty(2 * len(chunk), np.int32)
        full_lengths[::2] = sources.lengths + specials
        full_lengths[1::2] = targets.lengths + 1
        lengths = np.empty_like(full_lengths)
        lengths[::2] = np.minimum(sources.lengths, capacity) + specials
        lengths[1::2] = np.minimum(targets.lengths + 1, max_target)

        ends = np.cumsum(lengths, dtype=np.int64)
        starts = ends - lengths
        tokens = np.empty(ends[-1], np.int64)
        for position, index in enumerate(prefix):
            tokens[starts[::2] + position] = index
        for position, index in enumerate(reversed(suffix), start=1):
            tokens[ends[::2] - position] = index
        # A target that fits ends with the end symbol; its text overwrites one that is
        # too long.
        tokens[ends[1::2] - 1] = self.target.special_ids.eos
        sources.copy_to(tokens, starts[::2] + len(prefix), capacity)
        targets.copy_to(tokens, starts[1::2], max_target)
        # Counted before special ids are added: GPT-2 has one id for end and unknown.
        unknown = sources.count(self.source.special_ids.unk)
        unknown += targets.count(self.target.special_ids.unk)
        return TokenizedRange(tokens.astype(self.dtype), lengths, full_lengths, unknown)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of ids: i64[sum of lengths], and i64[n]."""

    ids: np.ndarray
    lengths: np.ndarray

    @classmethod
    def encode(cls, tokenizer: Tokenizer, texts: list[str]) -> "_Rows":
        rows = tokenizer.encode_batch(texts)
        lengths = np.fromiter(map(len, rows), np.int64, len(texts))
        ids = np.fromiter(
            itertools.chain.from_iterable(rows), np.int64, int(lengths.sum())
        )
        _check_ids(ids, tokenizer)
        return cls(ids, lengths)

    def copy_to(self, tokens: np.ndarray, starts: np.ndarray, longest: int) -> None:
        """Copies the first `longest` ids of row r to `tokens[starts[r]:]`."""
        first = np.cumsum(self.lengths) - self.lengths
        positions = np.arange(self.ids.size) - np.repeat(first, self.lengths)
        is_kept = positions < longest
        places = np.repeat(starts, self.lengths) + positions
        tokens[places[is_kept]] = self.ids[is_kept]

    def count(self, index: int) -> int:
        return int(np.count_nonzero(self.ids == index))


def _check_ids(ids: np.ndarray, tokenizer: Tokenizer) -> None:
    """Rejects ids beyond the vocabulary, which JAX would silently clamp."""
    specials = [
        tokenizer.special_ids.eos,
        *tokenizer.source_prefix,
        *tokenizer.source_suffix,
    ]
    tokens = np.concatenate([np.array(specials), ids])
    invalid = tokens[(tokens < 0) | (tokens >= tokenizer.vocab_size)]
    if invalid.size:
        raise errors.TokenizerError(
            f"The id {invalid[0]} occurs in the encoded corpus, but the vocabulary "
            f"ends at {tokenizer.vocab_size - 1}. Check that the special ids belong to "
            "this tokenizer."
        )
