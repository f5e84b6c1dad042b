"""Reading of tokenizer.json, the file of the `tokenizers` library.

Such a file describes a whole pipeline: normalizer, pre-tokenizer, model, decoder. Only
the pipelines of BERT and GPT-2 are accepted, so that no other one is mistaken for them.
The rest of the file (truncation, padding, special ids around texts) is ignored.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import TokenizerError
from bertgen_jax.files.json_files import shown
from bertgen_jax.tokenizers import tokenizer_config
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, WORDPIECE
from bertgen_jax.tokenizers.tokenizer_config import field, read_object


@dataclasses.dataclass(frozen=True)
class TokenizerJson:
    """The contents of a tokenizer.json.

    Attributes:
      file: its path.
      kind: `WORDPIECE` or `BYTE_LEVEL_BPE`; None for a tokenizer of another kind.
      model: settings and vocabulary of the model.
      normalizer, pre_tokenizer: their settings; empty without one.
      added: the strings that are cut out of texts.
    """

    file: pathlib.Path
    kind: str | None
    model: Mapping[str, Any]
    normalizer: Mapping[str, Any]
    pre_tokenizer: Mapping[str, Any]
    added: tuple[AddedToken, ...]

    def expect(self, part: str, **settings: Any) -> None:
        """Checks settings. Any setting but the type may be missing in the file.

        Args:
          part: "model", "normalizer" or "pre_tokenizer".
          **settings: the expected values; None, False and "" are equivalent.

        Raises:
          TokenizerError: a setting has another value.
        """
        for key, expected in settings.items():
            actual = getattr(self, part).get(key, None if key == "type" else expected)
            if (actual or None) != (expected or None):
                raise TokenizerError(
                    f"{key} of the {part} in {self.file} is {shown(actual)}; expected "
                    f"{expected!r}: with another value, a {self.kind} tokenizer gives "
                    "other ids than the file describes."
                )


def read(file: pathlib.Path) -> TokenizerJson:
    """Reads a tokenizer.json; does not check the vocabulary in it.

    Raises:
      TokenizerError: it cannot be read, or is not a tokenizer.json.
    """
    value = read_object(file)
    parts = {
        part: field(value, part, dict, file) or {}
        for part in ("model", "normalizer", "pre_tokenizer")
    }
    if not parts["model"]:
        raise TokenizerError(
            f"{file} has no model; expected a tokenizer.json of the `tokenizers` "
            "library."
        )
    added = []
    for token in field(value, "added_tokens", list, file) or []:
        index = token.get("id") if isinstance(token, dict) else None
        added.append(tokenizer_config.added_token(token, file, index=index))
    if len({token.content for token in added}) < len(added):
        raise TokenizerError(
            f"{file} has two added_tokens with one content; expected each once."
        )
    kind = None
    match model_type(parts["model"]):
        case "WordPiece":
            kind = WORDPIECE
        case "BPE" if _is_byte_level(parts["pre_tokenizer"]):
            kind = BYTE_LEVEL_BPE
    return TokenizerJson(file=file, kind=kind, added=tuple(added), **parts)


def model_type(model: Mapping[str, Any]) -> str | None:
    """Returns the type of a model. Old files do not name it, but have typical keys."""
    name = model.get("type")
    if isinstance(name, str):
        return name
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
