"""A SentencePiece model file in; its bytes and a processor that has read them out."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import sentencepiece

from bertgen_jax import errors
from bertgen_jax.suggest import nearest

SAMPLING = ("enable_sampling", "nbest_size", "alpha")


def load(
    vocab_file: str | os.PathLike[str] | bytes, sp_model_kwargs: Mapping[str, Any]
) -> tuple[bytes, sentencepiece.SentencePieceProcessor]:
    """Reads a model.

    Args:
      vocab_file: path of the model, or its bytes.
      sp_model_kwargs: keys of `SAMPLING`, for subword regularisation.

    Raises:
      TokenizerError: there is no such file, or it holds something else.
      ConfigError: `sp_model_kwargs` has another key, or samples from one candidate.
    """
    for key in sp_model_kwargs:
        if key not in SAMPLING:
            raise errors.ConfigError(
                f"sp_model_kwargs has {key!r}; expected {', '.join(SAMPLING)}."
                f"{nearest(key, SAMPLING)}"
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
    return model, processor


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise errors.TokenizerError(
            f"Cannot read the SentencePiece model {os.fspath(path)}: {error.strerror}."
        ) from error
