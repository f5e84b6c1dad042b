"""`Tokenizer`: the interface of all tokenizers, and their kinds and special ids."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from bertgen_jax.files.paths import StrPath

# The kinds of tokenizers differ in how their pieces spell text; see
# `warm_start.vocabulary_matching`.
SENTENCEPIECE = "SentencePiece"
WORDPIECE = "WordPiece"
BYTE_LEVEL_BPE = "byte-level BPE"


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """The ids with a role. They come from the tokenizer's files; none is fixed.

    Attributes:
      pad: fills up short rows of a batch. Equal to `eos` if the vocabulary has no such
        string (GPT-2); that is harmless, because masks come from lengths.
      eos: ends a target.
      unk: stands for text that the vocabulary cannot spell. Equal to `eos` in GPT-2,
        which can spell everything.
      bos: starts a target; None if the tokenizer has no such string.
      sep: separates two texts in one row; None if there is no such string.
      mask: stood for the words that BERT or RoBERTa had to guess in pre-training; None
        if there is no such string.
    """

    pad: int
    eos: int
    unk: int
    bos: int | None = None
    sep: int | None = None
    mask: int | None = None


class Tokenizer(Protocol):
    """Turns text into ids and back. Can be shared between threads, and pickled.

    Attributes:
      vocab_size: the rows that an embedding table needs; every id is below it, those
        added after the vocabulary too.
      special_ids: the ids with a role.
      source_prefix, source_suffix: the ids around a source, such as [CLS] and [SEP] in
        BERT. Both are empty unless the tokenizer was made with `source_specials`,
        because the models of the paper have none. `encode` adds neither; they are added
        after a source is truncated (`data.encoding`, `generation.pipeline`).
      model_max_length: the longest source that the model was trained on, in ids; None
        for no limit.
      kind: `SENTENCEPIECE`, `WORDPIECE` or `BYTE_LEVEL_BPE`.
      fingerprint: hex digest of everything that changes ids. Tokenizers with equal
        fingerprints give equal ids, so it is the key of caches of tokenized text.
    """

    vocab_size: int
    special_ids: SpecialIds
    source_prefix: tuple[int, ...]
    source_suffix: tuple[int, ...]
    model_max_length: int | None
    kind: str
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """Returns the ids of one text, without special ids around them."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `[encode(text) for text in texts]`, computed on all cores."""
        ...

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Returns the text of one row of ids."""
        ...

    def batch_decode(
        self, batch: Sequence[Sequence[int]], skip_special_tokens: bool = False
    ) -> list[str]:
        """Returns `[decode(ids) for ids in batch]`."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Returns every piece and special string with its id."""
        ...

    def save_pretrained(self, directory: StrPath) -> None:
        """Writes a directory that Hugging Face loads unchanged."""
        ...
