"""Two vocabularies in, which row of one means what which row of the other means out.

Each kind of vocabulary spells the same text in its own way:

                      " the"   "ing"   " é"
    WordPiece         the      ##ing   é
    byte-level BPE    Ġthe     ing     ĠÃ©
    SentencePiece     ▁the     ing     ▁é

so pieces are compared by the UTF-8 bytes that they stand for, a space in front of what
begins a word.
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Callable, Mapping, Set

import numpy as np

from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, WORDPIECE, Tokenizer


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Pieces and what they stand for.

    Attributes:
      pieces: row of each piece, as its file spells it.
      roles: row of each of "pad", "bos", "eos", "unk" and "mask" that it has.
      texts: what the other rows stand for.
      rows: for a text, the row that its own tokenizer would use.
      lowercase: no text has a capital or an accent, as its tokenizer removes them.
    """

    pieces: Mapping[str, int]
    roles: Mapping[str, int]
    texts: Mapping[int, bytes]
    rows: Mapping[bytes, int]
    lowercase: bool


@dataclasses.dataclass(frozen=True)
class Match:
    """Where the rows of one vocabulary are in another.

    Attributes:
      rows: i64[V], for each row of the one that of the other; -1 where there is none.
      counts: how many each rule has found.
    """

    rows: np.ndarray
    counts: Mapping[str, int]


def match(ours: Vocabulary, theirs: Vocabulary, size: int) -> Match:
    """Finds the rows of our pieces in another vocabulary.

    Equal vocabularies match row by row. Otherwise a row with a role has the row of that
    role, and a piece that of the same text. Where their tokenizer removes capitals and
    accents, a text that is not found is looked up without them.

    Args:
      ours: the vocabulary that rows are wanted for.
      theirs: the one that has them.
      size: V, at least as many as ours has.
    """
    rows = np.full(size, -1)
    if ours.pieces == theirs.pieces:
        same = list(ours.pieces.values())
        rows[same] = same
        return Match(rows, {"identity": len(same)})
    counts = collections.Counter()
    for row, text in ours.texts.items():
        rule = "text"
        if text not in theirs.rows and theirs.lowercase:
            rule, text = "lower-cased text", _lower(text)
        if text in theirs.rows:
            rows[row] = theirs.rows[text]
            counts[rule] += 1
    for role in ours.roles.keys() & theirs.roles.keys():
        rows[ours.roles[role]] = theirs.roles[role]
        counts["role"] += 1
    return Match(rows, counts)


def of_tokenizer(tokenizer: Tokenizer) -> Vocabulary:
    """The vocabulary of a tokenizer of any kind.

    A SentencePiece vocabulary with all the letters of GPT-2's byte alphabet spells
    bytes, with ▁ for Ġ, as the 50,358 pieces of the paper do. Any other spells text.
    """
    pieces, ids = tokenizer.get_vocab(), tokenizer.special_ids
    roles = {
        "pad": ids.pad,
        "bos": ids.bos,
        "eos": ids.eos,
        "unk": ids.unk,
        "mask": ids.mask,
    }
    special = {row for row in roles.values() if row is not None}
    if ids.eos in (ids.pad, ids.bos, ids.unk):
        # GPT-2 has one special row. It knows the end of a text and no other role, and
        # stands for its name as well, which is one of the paper's ordinary pieces.
        special.remove(ids.eos)
    roles = {
        role: row
        for role, row in roles.items()
        if row in special or (role == "eos" and row is not None)
    }
    kind = tokenizer.kind
    if kind == WORDPIECE:
        vocabulary = _vocabulary(pieces, roles, special, _wordpiece)
        # BERT makes words of these characters wherever they stand: the row of "##." has
        # never been used.
        alone = {
            piece.encode(): row for piece, row in pieces.items() if _stands_alone(piece)
        }
        return dataclasses.replace(vocabulary, rows=vocabulary.rows | alone)
    if kind == BYTE_LEVEL_BPE:
        return _vocabulary(pieces, roles, special, _bytes)
    spells_bytes = all(letter.replace("Ġ", "▁") in pieces for letter in _BYTES)
    text_of = _sentencepiece_bytes if spells_bytes else _sentencepiece
    return _vocabulary(pieces, roles, special, text_of)


def _vocabulary(
    pieces: Mapping[str, int],
    roles: Mapping[str, int],
    special: Set[int],
    text_of: Callable[[str], bytes | None],
) -> Vocabulary:
    """A vocabulary whose `special` rows stand for no text."""
    texts = {
        row: text
        for piece, row in pieces.items()
        if row not in special and (text := text_of(piece)) is not None
    }
    return Vocabulary(
        pieces=pieces,
        roles=roles,
        texts=texts,
        rows={text: row for row, text in texts.items()},
        lowercase=all(text == _lower(text) for text in texts.values()),
    )


def _wordpiece(piece: str) -> bytes:
    """Text of a WordPiece: "##ing" -> "ing", "the" -> " the"."""
    if piece.startswith("##") and len(piece) > 2:
        return piece[2:].encode()
    return b" " + piece.encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letter of each byte.

    The printable characters of Latin-1 stand for themselves, the other bytes for the
    characters from U+0100 on: "Ġ" is the space.
    """
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {
        chr(0x100 + i): byte for i, byte in enumerate(others)
    }


_BYTES = _byte_alphabet()


def _bytes(piece: str) -> bytes | None:
    """Bytes of a byte-level piece: "ĠÃ©" -> " é"; None for one in other letters."""
    if not all(letter in _BYTES for letter in piece):
        return None
    return bytes(_BYTES[letter] for letter in piece)


def _sentencepiece(piece: str) -> bytes:
    """Text of a SentencePiece: "▁the" -> " the"."""
    return piece.replace("▁", " ").encode()


def _sentencepiece_bytes(piece: str) -> bytes | None:
    """Bytes of one that is spelled in GPT-2's letters: "▁Ã©" -> " é"."""
    return _bytes(piece.replace("▁", "Ġ"))


def _stands_alone(piece: str) -> bool:
    """Whether BERT cuts text on both sides of this: punctuation and Chinese."""
    if len(piece) != 1:
        return False
    if piece.isascii():
        return not piece.isalnum()
    return unicodedata.category(piece).startswith("P") or unicodedata.name(
        piece, ""
    ).startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))


def _lower(text: bytes) -> bytes:
    """Text without capitals and accents, as uncased BERT reads it."""
    try:
        decomposed = unicodedata.normalize("NFD", text.decode().lower())
    except UnicodeDecodeError:  # part of a character
        return text
    kept = (char for char in decomposed if unicodedata.category(char) != "Mn")
    return "".join(kept).encode()
