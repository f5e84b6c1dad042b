"""`ByteLevelBPETokenizer`: the tokenizer of GPT-2 and RoBERTa."""

import os
from collections.abc import Iterable, Mapping, Sequence
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
from bertgen_jax.tokenizers.tokenizer_config import field, read_object
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson
from bertgen_jax.tokenizers.tokenizers_library import LibraryEngine, LibraryOptions
from bertgen_jax.tokenizers.vocabulary_files import VocabularyFiles

Merges = Sequence[tuple[str, str]]

SPACE = "Ġ"
ROBERTA_ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
GPT2_ROLES = {
    "bos_token": "<|endoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
}


class ByteLevelBPETokenizer(PretrainedTokenizer):
    """GPT-2's and RoBERTa's tokenizer.

    Text is split into words, numbers and signs, each with the space before it. Their
    bytes are written as letters, a space as "Ġ", and merged into pieces in the order of
    `merges`. There is no unknown text, and decoding restores what was encoded. Ids
    equal those of `transformers.GPT2Tokenizer` and `RobertaTokenizer` 5, except that no
    special ids are put around a text.
    """

    kind = interface.BYTE_LEVEL_BPE

    def __init__(
        self,
        vocab: StrPath | Mapping[str, int],
        merges: StrPath | Merges,
        *,
        add_prefix_space: bool = False,
        **options: Unpack[LibraryOptions],
    ):
        """Makes a tokenizer from a vocabulary and its merges.

        Args:
          vocab: path of a vocab.json or encoder.json, or each piece with its row.
          merges: path of a merges.txt or vocab.bpe, or pairs of pieces.
          add_prefix_space: whether a text is encoded as if a space came before it.
          **options: see `LibraryOptions`. The usual special strings are <s>, </s>,
            <unk>, <pad> and <mask> if the vocabulary has <s> and </s>; otherwise
            <|endoftext|> begins and ends a text.

        Raises:
          TokenizerError: vocabulary or merges cannot be read, or do not fit together.
          ConfigError: an option is unknown or invalid.
        """
        all_options = complete_options(options, tokenizers_library.LIBRARY_DEFAULTS)
        if isinstance(vocab, Mapping):
            vocab_name, pieces = "The vocabulary", vocab
        else:
            vocab_name, pieces = os.fspath(vocab), read_object(vocab)
        pieces = vocabulary_files.check_vocabulary(pieces, vocab_name)
        if SPACE not in pieces:
            raise TokenizerError(
                f"{vocab_name} has no piece {SPACE!r}, a space in GPT-2's letters for "
                "bytes; expected a byte-level vocabulary."
            )
        if isinstance(merges, str | os.PathLike):
            merges_name = os.fspath(merges)
            pairs = check_merges(read_merges(merges), merges_name, pieces, vocab_name)
            _check_complete(pairs, merges_name, pieces, vocab_name)
        else:
            pairs = check_merges(merges, "The merges", pieces, vocab_name)

        known = {*pieces, *(token.content for token in all_options["added_tokens"])}
        usual = ROBERTA_ROLES if {"<s>", "</s>"} <= known else GPT2_ROLES
        roles = tokenizers_library.usual_roles(all_options, usual, known)
        if roles["eos_token"] is None:
            raise TokenizerError(
                f"{vocab_name} has {len(pieces):,} pieces, and neither </s> nor "
                "<|endoftext|> is one; expected its own special string as eos_token."
            )
        unknown = roles["unk_token"]
        pipeline = tokenizers.Tokenizer(
            tokenizers.models.BPE(
                vocab=pieces,
                merges=pairs,
                # For a vocabulary that lacks letters, whose bytes would be dropped.
                unk_token=unknown if unknown in pieces else None,
            )
        )
        pipeline.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=add_prefix_space
        )
        pipeline.decoder = tokenizers.decoders.ByteLevel()
        self._library = LibraryEngine(pipeline, spaces_count=True)
        super().__init__(
            self._library,
            (pieces, pairs),
            pieces,
            roles,
            {**all_options, "add_prefix_space": add_prefix_space},
            around_source=tokenizers_library.around_source(roles),
            decisive={
                "add_prefix_space": add_prefix_space,
                "vocabulary": tokenizers_library.digest(pieces, pairs),
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
          TokenizerError: a file is corrupt.
          ConfigError: an override is invalid.
        """
        options: dict[str, Any] = {}
        if files.parsed:
            vocab, merges, options = _read_json(files.parsed)
        elif len(files.paths) == 3:
            encoder, merges, dictionary = files.paths
            vocab = read_fairseq_vocabulary(encoder, dictionary)
        else:
            vocab, merges = files.paths
        fields = {"add_prefix_space": bool}
        options |= tokenizers_library.saved_options(files, fields, {})
        # Version 4 of Hugging Face's library wrote True here, and version 5 ignores it:
        # pieces include the spaces of the text, so there is nothing to clean up.
        options.pop("clean_up_tokenization_spaces", None)
        return cls(vocab, merges, **(options | overrides))

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
            own_fields={},
        )


def read_merges(file: StrPath) -> list[tuple[str, ...]]:
    """Reads a merges.txt or vocab.bpe: two pieces a line, the first merge first.

    Raises:
      TokenizerError: it cannot be read.
    """
    lines = vocabulary_files.read_text(file).rstrip("\n").split("\n")
    if lines[0].startswith("#version"):
        del lines[0]
    return [tuple(line.split(" ")) for line in lines]


def check_merges(
    merges: Any, merges_name: str, pieces: Mapping[str, int], vocab_name: str
) -> list[tuple[str, str]]:
    """Returns merges as pairs of pieces that make a third piece.

    Raises:
      TokenizerError: one of them is something else.
    """
    if not isinstance(merges, Sequence):
        raise TokenizerError(
            f"{merges_name} is {shown(merges)}; expected pairs of pieces."
        )
    pairs: list[tuple[str, str]] = []
    for number, pair in enumerate(merges):
        match pair:
            case str(left), str(right) if (
                left in pieces and right in pieces and left + right in pieces
            ):
                pairs.append((left, right))
            case _:
                raise TokenizerError(
                    f"{merges_name}: merge {number + 1:,} is {shown(pair)}; expected "
                    f"two pieces of {vocab_name} that make a third. Is one of the "
                    "files cut off, or are they of two tokenizers?"
                )
    return pairs


def _check_complete(
    merges: Iterable[tuple[str, str]],
    merges_name: str,
    pieces: Mapping[str, int],
    vocab_name: str,
) -> None:
    """Detects a text file of merges that was cut off, which would give other ids."""
    made = {left + right for left, right in merges}
    unmade = [
        piece
        for piece in pieces
        if len(piece) > 1
        and piece not in made
        and not tokenizers_library.looks_special(piece)
    ]
    if unmade:
        raise TokenizerError(
            f"{merges_name} has no merge that makes {unmade[0]!r}, nor {len(unmade):,} "
            f"pieces of {vocab_name} in all; expected one for each piece of several "
            "letters. The file is cut off, or belongs to another vocabulary."
        )


def read_fairseq_vocabulary(encoder: StrPath, dictionary: StrPath) -> dict[str, int]:
    """Returns the rows of fairseq's RoBERTa.

    `dict.txt` has a line "number count" for each row after <s>, <pad>, </s> and <unk>;
    the numbers are ids of GPT-2. The last row is <mask>, which the masked-LM task adds
    (fairseq: `Dictionary`, `MaskedLMTask`).

    Args:
      encoder: path of GPT-2's encoder.json.
      dictionary: path of dict.txt.

    Raises:
      TokenizerError: a file cannot be read, or the two do not fit together.
    """
    gpt2 = vocabulary_files.check_vocabulary(read_object(encoder), os.fspath(encoder))
    names = {str(number): piece for piece, number in gpt2.items()}
    order = ["<s>", "<pad>", "</s>", "<unk>"]
    lines = vocabulary_files.read_text(dictionary).rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        name, _, count = line.partition(" ")
        if not count.isdecimal() or (name.isdecimal() and name not in names):
            raise TokenizerError(
                f"{os.fspath(dictionary)}, line {number + 1:,}, is {shown(line)}; "
                f"expected a number of {os.fspath(encoder)} and a count."
            )
        order.append(names.get(name, name))
    order += [] if "<mask>" in order else ["<mask>"]
    pieces = {piece: row for row, piece in enumerate(order)}
    if len(pieces) < len(order):
        raise TokenizerError(
            f"{os.fspath(dictionary)} has {len(order) - len(pieces):,} of its pieces "
            "twice; expected each once."
        )
    return pieces


def _read_json(
    parsed: TokenizerJson,
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, Any]]:
    """Returns vocabulary and merges of a tokenizer.json, and the options in it."""
    parsed.expect(
        "model",
        dropout=None,
        continuing_subword_prefix=None,
        end_of_word_suffix=None,
        byte_fallback=False,
        ignore_merges=False,
    )
    parsed.expect("normalizer", type=None)
    parsed.expect("pre_tokenizer", type="ByteLevel", use_regex=True)
    prefix = field(parsed.pre_tokenizer, "add_prefix_space", bool, parsed.file)
    merges = parsed.model.get("merges")
    if isinstance(merges, list):  # version 4 wrote pairs as "left right"
        merges = [tuple(m.split(" ")) if isinstance(m, str) else m for m in merges]
    name = f"The vocabulary in {parsed.file}"
    pieces = vocabulary_files.check_vocabulary(parsed.model.get("vocab"), name)
    pairs = check_merges(merges, f"The merges in {parsed.file}", pieces, name)
    return pieces, pairs, {} if prefix is None else {"add_prefix_space": prefix}
