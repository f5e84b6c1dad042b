"""`WordPieceTokenizer`: text in, the ids of BERT's word pieces out."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import tokenizers

from bertgen_jax import errors
from bertgen_jax.tokenizers import fast, interface, json_files, tokenizer_json
from bertgen_jax.tokenizers.base import complete
from bertgen_jax.tokenizers.fast import FastOptions, FastTokenizer
from bertgen_jax.tokenizers.json_files import field
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson
from bertgen_jax.tokenizers.vocabulary_files import Files

CONTINUATION = "##"
LONGEST_WORD = 100  # letters; a longer word is one unknown piece, as in BERT
USUAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ON_PURPOSE = "lower_case_on_purpose"  # a cased vocabulary; saved, so as to ask once
FIELDS = {"do_lower_case": bool, "strip_accents": bool, "tokenize_chinese_chars": bool}


class WordPieceTokenizer(FastTokenizer):
    """BERT's tokenizer; an `interface.Tokenizer`.

    Text is rid of control characters, lower-cased or not, cut at spaces, punctuation
    and Chinese characters, and each word is split into the longest pieces that the
    vocabulary has, from its beginning on. Ids and decoded text equal those of
    `transformers.BertTokenizer` 5, special ids aside, which are not put around a text.
    [CLS] begins a target, [SEP] ends it.
    """

    kind = interface.WORDPIECE

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int],
        *,
        do_lower_case: bool | None = None,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        **options: Unpack[FastOptions],
    ):
        """Makes a tokenizer of a vocabulary.

        Args:
          vocab: path of a vocab.txt, or each piece with its row.
          do_lower_case: whether capitals are removed. If None, they are where no piece
            has one: a cased vocabulary is not lower-cased unasked.
          strip_accents: whether accents are removed; as `do_lower_case` if None.
          tokenize_chinese_chars: whether each Chinese character is a word of its own.
          **options: see `FastOptions`. The usual special strings are [UNK], [SEP],
            [PAD], [CLS] and [MASK]; the usual `bos_token` and `eos_token` are those of
            `cls_token` and `sep_token`.

        Raises:
          TokenizerError: there is no vocabulary of word pieces.
          ConfigError: an option that is unknown, or that cannot be meant.
        """
        options = complete(options, fast.LIBRARY_DEFAULTS)
        if isinstance(vocab, Mapping):
            where, pieces = "The vocabulary", vocab
        else:
            where, pieces = os.fspath(vocab), read_vocabulary(vocab)
        pieces = tokenizer_json.check_vocabulary(pieces, where)
        known = {*pieces, *(token.content for token in options["added_tokens"])}
        roles = fast.usual_roles(options, USUAL, known)
        roles["bos_token"] = roles["bos_token"] or roles["cls_token"]
        roles["eos_token"] = roles["eos_token"] or roles["sep_token"]
        for role, missing in (
            ("unk_token", roles["unk_token"] not in pieces),
            ("sep_token", roles["eos_token"] is None),
        ):
            if missing:
                raise errors.TokenizerError(
                    f"{where} has {len(pieces):,} pieces, and "
                    f"{roles[role] or USUAL[role]!r} is none of them; expected the "
                    f"vocabulary of a BERT, or its own special string as {role}."
                )
        if do_lower_case is None:
            do_lower_case = not capitals(pieces)
        self.do_lower_case = do_lower_case

        pipeline = tokenizers.Tokenizer(
            tokenizers.models.WordPiece(
                vocab=pieces,
                unk_token=roles["unk_token"],
                max_input_chars_per_word=LONGEST_WORD,
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
        super().__init__(
            pipeline,
            (pieces,),
            roles,
            {
                **options,
                "do_lower_case": do_lower_case,
                "strip_accents": strip_accents,
                "tokenize_chinese_chars": tokenize_chinese_chars,
            },
            decisive={"normalizer": normalizer},
        )

    @classmethod
    def from_files(cls, files: Files, **overrides: Any) -> Self:
        """Loads what `vocabulary_files.find` has found; see `from_pretrained`.

        Raises:
          TokenizerError: also where a file says that a cased vocabulary is lower-cased.
        """
        vocab, options = files.paths[0], {}
        if files.parsed:
            vocab, options = _read_json(files.parsed)
        options |= fast.saved_options(files, FIELDS, {ON_PURPOSE: bool})
        on_purpose = options.pop(ON_PURPOSE, "do_lower_case" in overrides)
        tokenizer = cls(vocab, **(options | overrides))
        unused = tokenizer._unused()
        if unused and not on_purpose:
            raise errors.TokenizerError(
                f"{files.directory or files.paths[0]} says do_lower_case, but has "
                f"{len(unused):,} pieces with capitals, such as {unused[0]!r}, which "
                "lower-cased text never reaches; expected do_lower_case=False as an "
                "argument, which overrides the file, or True if it is meant so."
            )
        return tokenizer

    def _unused(self) -> list[str]:
        """Pieces that no text becomes, as capitals are removed."""
        (pieces,) = self._vocabulary
        return capitals(pieces) if self.do_lower_case else []

    def _own_fields(self) -> dict[str, Any]:
        return {ON_PURPOSE: bool(self._unused())}


def read_vocabulary(file: str | os.PathLike[str]) -> dict[str, int]:
    """Reads a vocab.txt: a piece a line, in the order of their rows.

    Raises:
      TokenizerError: it cannot be read; a line is empty, or there twice.
    """
    pieces: dict[str, int] = {}
    for row, piece in enumerate(json_files.read_text(file).rstrip("\n").split("\n")):
        if not piece or piece in pieces:
            what = f"{json_files.shown(piece)} once more" if piece else "empty"
            raise errors.TokenizerError(
                f"{os.fspath(file)}, line {row + 1:,}, is {what}; expected word "
                "pieces, each on a line of its own."
            )
        pieces[piece] = row
    return pieces


def capitals(pieces: Iterable[str]) -> list[str]:
    """The pieces that lower-cased text never reaches; special strings do not count."""
    return [
        piece
        for piece in pieces
        if piece != piece.lower() and not fast.looks_special(piece)
    ]


def _read_json(parsed: TokenizerJson) -> tuple[dict[str, int], dict[str, Any]]:
    """The vocabulary of a tokenizer.json, and the options that it says."""
    parsed.expect(
        "model",
        continuing_subword_prefix=CONTINUATION,
        max_input_chars_per_word=LONGEST_WORD,
    )
    parsed.expect("normalizer", type="BertNormalizer", clean_text=True)
    parsed.expect("pre_tokenizer", type="BertPreTokenizer")
    file = parsed.file
    said = {
        "unk_token": field(parsed.model, "unk_token", str, file),
        "do_lower_case": field(parsed.normalizer, "lowercase", bool, file),
        "strip_accents": field(parsed.normalizer, "strip_accents", bool, file),
        "tokenize_chinese_chars": field(
            parsed.normalizer, "handle_chinese_chars", bool, file
        ),
    }
    pieces = tokenizer_json.check_vocabulary(
        parsed.model.get("vocab"), f"The vocabulary in {file}"
    )
    return pieces, {key: value for key, value in said.items() if value is not None}
