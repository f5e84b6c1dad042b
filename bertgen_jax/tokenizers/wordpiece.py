"""`WordPieceTokenizer`: the tokenizer of BERT."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import tokenizers

from bertgen_jax.errors import TokenizerError
from bertgen_jax.files.json_files import shown
from bertgen_jax.files.paths import StrPath
from bertgen_jax.tokenizers import interface, tokenizers_library, vocabulary_files
from bertgen_jax.tokenizers.pretrained_tokenizer import (
    ROLES,
    PretrainedTokenizer,
    complete_options,
)
from bertgen_jax.tokenizers.tokenizer_config import field
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson
from bertgen_jax.tokenizers.tokenizers_library import LibraryEngine, LibraryOptions
from bertgen_jax.tokenizers.vocabulary_files import VocabularyFiles

CONTINUATION = "##"
MAX_LETTERS = 100  # a longer word is one unknown piece, as in BERT
USUAL_ROLES = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
# Saved if a cased vocabulary is lower-cased on purpose, so that loading accepts it.
ON_PURPOSE = "lower_case_on_purpose"
FIELDS = {"do_lower_case": bool, "strip_accents": bool, "tokenize_chinese_chars": bool}


class WordPieceTokenizer(PretrainedTokenizer):
    """BERT's tokenizer.

    Control characters are removed and letters lower-cased, if that is set. Text is
    split at spaces, punctuation and Chinese characters, and each word into the longest
    pieces that the vocabulary has, from its beginning on. Ids and decoded text equal
    those of `transformers.BertTokenizer` 5, except that no special ids are put around a
    text. [CLS] begins a target, [SEP] ends it.
    """

    kind = interface.WORDPIECE

    def __init__(
        self,
        vocab: StrPath | Mapping[str, int],
        *,
        do_lower_case: bool | None = None,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        **options: Unpack[LibraryOptions],
    ):
        """Makes a tokenizer from a vocabulary.

        Args:
          vocab: path of a vocab.txt, or each piece with its row.
          do_lower_case: whether capitals are removed. None for whether no piece has
            one, so that a cased vocabulary is not lower-cased by default.
          strip_accents: whether accents are removed; None for `do_lower_case`.
          tokenize_chinese_chars: whether each Chinese character is a word of its own.
          **options: see `LibraryOptions`. The usual special strings are [UNK], [SEP],
            [PAD], [CLS] and [MASK]; by default `bos_token` is `cls_token` and
            `eos_token` is `sep_token`.

        Raises:
          TokenizerError: there is no vocabulary of word pieces.
          ConfigError: an option is unknown or invalid.
        """
        all_options = complete_options(options, tokenizers_library.LIBRARY_DEFAULTS)
        if isinstance(vocab, Mapping):
            name, pieces = "The vocabulary", vocab
        else:
            name, pieces = os.fspath(vocab), read_vocabulary(vocab)
        pieces = vocabulary_files.check_vocabulary(pieces, name)
        known = {*pieces, *(token.content for token in all_options["added_tokens"])}
        roles = tokenizers_library.usual_roles(all_options, USUAL_ROLES, known)
        roles["bos_token"] = roles["bos_token"] or roles["cls_token"]
        roles["eos_token"] = roles["eos_token"] or roles["sep_token"]
        for role, is_missing in (
            ("unk_token", roles["unk_token"] not in pieces),
            ("sep_token", roles["eos_token"] is None),
        ):
            if is_missing:
                raise TokenizerError(
                    f"{name} has {len(pieces):,} pieces, and "
                    f"{roles[role] or USUAL_ROLES[role]!r} is none of them; expected "
                    f"the vocabulary of a BERT, or its own special string as {role}."
                )
        if do_lower_case is None:
            do_lower_case = not pieces_with_capitals(pieces)
        self.do_lower_case = do_lower_case

        pipeline = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                vocab=pieces,
                unk_token=roles["unk_token"],
                max_input_chars_per_word=MAX_LETTERS,
                continuing_subword_prefix=CONTINUATION,
            )
        )
        normalizer = {
            "clean_text": True,
            "handle_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
            "lowercase": do_lower_case,
        }
        pipeline.normalizer = tokenizers.normalizers.BertNormalizer(**normalizer)
        pipeline.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        pipeline.decoder = tokenizers.decoders.WordPiece(prefix=CONTINUATION)
        self._library = LibraryEngine(pipeline, spaces_count=False)
        super().__init__(
            self._library,
            (pieces,),
            pieces,
            roles,
            {
                **all_options,
                "do_lower_case": do_lower_case,
                "strip_accents": strip_accents,
                "tokenize_chinese_chars": tokenize_chinese_chars,
            },
            around_source=tokenizers_library.around_source(roles),
            decisive={
                "normalizer": normalizer,
                "vocabulary": tokenizers_library.digest(pieces),
            },
        )

    @classmethod
    def from_pretrained(cls, source: StrPath, **overrides: Any) -> Self:
        """Loads a vocabulary and its options; see `AutoTokenizer.from_pretrained`."""
        (files,) = vocabulary_files.find(source, (cls.kind,))
        return cls.from_files(files, **overrides)

    @classmethod
    def from_files(cls, files: VocabularyFiles, **overrides: Any) -> Self:
        """Loads the files that `vocabulary_files.find` returns.

        Raises:
          TokenizerError: a file is corrupt, or says that a cased vocabulary is
            lower-cased.
          ConfigError: an override is invalid.
        """
        vocab: StrPath | dict[str, int] = files.paths[0]
        options: dict[str, Any] = {}
        if files.parsed:
            vocab, options = _read_json(files.parsed)
        options |= tokenizers_library.saved_options(files, FIELDS, {ON_PURPOSE: bool})
        on_purpose = options.pop(ON_PURPOSE, "do_lower_case" in overrides)
        tokenizer = cls(vocab, **(options | overrides))
        unreachable = tokenizer._unreachable_pieces()
        if unreachable and not on_purpose:
            raise TokenizerError(
                f"{files.directory or files.paths[0]} says do_lower_case, but has "
                f"{len(unreachable):,} pieces with capitals, such as "
                f"{unreachable[0]!r}, which lower-cased text never contains; expected "
                "do_lower_case=False as an argument, which overrides the file, or True "
                "if it is on purpose."
            )
        return tokenizer

    def _unreachable_pieces(self) -> list[str]:
        """Returns the pieces with capitals, if text is lower-cased."""
        (pieces,) = self._vocabulary
        return pieces_with_capitals(pieces) if self.do_lower_case else []

    def save_pretrained(self, directory: StrPath) -> None:
        """Writes tokenizer.json and tokenizer_config.json; creates the directory.

        Hugging Face's AutoTokenizer gives the same ids, and by default puts the source
        prefix and suffix around a text.
        """
        tokenizers_library.write_tokenizer_json(directory, self._library, self)
        self._write_config(
            directory,
            tokenizers_library.SAVED_CLASS,
            ROLES,
            fields=tokenizers_library.SAVED_FIELDS,
            own_fields={ON_PURPOSE: bool(self._unreachable_pieces())},
        )


def read_vocabulary(file: StrPath) -> dict[str, int]:
    """Reads a vocab.txt: one piece a line, in the order of their rows.

    Raises:
      TokenizerError: it cannot be read; a line is empty or repeated.
    """
    pieces: dict[str, int] = {}
    lines = vocabulary_files.read_text(file).rstrip("\n").split("\n")
    for row, piece in enumerate(lines):
        if not piece or piece in pieces:
            problem = f"{shown(piece)} once more" if piece else "empty"
            raise TokenizerError(
                f"{os.fspath(file)}, line {row + 1:,}, is {problem}; expected word "
                "pieces, each on a line of its own."
            )
        pieces[piece] = row
    return pieces


def pieces_with_capitals(pieces: Iterable[str]) -> list[str]:
    """Returns the pieces that lower-cased text never contains, special ones aside."""
    return [
        piece
        for piece in pieces
        if piece != piece.lower() and not tokenizers_library.looks_special(piece)
    ]


def _read_json(parsed: TokenizerJson) -> tuple[dict[str, int], dict[str, Any]]:
    """Returns the vocabulary of a tokenizer.json and the options in it."""
    parsed.expect(
        "model",
        continuing_subword_prefix=CONTINUATION,
        max_input_chars_per_word=MAX_LETTERS,
    )
    parsed.expect("normalizer", type="BertNormalizer", clean_text=True)
    parsed.expect("pre_tokenizer", type="BertPreTokenizer")
    file, normalizer = parsed.file, parsed.normalizer
    options = {
        "unk_token": field(parsed.model, "unk_token", str, file),
        "do_lower_case": field(normalizer, "lowercase", bool, file),
        "strip_accents": field(normalizer, "strip_accents", bool, file),
        "tokenize_chinese_chars": field(normalizer, "handle_chinese_chars", bool, file),
    }
    pieces = vocabulary_files.check_vocabulary(
        parsed.model.get("vocab"), f"The vocabulary in {file}"
    )
    return pieces, {key: value for key, value in options.items() if value is not None}
