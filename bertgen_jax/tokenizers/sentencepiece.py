"""`BertGenerationTokenizer`: the SentencePiece tokenizer of the paper."""

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Self, Unpack

import sentencepiece

from bertgen_jax.errors import ConfigError, TokenizerError, nearest
from bertgen_jax.files import atomic, protobuf
from bertgen_jax.files.paths import StrPath
from bertgen_jax.normalization import SEPARATOR
from bertgen_jax.tokenizers import interface, tokenizer_config, vocabulary_files
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.pretrained_tokenizer import (
    DEFAULTS,
    Options,
    PretrainedTokenizer,
    complete_options,
)
from bertgen_jax.tokenizers.vocabulary_files import VocabularyFiles

VOCAB_FILE = "spiece.model"
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")
SAMPLING = {"enable_sampling": bool, "nbest_size": int, "alpha": float}
PARALLELISM = "TOKENIZERS_PARALLELISM"
# Field 2 of sentencepiece_model.proto's ModelProto; field 1, before it, is the pieces.
_TRAINER_SPEC = 2


class BertGenerationTokenizer(PretrainedTokenizer):
    """SentencePiece, after special strings have been cut out of a text.

    Ids and decoded text equal those of `transformers.BertGenerationTokenizer` 5. A
    special string that the model lacks gets an id after the vocabulary.
    """

    kind = interface.SENTENCEPIECE

    def __init__(
        self,
        vocab_file: StrPath | bytes,
        bos_token: str | None = "<s>",
        eos_token: str = "</s>",
        unk_token: str = "<unk>",
        pad_token: str = "<pad>",
        sep_token: str | None = SEPARATOR,
        sp_model_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ):
        """Loads a SentencePiece model.

        Args:
          vocab_file: path of the model, or its bytes.
          bos_token: starts a target; None if there is no such string.
          eos_token: ends a target.
          unk_token: stands for text that the vocabulary cannot spell.
          pad_token: fills up short rows.
          sep_token: separates two texts in a row; None if there is no such string.
          sp_model_kwargs: subword regularisation: `enable_sampling`, `nbest_size`,
            `alpha`. The ids of a text then differ from call to call.
          **options: see `Options`. `source_specials` puts `bos_token` and `eos_token`
            around a source.

        Raises:
          TokenizerError: no model can be read from `vocab_file`.
          ConfigError: an option is unknown or invalid, or a required special string is
            missing.
        """
        all_options = complete_options(options, DEFAULTS)
        roles = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
        }
        for role in ("eos_token", "unk_token", "pad_token"):
            if not roles[role]:
                raise ConfigError(
                    f"{role} is {roles[role]!r}; expected a special string."
                )
        sampling = dict(sp_model_kwargs or {})
        # The spaces around such a string are always dropped, so flags have no effect.
        all_options["added_tokens"] = [
            AddedToken(token.content, token.id, normalized=False)
            for token in all_options["added_tokens"]
        ]
        model, processor, names = load_model(vocab_file, sampling)
        pieces = {piece: index for index, piece in enumerate(names)}
        super().__init__(
            SentencePieceEngine(processor, names),
            (model,),
            pieces,
            roles,
            {**all_options, **roles, "sp_model_kwargs": sampling},
            around_source=(bos_token, eos_token),
            decisive={
                "model": hashlib.sha256(model).hexdigest(),
                "sp_model_kwargs": sampling,
            },
        )
        # Hugging Face's class has no mask_token, but the published model has the piece.
        mask = pieces.get("[MASK]", pieces.get("<mask>"))
        self.special_ids = dataclasses.replace(self.special_ids, mask=mask)

    @classmethod
    def from_pretrained(cls, source: StrPath, **overrides: Any) -> Self:
        """Loads a model and its options; see `AutoTokenizer.from_pretrained`."""
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
        if files.directory is not None:
            fields = {"sp_model_kwargs": dict}
            options = tokenizer_config.read(files.directory, ROLES, fields, {})
        return cls(files.paths[0], **(options | overrides))

    def save_vocabulary(
        self, directory: StrPath, filename_prefix: str | None = None
    ) -> tuple[str]:
        """Writes the model byte for byte; returns its path, in a tuple of one."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = pathlib.Path(directory) / (prefix + VOCAB_FILE)
        (model,) = self._vocabulary
        with atomic.new_file(path) as file:
            file.write(model)
        return (str(path),)

    def save_pretrained(self, directory: StrPath) -> None:
        """Writes spiece.model and tokenizer_config.json; creates the directory.

        Hugging Face's AutoTokenizer gives the same ids, but never puts any around a
        text, because it knows neither `source_specials` nor `normalization`.
        """
        self.save_vocabulary(directory)
        self._write_config(
            directory,
            type(self).__name__,
            ROLES,
            fields={"sp_model_kwargs": self._options["sp_model_kwargs"]},
            own_fields={},
            added=tuple(self.added_tokens_decoder.values()),
        )


class SentencePieceEngine:
    """An `Engine` around a SentencePiece model.

    Args:
      processor: runs the model.
      pieces: the pieces of the model by id.
    """

    def __init__(
        self, processor: sentencepiece.SentencePieceProcessor, pieces: list[str]
    ):
        self._processor = processor
        self._pieces = dict(enumerate(pieces))

    def add_tokens(self, tokens: Mapping[int, AddedToken]) -> None:
        """Registers the strings that are cut out of texts, by id."""
        self._ids = {token.content: index for index, token in tokens.items()}
        self._special = frozenset(i for i, token in tokens.items() if token.special)
        self._pieces |= {index: token.content for index, token in tokens.items()}
        # Longest first: if one string is the beginning of another, the longer one wins.
        strings = sorted(self._ids, key=len, reverse=True)
        self._cut = re.compile(f"({'|'.join(map(re.escape, strings))})")

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Returns the ids of each text, computed on all cores."""
        # Each is [text, string, text, ..., text]; the texts may be empty.
        split = [self._cut.split(text) for text in texts]
        stretches = [stretch for parts in split for stretch in parts[0::2]]
        # -1: one thread for each core, unless the variable of the `tokenizers` library
        # says that processes have the cores.
        is_alone = len(texts) == 1 or os.environ.get(PARALLELISM) == "false"
        num_threads = 1 if is_alone else -1
        encoded = iter(self._processor.encode(stretches, num_threads=num_threads))
        rows = []
        for parts in split:
            row = next(encoded)
            for string in parts[1::2]:
                row.append(self._ids[string])
                row.extend(next(encoded))
            rows.append(row)
        return rows

    def tokenize(self, text: str) -> list[str]:
        """Returns the pieces of a text; text without a piece stands for itself."""
        tokens: list[str] = []
        for number, part in enumerate(self._cut.split(text)):
            is_special = number % 2 == 1
            tokens += [part] if is_special else self._processor.encode_as_pieces(part)
        return tokens

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Returns the text of ids, all of which are in the vocabulary."""
        skipped = self._special if skip_special_tokens else ()
        pieces = (self._pieces.get(i, "") for i in ids if i not in skipped)
        return "".join(pieces).replace("▁", " ").strip()


def load_model(
    vocab_file: StrPath | bytes, sp_model_kwargs: Mapping[str, Any]
) -> tuple[bytes, sentencepiece.SentencePieceProcessor, list[str]]:
    """Reads a SentencePiece model.

    Args:
      vocab_file: path of the model, or its bytes.
      sp_model_kwargs: keys of `SAMPLING`, for subword regularisation.

    Returns:
      The bytes of the model, the processor that runs it, and its pieces by id.

    Raises:
      TokenizerError: the file does not exist, or is no complete model.
      ConfigError: `sp_model_kwargs` has an unknown key or an invalid value.
    """
    _check_sampling(sp_model_kwargs)
    if isinstance(vocab_file, bytes):
        name, model = "The SentencePiece model given as bytes", vocab_file
    else:
        name, model = os.fspath(vocab_file), _read(vocab_file)
    if not model:
        raise TokenizerError(f"{name} is empty; expected a SentencePiece model.")
    processor = sentencepiece.SentencePieceProcessor(**sp_model_kwargs)
    try:
        processor.load(model_proto=model)
    except RuntimeError as error:
        raise TokenizerError(
            f"{name} is not a SentencePiece model, or is damaged: its {len(model):,} "
            f"bytes begin with {model[:16]!r}. Expected a file that SentencePiece's "
            "trainer wrote; Hugging Face directories call it spiece.model."
        ) from error
    if not _is_complete(model):
        raise TokenizerError(
            f"{name} is cut off: its {len(model):,} bytes hold "
            f"{processor.piece_size():,} pieces and end before the trainer's settings, "
            "which follow the last piece in every SentencePiece model. Copy it again."
        )
    try:
        pieces = processor.id_to_piece(list(range(processor.piece_size())))
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{name} is damaged: not all of its {processor.piece_size():,} pieces are "
            f"text in UTF-8 ({error.reason}). Copy it again."
        ) from error
    return model, processor, pieces


def _check_sampling(sp_model_kwargs: Mapping[str, Any]) -> None:
    """Raises a ConfigError if an argument of subword regularisation is invalid."""
    for key, value in sp_model_kwargs.items():
        if key not in SAMPLING:
            raise ConfigError(
                f"sp_model_kwargs has {key!r}; expected {', '.join(SAMPLING)}."
                f"{nearest(key, SAMPLING)}"
            )
        # JSON writes whole numbers without a decimal point.
        if type(value) is not SAMPLING[key] and (key, type(value)) != ("alpha", int):
            raise ConfigError(
                f"{key} of sp_model_kwargs is {value!r}; expected a "
                f"{SAMPLING[key].__name__}."
            )
    candidates = sp_model_kwargs.get("nbest_size", -1)
    if sp_model_kwargs.get("enable_sampling") and candidates in (0, 1):
        raise ConfigError(
            f"sp_model_kwargs samples from nbest_size={candidates} segmentations; "
            "expected 2 or more, or -1 for all."
        )


def _read(path: StrPath) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"Cannot read the SentencePiece model {os.fspath(path)}: {error.strerror}."
        ) from error


def _is_complete(model: bytes) -> bool:
    """Whether a model contains the trainer's settings, which follow the pieces."""
    try:
        return any(number == _TRAINER_SPEC for number, _, _ in protobuf.fields(model))
    except ValueError:
        return False
