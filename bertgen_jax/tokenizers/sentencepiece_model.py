"""A SentencePiece model file in; its bytes and a processor that has read them out."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import sentencepiece

from bertgen_jax import errors
from bertgen_jax.errors import nearest
from bertgen_jax.files import protobuf

SAMPLING = {"enable_sampling": bool, "nbest_size": int, "alpha": float}
# Field 2 of sentencepiece_model.proto's ModelProto; field 1, before it, is the pieces.
TRAINER_SPEC = 2


def load(
    vocab_file: str | os.PathLike[str] | bytes, sp_model_kwargs: Mapping[str, Any]
) -> tuple[bytes, sentencepiece.SentencePieceProcessor, list[str]]:
    """Reads a model: its bytes, what runs it, and its pieces by id.

    Args:
      vocab_file: path of the model, or its bytes.
      sp_model_kwargs: keys of `SAMPLING`, for subword regularisation.

    Raises:
      TokenizerError: there is no such file, or it holds something else, or half.
      ConfigError: `sp_model_kwargs` has another key, or samples from one candidate.
    """
    for key, value in sp_model_kwargs.items():
        if key not in SAMPLING:
            raise errors.ConfigError(
                f"sp_model_kwargs has {key!r}; expected {', '.join(SAMPLING)}."
                f"{nearest(key, SAMPLING)}"
            )
        # JSON has whole numbers without a point.
        if type(value) is not SAMPLING[key] and (key, type(value)) != ("alpha", int):
            raise errors.ConfigError(
                f"{key} of sp_model_kwargs is {value!r}; expected a "
                f"{SAMPLING[key].__name__}."
            )
    candidates = sp_model_kwargs.get("nbest_size", -1)
    if sp_model_kwargs.get("enable_sampling") and candidates in (0, 1):
        raise errors.ConfigError(
            f"sp_model_kwargs samples from nbest_size={candidates} segmentations; "
            "expected 2 or more, or -1 for all."
        )

    if isinstance(vocab_file, bytes):
        name, model = "The SentencePiece model given as bytes", vocab_file
    else:
        name, model = os.fspath(vocab_file), _read(vocab_file)
    if not model:
        raise errors.TokenizerError(f"{name} is empty; expected a SentencePiece model.")
    processor = sentencepiece.SentencePieceProcessor(**sp_model_kwargs)
    try:
        processor.load(model_proto=model)
    except RuntimeError as error:
        raise errors.TokenizerError(
            f"{name} is no SentencePiece model, or a damaged one: its {len(model):,} "
            f"bytes begin with {model[:16]!r}. Expected what SentencePiece's trainer "
            "writes; Hugging Face directories have it under spiece.model."
        ) from error
    if not _is_whole(model):
        raise errors.TokenizerError(
            f"{name} is cut off: its {len(model):,} bytes hold "
            f"{processor.piece_size():,} pieces and end before the trainer's settings, "
            "which every SentencePiece model has after the last piece. Copy it again."
        )
    try:
        pieces = processor.id_to_piece(list(range(processor.piece_size())))
    except UnicodeDecodeError as error:
        raise errors.TokenizerError(
            f"{name} is damaged: not all of its {processor.piece_size():,} pieces are "
            f"text in UTF-8 ({error.reason}). Copy it again."
        ) from error
    return model, processor, pieces


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise errors.TokenizerError(
            f"Cannot read the SentencePiece model {os.fspath(path)}: {error.strerror}."
        ) from error


def _is_whole(model: bytes) -> bool:
    """Whether it goes on to the trainer's settings."""
    try:
        return any(number == TRAINER_SPEC for number, _, _ in protobuf.fields(model))
    except ValueError:
        return False
