"""The architecture that a recipe gives, with its checkpoints and tokenizers."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from bertgen_jax.errors import ConfigError, check_choice, nearest
from bertgen_jax.models.config import (
    EncoderDecoderConfig,
    PrefixLanguageModelConfig,
    Seq2SeqConfig,
)
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import WORD_TABLE, BertGenerationConfig
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.interface import SpecialIds, Tokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import opening
from bertgen_jax.warm_start.recipes import Recipe, Selection

POSITIONS = 512  # the longest text of the paper (section 2)

_HEAD = {"lm_head_bias": False, "lm_head_transform": False}  # of the paper's models
# The recipe decides these fields.
_FIXED_FIELDS = {"is_decoder", "add_cross_attention", "tie_word_embeddings"}
# Trained parameters only work with the values of these fields that they had.
_NUMERICS = ("hidden_act", "layer_norm_eps", "pre_layer_norm")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Side:
    """What decides the stack of one side, the encoder or the decoder.

    Attributes:
      stack: the architecture of its checkpoint; None for random weights.
      vocab_size: the rows of its word table.
      special_ids: those of its tokenizer.
    """

    stack: BertGenerationConfig | None
    vocab_size: int
    special_ids: SpecialIds


def model_config(
    recipe: Recipe,
    checkpoints: Mapping[str, OpenedCheckpoint],
    tokenizers: TokenizerPair,
    selection: Selection,
    size: str,
    settings: Mapping[str, Any],
) -> Seq2SeqConfig:
    """Returns the architecture of the model that a recipe describes.

    Args:
      recipe: says what is shared.
      checkpoints: see `opening.open_checkpoints`.
      tokenizers: give the vocabularies and the special ids.
      selection: says how many layers.
      size: a name in `models.presets.SIZES`, for a recipe without checkpoints.
      settings: fields of `BertGenerationConfig` that override the checkpoints'; None
        stands for no override.

    Raises:
      ConfigError: an unknown size or setting; a word table smaller than the vocabulary;
        a selection that the checkpoints do not have; or two vocabularies for one stack.
    """
    _check_settings(settings, size, tokenizers)
    stacks = {
        side: opening.stack_config(opened, side) for side, opened in checkpoints.items()
    }
    _check_selection(selection, checkpoints, stacks, settings)
    if recipe.share_stacks and not tokenizers.is_one:
        raise ConfigError(
            "the tokenizers of sources and targets differ, but encoder and decoder of "
            "the recipe are one stack, with one word table; expected one tokenizer "
            "(leave tokenizer.decoder_path empty), or a recipe with two stacks."
        )

    def side(name: str, tokenizer: Tokenizer) -> Side:
        if name not in checkpoints:
            return Side(None, tokenizer.vocab_size, tokenizer.special_ids)
        stack = stacks[name]
        rows = tokenizer.vocab_size
        if checkpoints[name].tokenizer.get_vocab() == tokenizer.get_vocab():
            rows = max(rows, stack.vocab_size)  # keep the rows that pad the table
        if selection.layers:
            stack = dataclasses.replace(stack, num_hidden_layers=len(selection.layers))
        return Side(stack, rows, tokenizer.special_ids)

    encoder = side("encoder", tokenizers.source)
    decoder = side("decoder", tokenizers.target)
    if tokenizers.is_one:  # one vocabulary, so one number of rows
        rows = max(encoder.vocab_size, decoder.vocab_size)
        encoder = dataclasses.replace(encoder, vocab_size=rows)
        decoder = dataclasses.replace(decoder, vocab_size=rows)
    return assemble(
        recipe,
        encoder,
        decoder,
        SIZES[size],
        settings,
        can_share_embeddings=tokenizers.is_one and _have_one_table(checkpoints),
    )


def _have_one_table(checkpoints: Mapping[str, OpenedCheckpoint]) -> bool:
    """Whether the word tables of all sides are one table of one file."""
    if len(checkpoints) < 2:
        return True
    if len({opened.tensors.path for opened in checkpoints.values()}) > 1:
        return False
    config = checkpoints["encoder"].config
    paths = {config.param_path(side, WORD_TABLE) for side in ("encoder", "decoder")}
    return len(paths) == 1


def _check_settings(
    settings: Mapping[str, Any], size: str, tokenizers: TokenizerPair
) -> None:
    check_choice("size", size, SIZES)
    fields = {field.name for field in dataclasses.fields(BertGenerationConfig)}
    known = sorted(fields - _FIXED_FIELDS)
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"{name} is not a setting of a warm start; expected one of "
                f"{', '.join(known)}.{nearest(name, known)}"
            )
    pieces = max(tokenizers.source.vocab_size, tokenizers.target.vocab_size)
    rows = settings.get("vocab_size")
    if isinstance(rows, int) and rows < pieces:
        raise ConfigError(
            f"vocab_size is {rows}; expected at least {pieces}, the number of pieces "
            "of the tokenizer."
        )


def _check_selection(
    selection: Selection,
    checkpoints: Mapping[str, OpenedCheckpoint],
    stacks: Mapping[str, BertGenerationConfig],
    settings: Mapping[str, Any],
) -> None:
    """Checks a selection before hours of tokenization; the transfer is after them."""
    if not checkpoints and selection != Selection():
        raise ConfigError(
            "init.parts, init.layers or init.mlm_bias select from checkpoints, but the "
            "recipe starts from none; expected their defaults."
        )
    for side, stack in stacks.items():
        missing = [n for n in selection.layers if n > stack.num_hidden_layers]
        if missing:
            raise ConfigError(
                f"init.layers asks for layer {missing[0]}; {checkpoints[side].path} "
                f"has {stack.num_hidden_layers}."
            )
    if not selection.mlm_bias:
        return
    if not settings.get("lm_head_bias"):
        raise ConfigError(
            "init.mlm_bias is set, but the softmax has no bias; expected "
            "lm_head_bias=True as well."
        )
    if "decoder" not in checkpoints or not checkpoints["decoder"].mlm_bias:
        raise ConfigError(
            "init.mlm_bias is set, but the decoder does not start from a checkpoint "
            "with a masked-LM head; expected the complete file of BERT or RoBERTa."
        )


def assemble(
    recipe: Recipe,
    encoder: Side,
    decoder: Side,
    size: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    can_share_embeddings: bool = True,
) -> Seq2SeqConfig:
    """Returns the architecture of a model whose sides are known.

    As in the paper, a random side has the sizes of the warm one, but BERT's block, and
    there are at most 512 positions.

    Args:
      recipe: says what is shared.
      encoder, decoder: what the sides start from.
      size: fields of a model that starts from no checkpoint.
      settings: fields that override all others; None stands for no override.
      can_share_embeddings: whether both sides can have one word table.
    """
    overrides = {name: value for name, value in settings.items() if value is not None}
    positions = overrides.pop("max_position_embeddings", None)
    warm = encoder.stack or decoder.stack

    def stack(name: str, side: Side) -> BertGenerationConfig:
        base = side.stack or warm or BertGenerationConfig(**size)
        if side.stack is None and warm is not None:
            bert = BertGenerationConfig()
            numerics = {field: getattr(bert, field) for field in _NUMERICS}
            base = dataclasses.replace(base, **numerics)
        ids = side.special_ids
        limit = None if warm is None else base.max_position_embeddings
        fields = {
            **_HEAD,
            "is_decoder": False,
            "add_cross_attention": False,
            "tie_word_embeddings": True,
            "vocab_size": side.vocab_size,
            "pad_token_id": ids.pad,
            "bos_token_id": ids.bos,
            "eos_token_id": ids.eos,
            "max_position_embeddings": _positions(name, positions, limit),
        }
        return dataclasses.replace(base, **(fields | overrides))

    encoder_stack, decoder_stack = stack("encoder", encoder), stack("decoder", decoder)
    if recipe.decoder_only:
        return PrefixLanguageModelConfig(
            dataclasses.replace(decoder_stack, is_decoder=True),
            decoder_start_token_id=decoder.special_ids.bos,
        )
    return EncoderDecoderConfig.from_stacks(
        encoder_stack,
        decoder_stack,
        share_encoder_decoder=recipe.share_stacks,
        share_embeddings=(
            recipe.share_embeddings and can_share_embeddings and not recipe.share_stacks
        ),
        decoder_start_token_id=decoder.special_ids.bos,
    )


def _positions(side: str, requested: int | None, limit: int | None) -> int:
    """Returns how many positions are requested, but not more than a checkpoint has.

    Args:
      side: for the log line.
      requested: None for as many as in the paper.
      limit: the positions of the checkpoint; None without a checkpoint.
    """
    positions = POSITIONS if requested is None else requested
    if limit is None or positions <= limit:
        return positions
    if requested is not None:
        _log.warning(
            "the %s has %d positions, as many as its checkpoint, instead of %d",
            side,
            limit,
            requested,
        )
    return limit
