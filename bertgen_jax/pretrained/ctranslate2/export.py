"""A model and its vocabulary in, a directory that CTranslate2 runs out.

CTranslate2 finds what `bertgen_jax.generate` finds, with the same scores, when it is
asked to search likewise. `ctranslate2.Translator.translate_batch` takes pieces in place
of ids, and for

  num_beams=R, early_stopping=True     beam_size=R
  length_penalty=p, "power"            length_penalty=p
  max_new_tokens=T                     max_decoding_length=T
  targets that may be empty            min_decoding_length=0, for its default is 1
  sources of any length                max_input_length=0, for its default is 1024

With length_penalty=0 it stops when its best beam has ended, and so finds the one best
hypothesis of `early_stopping="never"`. Otherwise it knows no "never" and no False, only
a `patience` with which it goes on for longer. It has no "gnmt" norm.

A decoder alone continues prompts: `ctranslate2.Generator.generate_batch` likewise, with
max_length=T and include_prompt_in_result=False, one prompt at a time; beams that start
from prompts of several lengths at once are another search.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError, nearest
from bertgen_jax.models.config import (
    BertGenerationConfig,
    Config,
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
)
from bertgen_jax.pretrained.ctranslate2 import name_map


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

    As here, nothing is put around a source. One tensor at a time is in memory beside
    the params, and what is quantized.

    Args:
      directory: made if missing.
      config: of an encoder-decoder, for `ctranslate2.Translator`; or of a decoder
        without cross-attention, for `ctranslate2.Generator`, which of a prefix language
        model wants the source and the start token as one text.
      params: the model's, nested dicts of arrays.
      vocabulary: the id of each piece, as tokenizers' `get_vocab()`. A row of the word
        table without a piece gets a name that no tokenizer gives.
      unk_token_id: the id in it of all that it cannot spell.
      target_vocabulary: the decoder's, where the two sides have one each.
      quantization: of the weights: "int8", "int8_float32", "int8_float16",
        "int8_bfloat16", "int16", "float16", "bfloat16" or, as by default, "float32".

    Raises:
      ConfigError: ctranslate2 is not installed, or cannot express the model; there is
        no such quantization; params or vocabulary are not those of the config.
      CheckpointError: the files cannot be written.
    """
    if isinstance(config, PrefixLanguageModelConfig):
        config, params = config.decoder, params.get("decoder", {})
    _check_expressible(config, quantization)
    _check_params(config, params)
    source, target = _vocabularies(config, vocabulary, target_vocabulary)
    named = _named_pieces(config, source, target, unk_token_id)

    spec = _library(quantization).build(config, params, source, target)
    for field, piece in named.items():
        setattr(spec.config, field, piece)
    spec.optimize(quantization)
    try:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        spec.save(os.fspath(directory))
    except OSError as error:
        raise CheckpointError(
            f"{directory}: the model cannot be written there ({error.strerror})."
        ) from error


def _library(quantization: str | None) -> Any:
    """The module that describes models to CTranslate2, if it can quantize so."""
    try:
        # An optional dependency of 100 MB, which nothing else needs.
        from bertgen_jax.pretrained.ctranslate2 import spec as spec_lib
    except ImportError:
        raise ConfigError(
            "a model for CTranslate2 is written by its own library, which is not "
            "installed: pip install 'bertgen_jax[ctranslate2]'"
        ) from None
    known = spec_lib.QUANTIZATIONS
    if quantization is not None and quantization not in known:
        raise ConfigError(
            f"quantization is {quantization!r}; expected one of {', '.join(known)}."
            f"{nearest(quantization, known)}"
        )
    return spec_lib


def _check_expressible(
    config: BertGenerationConfig | EncoderDecoderConfig, quantization: str | None
) -> None:
    decoder = getattr(config, "decoder", config)
    if decoder.is_decoder and decoder.lm_head_transform:
        raise ConfigError(
            "lm_head_transform is set, as in a decoder of BERT's or RoBERTa's with the "
            "head of a masked language model; CTranslate2's decoders have nothing "
            "between the last layer and the softmax. Expected a decoder without it."
        )
    if isinstance(config, EncoderDecoderConfig):
        found = [stack.layer_norm_eps for stack in (config.encoder, config.decoder)]
        if found[0] == found[1]:
            return
        message = (
            f"layer_norm_eps is {found[0]} in the encoder and {found[1]} in the "
            "decoder; CTranslate2 has one for both"
        )
        if not config.decoder.pre_layer_norm:
            raise ConfigError(f"{message}; expected equal ones.")
        if quantization in ("float16", "int8_float16"):
            raise ConfigError(
                f"{message}, to which the decoder's numbers are scaled, and float16 "
                "has no room for such small ones; expected another quantization, such "
                "as 'int8' or 'bfloat16'."
            )
    elif not config.is_decoder or config.add_cross_attention:
        kind = "a decoder with cross-attention" if config.is_decoder else "an encoder"
        raise ConfigError(
            f"the model is {kind}; expected an encoder-decoder, or a decoder without "
            "cross-attention."
        )


def _check_params(
    config: BertGenerationConfig | EncoderDecoderConfig, params: Mapping[str, Any]
) -> None:
    wanted = name_map.parameter_shapes(config)
    found = {path: leaf.shape for path, leaf in trees.named(params).items()}
    lines = trees.differences(*map(_described, (wanted, found)))
    if lines:
        raise ConfigError(
            f"the params do not fit the model's config (- expected, + found):\n{lines}"
        )


def _described(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {
        path: jax.ShapeDtypeStruct(shape, np.float32) for path, shape in shapes.items()
    }


def _vocabularies(
    config: BertGenerationConfig | EncoderDecoderConfig,
    vocabulary: Mapping[str, int],
    target_vocabulary: Mapping[str, int] | None,
) -> tuple[list[str], list[str]]:
    """The pieces of the rows of the encoder's table, and those of the decoder's."""
    if isinstance(config, EncoderDecoderConfig):
        if target_vocabulary is None:
            target_vocabulary = vocabulary
        return (
            _pieces(vocabulary, config.encoder.vocab_size),
            _pieces(target_vocabulary, config.decoder.vocab_size),
        )
    if target_vocabulary is not None:
        raise ConfigError(
            "target_vocabulary is given for a decoder alone, which reads the same "
            "pieces that it writes; expected one vocabulary."
        )
    pieces = _pieces(vocabulary, config.vocab_size)
    return pieces, pieces


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
    # No tokenizer of ours has pieces with a space in them.
    return [f"<row {i}>" if piece is None else piece for i, piece in enumerate(pieces)]


def _named_pieces(
    config: BertGenerationConfig | EncoderDecoderConfig,
    source: list[str],
    target: list[str],
    unk_token_id: int,
) -> dict[str, str]:
    """The fields of CTranslate2's config.json that name a piece."""
    ids = {"bos_token": config.bos_token_id, "eos_token": config.eos_token_id}
    if isinstance(config, EncoderDecoderConfig):
        ids["decoder_start_token"] = start = config.start_token_id
        if config.bos_token_id is None:  # CTranslate2 wants one, and does not use it
            ids["bos_token"] = start
    named = {"unk_token": _piece("unk_token", unk_token_id, source)}
    return named | {field: _piece(field, id_, target) for field, id_ in ids.items()}


def _piece(field: str, id_: Any, pieces: list[str]) -> str:
    if not isinstance(id_, int) or not 0 <= id_ < len(pieces):
        raise ConfigError(
            f"{field}_id is {id_!r}; expected one id, below {len(pieces)}, as "
            "CTranslate2 is told its piece."
        )
    return pieces[id_]
