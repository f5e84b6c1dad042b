"""`ByteLevelBPETokenizer`: text in, the ids of GPT-2's or RoBERTa's pieces out."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, Unpack

import tokenizers

from bertgen_jax import errors
from bertgen_jax.tokenizers import fast, interface, json_files, tokenizer_json
from bertgen_jax.tokenizers.base import complete
from bertgen_jax.tokenizers.fast import FastOptions, FastTokenizer
from bertgen_jax.tokenizers.json_files import field
from bertgen_jax.tokenizers.tokenizer_json import TokenizerJson
from bertgen_jax.tokenizers.vocabulary_files import Files

Merges = Sequence[tuple[str, str]]

SPACE = "Ġ"
ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")


class ByteLevelBPETokenizer(FastTokenizer):
    """GPT-2's and RoBERTa's tokenizer; an `interface.Tokenizer`.

    Text is cut into words, numbers and signs, each with the space before it. Their
    bytes are written in letters (`vocabularies` says which) and merged into pieces, the
    pair that comes first in `merges` first. Nothing is unknown, and decoding gives back
    what was encoded. Ids equal those of `transformers.GPT2Tokenizer` and
    `RobertaTokenizer` 5, special ids aside, which are not put around a text.
    """

    kind = interface.BYTE_LEVEL_BPE

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int],
        merges: str | os.PathLike[str] | Merges,
        *,
        add_prefix_space: bool = False,
        **options: Unpack[FastOptions],
    ):
        """Makes a tokenizer of a vocabulary and its merges.

        Args:
          vocab: path of a vocab.json or encoder.json, or each piece with its row.
          merges: path of a merges.txt or vocab.bpe, or pairs of pieces.
          add_prefix_space: whether a text begins as if there were a space before it.
          **options: see `FastOptions`. The usual special strings are <s>, </s>,
            <unk>, <pad> and <mask> where the vocabulary has <s> and </s>; elsewhere
            <|endoftext|> begins and ends a text.

        Raises:
          TokenizerError: vocabulary or merges cannot be read, or do not fit.
          ConfigError: an option that is unknown, or that cannot be meant.
        """
        options = complete(options, fast.LIBRARY_DEFAULTS)
        vocab_name, pieces = "The vocabulary", vocab
        if not isinstance(vocab, Mapping):
            vocab_name, pieces = os.fspath(vocab), json_files.read_object(vocab)
        pieces = tokenizer_json.check_vocabulary(pieces, vocab_name)
        if SPACE not in pieces:
            raise errors.TokenizerError(
                f"{vocab_name} has no piece {SPACE!r}, a space in GPT-2's letters for "
                "bytes; expected a byte-level vocabulary."
            )
        merges_name, pairs = "The merges", merges
        is_file = isinstance(merges, str | os.PathLike)
        if is_file:
            merges_name, pairs = os.fspath(merges), read_merges(merges)
        pairs = check_merges(pairs, merges_name, pieces, vocab_name)
        if is_file:
            _check_whole(pairs, merges_name, pieces, vocab_name)

        known = {*pieces, *(token.content for token in options["added_tokens"])}
        usual = ROBERTA if {"<s>", "</s>"} <= known else GPT2
        roles = fast.usual_roles(options, usual, known)
        if roles["eos_token"] is None:
            raise errors.TokenizerError(
                f"{vocab_name} has {len(pieces):,} pieces, and neither </s> nor "
                "<|endoftext|> is one; expected its own special string as eos_token."
            )
        unknown = roles["unk_token"]
        pipeline = tokenizers.Tokenizer(
            tokenizers.models.BPE(
                vocab=pieces,
                merges=pairs,
                # Of use where a vocabulary lacks letters, whose bytes would be lost.
                unk_token=unknown if unknown in pieces else None,
            )
        )
        pipeline.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=add_prefix_space
        )
        pipeline.decoder = tokenizers.decoders.ByteLevel()
        super().__init__(
            pipeline,
            (pieces, pairs),
            roles,
            {**options, "add_prefix_space": add_prefix_space},
            decisive={"add_prefix_space": add_prefix_space},
        )

    @classmethod
    def from_files(cls, files: Files, **overrides: Any) -> Self:
        """Loads what `vocabulary_files.find` has found; see `from_pretrained`."""
        options: dict[str, Any] = {}
        if files.parsed:
            vocab, merges, options = _read_json(files.parsed)
        elif len(files.paths) == 3:
            encoder, merges, dictionary = files.paths
            vocab = fairseq_vocabulary(encoder, dictionary)
        else:
            vocab, merges = files.paths
        fields = {"add_prefix_space": bool}
        options |= fast.saved_options(files, fields, {})
        # Version 4 of the peer wrote True here too; 5 does not heed it. Pieces have the
        # spaces of the text: there is none to clean up.
        options.pop("clean_up_tokenization_spaces", None)
        return cls(vocab, merges, **(options | overrides))


def read_merges(file: str | os.PathLike[str]) -> list[tuple[str, ...]]:
    """Reads a merges.txt or vocab.bpe: two pieces a line, the first merge first.

    Raises:
      TokenizerError: it cannot be read.
    """
    lines = json_files.read_text(file).rstrip("\n").split("\n")
    if lines[0].startswith("#version"):
        del lines[0]
    return [tuple(line.split(" ")) for line in lines]


def check_merges(
    merges: Any, merges_name: str, pieces: Mapping[str, int], vocab_name: str
) -> list[tuple[str, str]]:
    """Pairs of pieces that make a piece.

    Raises:
      TokenizerError: there is something else among them.
    """
    if not isinstance(merges, Sequence):
        raise errors.TokenizerError(
            f"{merges_name} is {json_files.shown(merges)}; expected pairs of pieces."
        )
    for number, pair in enumerate(merges):
        match pair:
            case str(left), str(right):
                sound = left in pieces and right in pieces and left + right in pieces
            case _:
                sound = False
        if not sound:
            raise errors.TokenizerError(
                f"{merges_name}: merge {number + 1:,} is {json_files.shown(pair)}; "
                f"expected two pieces of {vocab_name} that make a third. Is one of the "
                "files cut off, or are they of two tokenizers?"
            )
    return [tuple(pair) for pair in merges]


def _check_whole(
    merges: Iterable[tuple[str, str]],
    merges_name: str,
    pieces: Mapping[str, int],
    vocab_name: str,
) -> None:
    """Notices a text file of merges that was cut off, and would give other ids."""
    made = {left + right for left, right in merges}
    unmade = [
        piece
        for piece in pieces
        if len(piece) > 1 and piece not in made and not fast.looks_special(piece)
    ]
    if unmade:
        raise errors.TokenizerError(
            f"{merges_name} has no merge that makes {unmade[0]!r}, nor {len(unmade):,} "
            f"pieces of {vocab_name} in all; expected one for each piece of several "
            "letters. The file is cut off, or is another vocabulary's."
        )


def fairseq_vocabulary(
    encoder: str | os.PathLike[str], dictionary: str | os.PathLike[str]
) -> dict[str, int]:
    """The rows of a RoBERTa of fairseq.

    `dict.txt` has a line "number count" for each row after <s>, <pad>, </s> and <unk>;
    numbers are those of GPT-2's pieces. After them comes <mask>, which the task of
    masked words adds (fairseq: `Dictionary`, `MaskedLMTask`).

    Raises:
      TokenizerError: a file cannot be read.
    """
    gpt2 = tokenizer_json.check_vocabulary(
        json_files.read_object(encoder), os.fspath(encoder)
    )
    names = {str(number): piece for piece, number in gpt2.items()}
    order = ["<s>", "<pad>", "</s>", "<unk>"]
    lines = json_files.read_text(dictionary).rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        name, _, count = line.partition(" ")
        if not count.isdecimal() or (name.isdecimal() and name not in names):
            raise errors.TokenizerError(
                f"{os.fspath(dictionary)}, line {number + 1:,}, is "
                f"{json_files.shown(line)}; expected a number of "
                f"{os.fspath(encoder)} and a count."
            )
        order.append(names.get(name, name))
    order += [] if "<mask>" in order else ["<mask>"]
    pieces = {piece: row for row, piece in enumerate(order)}
    if len(pieces) < len(order):
        raise errors.TokenizerError(
            f"{os.fspath(dictionary)} has {len(order) - len(pieces):,} of its pieces "
            "twice; expected each once."
        )
    return pieces


def _read_json(
    parsed: TokenizerJson,
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, Any]]:
    """Vocabulary and merges of a tokenizer.json, and the options that it says."""
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
    if isinstance(merges, list):  # version 4 of the peer wrote pairs as "left right"
        merges = [tuple(m.split(" ")) if isinstance(m, str) else m for m in merges]
    where = f"The vocabulary in {parsed.file}"
    pieces = tokenizer_json.check_vocabulary(parsed.model.get("vocab"), where)
    pairs = check_merges(merges, f"The merges in {parsed.file}", pieces, where)
    return pieces, pairs, {} if prefix is None else {"add_prefix_space": prefix}
