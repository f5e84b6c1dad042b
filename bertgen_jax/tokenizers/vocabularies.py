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
import json
import os
import pathlib
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertgen_jax.errors import TokenizerError
from bertgen_jax.tokenizers.sentencepiece import BertGenerationTokenizer

TOKENIZER_FILE = "tokenizer.json"


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


def of_tokenizer(tokenizer: BertGenerationTokenizer) -> Vocabulary:
    """The vocabulary of a tokenizer.

    One with all the letters of GPT-2's byte alphabet spells bytes, with ▁ for Ġ, as the
    50,358 pieces of the paper do. Any other spells text.
    """
    pieces, ids = tokenizer.get_vocab(), tokenizer.special_ids
    mask = pieces.get("[MASK]", pieces.get("<mask>"))
    roles = {
        "pad": ids.pad,
        "bos": ids.bos,
        "eos": ids.eos,
        "unk": ids.unk,
        "mask": mask,
    }
    roles = {role: row for role, row in roles.items() if row is not None}
    if all(letter.replace("Ġ", "▁") in pieces for letter in _BYTES):
        return _vocabulary(pieces, roles, lambda piece: _bytes(piece.replace("▁", "Ġ")))
    return _vocabulary(pieces, roles, lambda piece: piece.replace("▁", " ").encode())


@dataclasses.dataclass(frozen=True)
class Format:
    """How a kind of checkpoint keeps its vocabulary.

    Attributes:
      file: name of the file.
      model: the name that this kind of vocabulary has in tokenizer.json.
      roles: pieces with a role.
    """

    file: str
    model: str
    roles: Mapping[str, str]


FORMATS = {
    "bert": Format(
        "vocab.txt",
        "WordPiece",
        dict(pad="[PAD]", bos="[CLS]", eos="[SEP]", unk="[UNK]", mask="[MASK]"),
    ),
    "roberta": Format(
        "vocab.json",
        "BPE",
        dict(pad="<pad>", bos="<s>", eos="</s>", unk="<unk>", mask="<mask>"),
    ),
}


def find(directory: str | os.PathLike[str], kind: str) -> pathlib.Path | None:
    """The vocabulary file of a checkpoint directory; None if it has none.

    Version 5 of the peer writes tokenizer.json only.
    """
    for name in (FORMATS[kind].file, TOKENIZER_FILE):
        path = pathlib.Path(directory) / name
        if path.is_file():
            return path
    return None


def read(path: pathlib.Path, kind: str) -> Vocabulary:
    """Reads a vocabulary.

    Args:
      path: of `FORMATS[kind].file` or of a tokenizer.json.
      kind: a name in `FORMATS`.

    Raises:
      TokenizerError: the file is missing, malformed or of another kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = None if path.suffix == ".txt" else json.loads(text)
    except OSError as error:
        raise TokenizerError(
            f"{path}: {error.strerror}. Expected a vocabulary."
        ) from error
    except ValueError as error:  # of the decoding of JSON or of UTF-8
        raise TokenizerError(f"{path}: no vocabulary ({error}).") from error
    if values is None:
        lines = text.removesuffix("\n").split("\n")
        pieces = {piece: row for row, piece in enumerate(lines)}
    else:
        pieces = _pieces(values, path, FORMATS[kind])
    roles = {
        role: pieces[piece]
        for role, piece in FORMATS[kind].roles.items()
        if piece in pieces
    }
    if kind == "roberta":
        return _vocabulary(pieces, roles, _bytes)
    vocabulary = _vocabulary(pieces, roles, _wordpiece)
    # BERT makes words of these characters wherever they stand: the row of "##." has
    # never been used.
    alone = {
        piece.encode(): row for piece, row in pieces.items() if _stands_alone(piece)
    }
    return dataclasses.replace(vocabulary, rows=vocabulary.rows | alone)


def _pieces(values: Any, path: pathlib.Path, form: Format) -> dict[str, int]:
    """The pieces of vocab.json or tokenizer.json, whose JSON value is `values`."""
    pieces, added = values, []
    if path.name == TOKENIZER_FILE:
        model = values.get("model") if isinstance(values, dict) else None
        found = model.get("type") if isinstance(model, dict) else None
        if found != form.model:
            raise TokenizerError(
                f"{path}: the model is of type {found!r}; expected {form.model!r}, the "
                "vocabulary of this kind of checkpoint."
            )
        pieces, added = model.get("vocab"), values.get("added_tokens", [])
    try:
        pieces = {**pieces, **{token["content"]: token["id"] for token in added}}
        sound = all(
            isinstance(piece, str) and type(row) is int and row >= 0
            for piece, row in pieces.items()
        )
    except (TypeError, KeyError):
        sound = False
    if not sound:
        raise TokenizerError(
            f"{path}: its pieces cannot be read; expected a JSON object of them, each "
            "with its row."
        )
    return pieces


def _vocabulary(
    pieces: Mapping[str, int],
    roles: Mapping[str, int],
    text_of: Callable[[str], bytes | None],
) -> Vocabulary:
    with_role = set(roles.values())
    texts = {
        row: text
        for piece, row in pieces.items()
        if row not in with_role and (text := text_of(piece)) is not None
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
