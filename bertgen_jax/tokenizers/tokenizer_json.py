"""A tokenizer.json in; its vocabulary and its settings, checked, out.

Such a file describes a whole pipeline: normalizer, pre-tokenizer, model, decoder. Only
those of BERT and GPT-2 are read here, so that one is never taken for the other; what
else it holds (truncation, padding, what is put around texts) is left aside.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.normalization import is_unicode
from bertgen_jax.tokenizers import json_files, tokenizer_config
from bertgen_jax.tokenizers.added_tokens import AddedToken, is_id
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, WORDPIECE
from bertgen_jax.tokenizers.json_files import field


@dataclasses.dataclass(frozen=True)
class TokenizerJson:
    """What a tokenizer.json says.

    Attributes:
      file: its path.
      kind: `WORDPIECE` or `BYTE_LEVEL_BPE`; None for a tokenizer of another kind.
      model: settings and vocabulary of the model.
      normalizer, pre_tokenizer: settings; empty where there is none.
      added: the strings that are cut out of texts.
    """

    file: pathlib.Path
    kind: str | None
    model: Mapping[str, Any]
    normalizer: Mapping[str, Any]
    pre_tokenizer: Mapping[str, Any]
    added: tuple[AddedToken, ...]

    def expect(self, part: str, **wanted: Any) -> None:
        """Checks settings. One that the file leaves out is as wanted, but for the type.

        Args:
          part: "model", "normalizer" or "pre_tokenizer".
          **wanted: its settings; None, False and "" all mean that there is none.

        Raises:
          TokenizerError: one of them is another.
        """
        for key, value in wanted.items():
            found = getattr(self, part).get(key, None if key == "type" else value)
            if (found or None) != (value or None):
                raise errors.TokenizerError(
                    f"{key} of the {part} in {self.file} is "
                    f"{json_files.shown(found)}; expected {value!r}: a {self.kind} "
                    "tokenizer would give other ids than this file means."
                )


def read(file: pathlib.Path) -> TokenizerJson:
    """Reads a tokenizer.json; its vocabulary is still to be checked.

    Raises:
      TokenizerError: it cannot be read, or is none.
    """
    value = json_files.read_object(file)
    parts = {
        part: field(value, part, dict, file) or {}
        for part in ("model", "normalizer", "pre_tokenizer")
    }
    if not parts["model"]:
        raise errors.TokenizerError(
            f"{file} has no model; expected a tokenizer.json, as the `tokenizers` "
            "library writes it."
        )
    added = []
    for token in field(value, "added_tokens", list, file) or []:
        index = token.get("id") if isinstance(token, dict) else None
        added.append(tokenizer_config.added_token(token, file, index=index))
    if len({token.content for token in added}) < len(added):
        raise errors.TokenizerError(
            f"{file} has two of its added_tokens with one content; expected each once."
        )
    kind = {"WordPiece": WORDPIECE, "BPE": BYTE_LEVEL_BPE}.get(
        model_type(parts["model"])
    )
    if kind == BYTE_LEVEL_BPE and not _is_byte_level(parts["pre_tokenizer"]):
        kind = None
    return TokenizerJson(file=file, kind=kind, added=tuple(added), **parts)


def model_type(model: Mapping[str, Any]) -> str | None:
    """The type of a model; files older than that key show it by their other keys."""
    found = model.get("type")
    if isinstance(found, str):
        return found
    for key, type_ in (
        ("merges", "BPE"),
        ("max_input_chars_per_word", "WordPiece"),
        ("unk_id", "Unigram"),
    ):
        if key in model:
            return type_
    return None


def _is_byte_level(pre_tokenizer: Mapping[str, Any]) -> bool:
    parts = pre_tokenizer.get("pretokenizers")
    parts = parts if isinstance(parts, list) else [pre_tokenizer]
    return any(isinstance(p, dict) and p.get("type") == "ByteLevel" for p in parts)


def check_vocabulary(pieces: Any, where: str) -> dict[str, int]:
    """A vocabulary: pieces, and for each a row of its own from 0 on.

    Args:
      pieces: what a JSON file gives as one.
      where: names it in messages.

    Raises:
      TokenizerError: it is none.
    """
    if not isinstance(pieces, Mapping) or not pieces:
        raise errors.TokenizerError(
            f"{where} is {json_files.shown(pieces)}; expected an object of pieces, "
            "each with its row."
        )
    for piece, row in pieces.items():
        if not (isinstance(piece, str) and piece and is_id(row)):
            raise errors.TokenizerError(
                f"{where} has {json_files.shown(piece)}: {json_files.shown(row)}; "
                "expected a piece and its row."
            )
    if not is_unicode("".join(pieces)):
        broken = next(piece for piece in pieces if not is_unicode(piece))
        raise errors.TokenizerError(
            f"{where} has the piece {broken!r}, half of a character; expected text."
        )
    owners: dict[int, str] = {}
    for piece, row in pieces.items():
        if owners.setdefault(row, piece) != piece:
            raise errors.TokenizerError(
                f"{where} has {owners[row]!r} and {piece!r} in row {row:,}; expected a "
                "row for each."
            )
    if len(owners) <= max(owners):
        missing = next(row for row in range(len(owners) + 1) if row not in owners)
        raise errors.TokenizerError(
            f"{where} has {len(pieces):,} pieces, the last in row {max(owners):,}, and "
            f"none in row {missing:,}; expected one in each. The file is damaged."
        )
    return dict(pieces)
