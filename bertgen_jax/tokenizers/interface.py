"""`Tokenizer`: what the house knows of any tokenizer, text in and ids out."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Protocol

# Kinds of tokenizers, which differ in how their pieces spell text; see `vocabularies`.
SENTENCEPIECE = "SentencePiece"
WORDPIECE = "WordPiece"
BYTE_LEVEL_BPE = "byte-level BPE"


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """Ids with a role; they come from the tokenizer's files, none has a fixed value.

    Attributes:
      pad: fills up short rows of a batch; that of `eos` where the vocabulary has none
        (GPT-2). Masks come from lengths, so nothing is lost by it.
      eos: ends a target.
      unk: stands for what the vocabulary cannot spell; that of `eos` in GPT-2, which
        can spell everything.
      bos: starts a target; None where the tokenizer has no such string.
      sep: separates two texts in one row; None where there is no such string.
      mask: stood for what BERT or RoBERTa had to guess; None where there is none.
    """

    pad: int
    eos: int
    unk: int
    bos: int | None = None
    sep: int | None = None
    mask: int | None = None


class Tokenizer(Protocol):
    """Text to ids and back; safe to share between threads and to pickle.

    Attributes:
      vocab_size: rows that an embedding table needs, ids added after the vocabulary
        included: every id is below it.
      special_ids: the ids with a role.
      source_prefix, source_suffix: ids that belong around a source, as [CLS] and [SEP]
        in BERT; both empty unless the tokenizer was made with `source_specials`, as the
        paper's models have none. `encode` adds neither: who cuts sources to a length
        (`data.encoding`, `pipeline`) puts them around what is left.
      kind: `SENTENCEPIECE`, `WORDPIECE` or `BYTE_LEVEL_BPE`.
      fingerprint: hex digest of everything that changes ids. Equal fingerprints give
        equal ids; a cache of tokenized text is keyed by it.
    """

    vocab_size: int
    special_ids: SpecialIds
    source_prefix: tuple[int, ...]
    source_suffix: tuple[int, ...]
    kind: str
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """The ids of one text; no special ids are added around it."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`[encode(text) for text in texts]`, in several threads where that helps."""
        ...

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of one row of ids."""
        ...

    def batch_decode(
        self, batch: Sequence[Sequence[int]], skip_special_tokens: bool = False
    ) -> list[str]:
        """`[decode(ids) for ids in batch]`."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Every piece and special string with its id."""
        ...

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes the files that Hugging Face loads as they are."""
        ...
