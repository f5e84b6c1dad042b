"""Writes models as directories that CTranslate2 runs.

CTranslate2 finds the same texts as `bertgen_jax.generate`, with the same scores, if the
searches have the same settings. `ctranslate2.Translator.translate_batch` takes pieces
in place of ids, and these settings:

  num_beams=R, early_stopping=True     beam_size=R
  length_penalty=p, "power"            length_penalty=p
  max_new_tokens=T                     max_decoding_length=T
  targets that may be empty            min_decoding_length=0, because the default is 1
  sources of any length                max_input_length=0, because the default is 1024

With length_penalty=0 it stops when its best beam has ended, and so finds the best
hypothesis of `early_stopping="never"`. Otherwise it has no equivalent of "never" and of
False, only a `patience` with which it searches for longer. It has no "gnmt" norm.

A decoder alone continues prompts. `ctranslate2.Generator.generate_batch` takes the same
settings, with max_length=T and include_prompt_in_result=False. Call it with one prompt
at a time, because with prompts of several lengths at once it is another search.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from bertgen_jax import errors
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import (
    Config,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import parameter_maps
from bertgen_jax.pretrained.ctranslate2 import parameter_map


def save(
    directory: str | os.PathLike[str],
    config: Config,
    params: Mapping[str, Any],
    vocabulary: Mapping[str, int],
    *,
    unk_token_id: int,
    target_vocabulary: Mapping[str, int] | None = None,
    quantization: str | None = None,
) -> None:
    """Writes model.bin, config.json and vocabularies for CTranslate2.

    No pieces are added around a source, as in `bertgen_jax.generate`. One tensor at a
    time is in memory in addition to the params and the quantized tensors.

    Args:
      directory: created if missing.
      config: of an encoder-decoder, for `ctranslate2.Translator`; or of a decoder
        without cross-attention, for `ctranslate2.Generator`. Of a prefix language
        model, the latter expects the source and the start token as one text.
      params: the parameters of the model.
      vocabulary: piece -> id, as from a tokenizer's `get_vocab()`. A row of the word
        table without a piece gets a name that no tokenizer has.
      unk_token_id: the id of the unknown piece in `vocabulary`.
      target_vocabulary: the vocabulary of the decoder, if it has its own.
      quantization: the type of the weights: "int8", "int8_float32", "int8_float16",
        "int8_bfloat16", "int16", "float16", "bfloat16" or "float32", the default.

    Raises:
      ConfigError: ctranslate2 is not installed, or cannot express the model; the
        quantization is unknown; or params or vocabulary do not fit the config.
      CheckpointError: the files cannot be written.
    """
    if isinstance(config, PrefixLanguageModelConfig):
        config, params = config.decoder, params.get("decoder", {})
    _check_expressible(config, quantization)
    parameter_maps.check_params(parameter_map.parameter_shapes(config), params)
    source, target = _vocabularies(config, vocabulary, target_vocabulary)
    special_pieces = _special_pieces(config, source, target, unk_token_id)

    spec = _spec_module(quantization).build(config, params, source, target)
    for field, piece in special_pieces.items():
        setattr(spec.config, field, piece)
    spec.optimize(quantization)
    try:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        spec.save(os.fspath(directory))
    except OSError as error:
        raise CheckpointError(
            f"{directory}: the model cannot be written there ({error.strerror})."
        ) from error


def _spec_module(quantization: str | None) -> Any:
    """Returns `ctranslate2.spec`, after checking that it has the quantization."""
    try:
        # Imported here because ctranslate2 is an optional dependency of 100 MB.
        from bertgen_jax.pretrained.ctranslate2 import spec as spec_lib
    except ImportError:
        raise ConfigError(
            "a model for CTranslate2 is written by its own library, which is not "
            "installed: pip install 'bertgen_jax[ctranslate2]'"
        ) from None
    if quantization is not None:
        errors.check_choice("quantization", quantization, spec_lib.QUANTIZATIONS)
    return spec_lib


def _check_expressible(
    config: BertGenerationConfig | EncoderDecoderConfig, quantization: str | None
) -> None:
    encoder, decoder = config.source_config, config.target_config
    if decoder.is_decoder and decoder.lm_head_transform:
        raise ConfigError(
            "lm_head_transform is set, as in a decoder of BERT or RoBERTa with a "
            "masked-LM head; CTranslate2's decoders have nothing between the last "
            "layer and the softmax. Expected a decoder without it."
        )
    is_alone = config.architecture != "encoder-decoder"
    if is_alone and (not decoder.is_decoder or decoder.add_cross_attention):
        kind = "a decoder with cross-attention" if decoder.is_decoder else "an encoder"
        raise ConfigError(
            f"the model is {kind}; expected an encoder-decoder, or a decoder without "
            "cross-attention."
        )
    if encoder.layer_norm_eps == decoder.layer_norm_eps:
        return
    message = (
        f"layer_norm_eps is {encoder.layer_norm_eps} in the encoder and "
        f"{decoder.layer_norm_eps} in the decoder; CTranslate2 has one for both"
    )
    if not decoder.pre_layer_norm:
        raise ConfigError(f"{message}; expected equal ones.")
    if quantization in ("float16", "int8_float16"):
        raise ConfigError(
            f"{message}, so the decoder's numbers are scaled, which makes them too "
            "small for float16; expected another quantization, such as 'int8' or "
            "'bfloat16'."
        )


def _vocabularies(
    config: BertGenerationConfig | EncoderDecoderConfig,
    vocabulary: Mapping[str, int],
    target_vocabulary: Mapping[str, int] | None,
) -> tuple[list[str], list[str]]:
    """Returns the piece of each row of the encoder's and of the decoder's table."""
    if target_vocabulary is None:
        target_vocabulary = vocabulary
    elif config.architecture != "encoder-decoder":
        raise ConfigError(
            "target_vocabulary is set for a decoder alone, which reads the same pieces "
            "that it writes; expected one vocabulary."
        )
    return (
        _pieces(vocabulary, config.source_config.vocab_size),
        _pieces(target_vocabulary, config.target_config.vocab_size),
    )


def _pieces(vocabulary: Mapping[str, int], rows: int) -> list[str]:
    pieces: list[str | None] = [None] * rows
    for piece, id_ in vocabulary.items():
        if not 0 <= id_ < rows:
            raise ConfigError(
                f"the vocabulary has {piece!r} as id {id_}, but the word table has "
                f"{rows} rows (vocab_size); expected the tokenizer of this model."
            )
        if pieces[id_] is not None:
            raise ConfigError(
                f"the vocabulary has both {pieces[id_]!r} and {piece!r} as id {id_}; "
                "expected one piece for an id."
            )
        pieces[id_] = piece
    # Our tokenizers have no pieces that contain a space.
    return [f"<row {i}>" if piece is None else piece for i, piece in enumerate(pieces)]


def _special_pieces(
    config: BertGenerationConfig | EncoderDecoderConfig,
    source: list[str],
    target: list[str],
    unk_token_id: int,
) -> dict[str, str]:
    """Returns the fields of CTranslate2's config.json that name a piece."""
    ids = {"bos_token": config.bos_token_id, "eos_token": config.eos_token_id}
    start = config.start_token_id
    if start is not None:
        ids["decoder_start_token"] = start
        if config.bos_token_id is None:  # CTranslate2 requires it, but does not use it
            ids["bos_token"] = start
    pieces = {"unk_token": _piece("unk_token", unk_token_id, source)}
    return pieces | {field: _piece(field, id_, target) for field, id_ in ids.items()}


def _piece(field: str, id_: Any, pieces: list[str]) -> str:
    if not isinstance(id_, int) or not 0 <= id_ < len(pieces):
        raise ConfigError(
            f"{field}_id is {id_!r}; expected one id, below {len(pieces)}, because "
            "CTranslate2's config names its piece."
        )
    return pieces[id_]
