"""Matches two vocabularies: which rows of their word tables mean the same text.

Each kind of vocabulary spells a text in its own way:

                      " the"   "ing"   " é"
    WordPiece         the      ##ing   é
    byte-level BPE    Ġthe     ing     ĠÃ©
    SentencePiece     ▁the     ing     ▁é

so pieces are compared by the UTF-8 bytes that they stand for. A piece that begins a
word stands for text that begins with a space.
"""

import collections
import dataclasses
import unicodedata
from collections.abc import Callable, Mapping, Set

import numpy as np

from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, WORDPIECE, Tokenizer


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Pieces and the texts that they stand for.

    Attributes:
      pieces: the row of each piece, as its file spells it.
      roles: the rows of "pad", "bos", "eos", "unk" and "mask", if there are such rows.
      texts: the text of each row without a role.
      rows: for each text, the row that the tokenizer of this vocabulary uses.
      lowercase: whether no text has a capital or an accent, because the tokenizer
        removes them.
    """

    pieces: Mapping[str, int]
    roles: Mapping[str, int]
    texts: Mapping[int, bytes]
    rows: Mapping[bytes, int]
    lowercase: bool


@dataclasses.dataclass(frozen=True)
class Match:
    """Where the rows of the model's word table are in that of the checkpoint.

    Attributes:
      rows: i64[V], for each row of the model that of the checkpoint; -1 for none.
      counts: how many rows each rule matched.
    """

    rows: np.ndarray
    counts: Mapping[str, int]


def match(model: Vocabulary, checkpoint: Vocabulary, size: int) -> Match:
    """Finds the rows of the model's pieces in the vocabulary of a checkpoint.

    Equal vocabularies match row by row. Otherwise rows match that have the same role or
    stand for the same text. If the checkpoint's tokenizer removes capitals and accents,
    a text that it lacks is looked up without them.

    Args:
      model: the vocabulary whose rows are looked up.
      checkpoint: the vocabulary in which they are looked up.
      size: V, the rows of the model's table; at least the size of its vocabulary.
    """
    rows = np.full(size, -1)
    if model.pieces == checkpoint.pieces:
        same = list(model.pieces.values())
        rows[same] = same
        return Match(rows, {"identity": len(same)})
    counts = collections.Counter()
    for row, text in model.texts.items():
        rule = "text"
        if text not in checkpoint.rows and checkpoint.lowercase:
            rule, text = "lower-cased text", _lower(text)
        if text in checkpoint.rows:
            rows[row] = checkpoint.rows[text]
            counts[rule] += 1
    for role in model.roles.keys() & checkpoint.roles.keys():
        rows[model.roles[role]] = checkpoint.roles[role]
        counts["role"] += 1
    return Match(rows, counts)


def of_tokenizer(tokenizer: Tokenizer) -> Vocabulary:
    """Returns the vocabulary of a tokenizer of any kind.

    A SentencePiece vocabulary that has all letters of GPT-2's byte alphabet spells
    bytes, with ▁ for Ġ, like the 50,358 pieces of the paper. Any other one spells text.
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
        # GPT-2 has one special row. Its only role is the end of a text. It also stands
        # for its own name, which is an ordinary piece in the paper's vocabulary.
        special.remove(ids.eos)
    roles = {
        role: row
        for role, row in roles.items()
        if row in special or (role == "eos" and row is not None)
    }
    kind = tokenizer.kind
    if kind == WORDPIECE:
        vocabulary = _vocabulary(pieces, roles, special, _wordpiece)
        # BERT makes a word of each of these characters, so it has never used the row of
        # "##.": without the space, the text "." means the row of "." as well.
        single = {
            piece.encode(): row for piece, row in pieces.items() if _stands_alone(piece)
        }
        rows = {**vocabulary.rows, **single}
        return dataclasses.replace(vocabulary, rows=rows)
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
    """Returns a vocabulary whose `special` rows stand for no text."""
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
    """Returns the text of a WordPiece: "##ing" -> "ing", "the" -> " the"."""
    if piece.startswith("##") and len(piece) > 2:
        return piece[2:].encode()
    return b" " + piece.encode()


def _byte_alphabet() -> dict[str, int]:
    """Returns the byte of each letter in GPT-2's alphabet for bytes.

    The printable characters of Latin-1 stand for themselves. The other bytes are
    written as the characters from U+0100 on: "Ġ" is the space.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + i): byte for i, byte in enumerate(unprintable)
    }


_BYTES = _byte_alphabet()


def _bytes(piece: str) -> bytes | None:
    """Returns the bytes of a piece: "ĠÃ©" -> " é"; None if it has other letters."""
    if not all(letter in _BYTES for letter in piece):
        return None
    return bytes(_BYTES[letter] for letter in piece)


def _sentencepiece(piece: str) -> bytes:
    """Returns the text of a SentencePiece: "▁the" -> " the"."""
    return piece.replace("▁", " ").encode()


def _sentencepiece_bytes(piece: str) -> bytes | None:
    """Returns the bytes of a piece in GPT-2's letters: "▁Ã©" -> " é"."""
    return _bytes(piece.replace("▁", "Ġ"))


def _stands_alone(piece: str) -> bool:
    """Whether BERT splits text on both sides of it: punctuation and Chinese."""
    if len(piece) != 1:
        return False
    if piece.isascii():
        return not piece.isalnum()
    return unicodedata.category(piece).startswith("P") or unicodedata.name(
        piece, ""
    ).startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))


def _lower(text: bytes) -> bytes:
    """Returns a text without capitals and accents, as uncased BERT reads it."""
    try:
        decomposed = unicodedata.normalize("NFD", text.decode().lower())
    except UnicodeDecodeError:  # the bytes of a part of a character
        return text
    letters = (char for char in decomposed if unicodedata.category(char) != "Mn")
    return "".join(letters).encode()
