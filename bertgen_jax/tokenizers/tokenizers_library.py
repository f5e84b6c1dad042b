"""What WordPiece and byte-level BPE share, which run in the `tokenizers` library."""

import hashlib
import json
import pathlib
import re
from collections.abc import Container, Mapping
from typing import Any

import tokenizers

from bertgen_jax.errors import TokenizerError
from bertgen_jax.files import atomic
from bertgen_jax.files.paths import StrPath
from bertgen_jax.tokenizers import tokenizer_config, vocabulary_files, word_memory
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.pretrained_tokenizer import (
    DEFAULTS,
    ROLES,
    Options,
    PretrainedTokenizer,
)
from bertgen_jax.tokenizers.vocabulary_files import VocabularyFiles
from bertgen_jax.tokenizers.word_memory import WordMemory

# The class that reads tokenizer.json unchanged. BertTokenizer and similar classes would
# make another pipeline of the vocabulary, with special ids around every text.
SAVED_CLASS = "PreTrainedTokenizerFast"
# The models have no segments.
SAVED_FIELDS = {"model_input_names": ["input_ids", "attention_mask"]}


class LibraryOptions(Options, total=False):
    """`Options`, and the special strings.

    Attributes:
      bos_token, eos_token: begin and end a target.
      unk_token: stands for text that the vocabulary cannot spell.
      sep_token, cls_token: end and begin a source if `source_specials` is set.
      pad_token: fills up short rows.
      mask_token: stood for the words that BERT and RoBERTa had to guess.

    A string that the vocabulary lacks gets an id after it. A string that is left out or
    None is the usual one of the kind, if the vocabulary has it.
    """

    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None


LIBRARY_DEFAULTS: dict[str, Any] = {**DEFAULTS, **dict.fromkeys(ROLES)}


class LibraryEngine:
    """An `Engine` around a tokenizer of the `tokenizers` library.

    Everything that is passed to the library must be checked before, because its own
    errors range from plain `Exception` to a panic, which `except Exception` does not
    catch.

    Args:
      pipeline: the library's tokenizer, without special strings. It divides texts at
        their spaces, and never joins pieces of two words.
      spaces_count: whether the ids of a word depend on the space before it.
    """

    def __init__(self, pipeline: tokenizers.Tokenizer, *, spaces_count: bool):
        self._pipeline = pipeline
        self._words = WordMemory(self._encode_batch, spaces_count=spaces_count)
        self._by_word = False

    def add_tokens(self, tokens: Mapping[int, AddedToken]) -> None:
        """Registers the strings that are cut out of texts, by id.

        Raises:
          TokenizerError: an id leaves a gap after the vocabulary.
        """
        self._by_word = word_memory.applies(tokens.values())
        count = self._pipeline.get_vocab_size()
        self._pipeline.add_tokens(
            [
                tokenizers.AddedToken(
                    token.content,
                    special=token.special,
                    lstrip=token.lstrip,
                    rstrip=token.rstrip,
                    single_word=token.single_word,
                    normalized=token.normalized,
                )
                for token in tokens.values()
            ]
        )
        for index, token in tokens.items():
            expected = self._pipeline.token_to_id(token.content)
            if index != expected:
                raise TokenizerError(
                    f"The added string {token.content!r} has the id {index}; the "
                    f"vocabulary has {count:,} pieces, and added strings follow "
                    f"without a gap, so expected {expected}."
                )

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Returns the ids of each text, computed on all cores."""
        if len(texts) == 1:  # in this thread, so that processes may be forked later
            return [self._pipeline.encode(texts[0], add_special_tokens=False).ids]
        return self._words.encode(texts) if self._by_word else self._encode_batch(texts)

    def _encode_batch(self, texts: list[str]) -> list[list[int]]:
        rows = self._pipeline.encode_batch_fast(texts, add_special_tokens=False)
        return [row.ids for row in rows]

    def tokenize(self, text: str) -> list[str]:
        """Returns the pieces of a text."""
        return self._pipeline.encode(text, add_special_tokens=False).tokens

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Returns the text of ids, all of which are in the vocabulary."""
        return self._pipeline.decode(ids, skip_special_tokens=skip_special_tokens)

    def to_json(self) -> dict[str, Any]:
        """Returns the contents of a tokenizer.json."""
        return json.loads(self._pipeline.to_str())


def around_source(roles: Mapping[str, str | None]) -> tuple[str | None, str | None]:
    """Returns the strings that `source_specials` puts before and after a source."""
    return (
        roles["cls_token"] or roles["bos_token"],
        roles["sep_token"] or roles["eos_token"],
    )


def digest(pieces: Mapping[str, int], *others: Any) -> str:
    """Returns a hex digest of a vocabulary: its pieces by row, then other values."""
    by_row = sorted(pieces, key=pieces.__getitem__)
    text = json.dumps([by_row, others], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_tokenizer_json(
    directory: StrPath, engine: LibraryEngine, tokenizer: PretrainedTokenizer
) -> None:
    """Writes tokenizer.json; creates the directory."""
    value = engine.to_json() | {"post_processor": _post_processor(tokenizer)}
    text = json.dumps(value, indent=2, ensure_ascii=False)
    file = pathlib.Path(directory) / vocabulary_files.TOKENIZER_JSON
    atomic.write_text(file, text + "\n")


def _post_processor(tokenizer: PretrainedTokenizer) -> dict[str, Any] | None:
    """Returns what the library puts around texts, as tokenizer.json describes it."""
    ids = tokenizer.source_prefix + tokenizer.source_suffix
    if not ids:
        return None
    first, last = tokens = tokenizer.convert_ids_to_tokens(ids)
    begin, end = ({"SpecialToken": {"id": t, "type_id": 0}} for t in (first, last))
    text_a, text_b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [begin, text_a, end],
        "pair": [begin, text_a, end, text_b, end],
        "special_tokens": {
            token: {"id": token, "ids": [i], "tokens": [token]}
            for i, token in zip(ids, tokens, strict=True)
        },
    }


def usual_roles(
    options: Mapping[str, Any], usual: Mapping[str, str], known: Container[str]
) -> dict[str, str | None]:
    """Returns the special string of each role.

    That is the string in the options, or else the usual one if it is a known piece.
    """
    roles = {}
    for role in ROLES:
        usual_token = usual.get(role, "")
        roles[role] = options[role] or (usual_token if usual_token in known else None)
    return roles


def saved_options(
    files: VocabularyFiles, fields: Mapping[str, Any], own_fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Reads the options saved beside a vocabulary; see `tokenizer_config.read`."""
    added = files.parsed.added if files.parsed else ()
    if files.directory is None:
        return {"added_tokens": added}
    return tokenizer_config.read(files.directory, ROLES, fields, own_fields, added)


def looks_special(piece: str) -> bool:
    """Whether it is spelled like special strings: [unused1], <s>, madeupword0000."""
    return re.fullmatch(r"\[.+\]|<.+>|madeupword\d+", piece) is not None
