"""A model, sources and given targets in, log-probabilities of the targets out."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.errors import ConfigError
from bertgen_jax.generation.generator import (
    GenerativeModel,
    check_rows,
    checked_ids,
    checked_mask,
    right_aligned,
    source_stack,
    target_stack,
)
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.masks import token_positions

IGNORED = -100  # a label that is none, as in the peer


@struct.dataclass
class Scores:
    """How likely given targets are, in nats.

    Attributes:
      tokens: f32[B, T] log-probability of each token given those before it; 0 where
        there is no label.
      sequences: f32[B] their sums. Over the length norm, what `generate` reports
        without draws and without rules that change scores.
    """

    tokens: jax.Array
    sequences: jax.Array


def score(
    model: GenerativeModel,
    params: Any,
    input_ids: jax.Array | np.ndarray,
    attention_mask: jax.Array | np.ndarray | None,
    labels: jax.Array | np.ndarray,
    *,
    decoder_start_token_id: int | None = None,
) -> Scores:
    """Scores targets by teacher forcing.

    Args:
      model: an encoder-decoder, a prefix language model, or a decoder alone, which
        scores continuations of its input.
      params: its parameters.
      input_ids: i32[B, S] sources; padding may stand anywhere.
      attention_mask: [B, S], non-zero for tokens; None: all are.
      labels: i32[B, T] targets without the start token, EOS included; -100 after the
        end.
      decoder_start_token_id: what the first label is predicted from; None: the model's
        start token, or of a decoder alone the last token of its input.

    Raises:
      ConfigError: an id outside the vocabulary, shapes that do not fit, more tokens
        than positions, or no start token.
    """
    labels = labels if isinstance(labels, jax.Array) else np.asarray(labels, np.int32)
    input_ids = checked_ids("input_ids", input_ids, source_stack(model).vocab_size)
    mask = checked_mask("attention_mask", attention_mask, input_ids.shape)
    weights = labels != IGNORED
    targets = checked_ids("labels", labels * weights, target_stack(model).vocab_size)
    check_rows("labels", len(targets), len(input_ids))
    start = decoder_start_token_id
    if start is None and not isinstance(model, BertGenerationDecoder):
        start = model.config.start_token_id
    if start is not None:
        size = target_stack(model).vocab_size
        checked_ids("decoder_start_token_id", [[start]], size)
    _check_positions(model, start, input_ids.shape[1], targets.shape[1])
    return _score(model, start, params, input_ids, mask, targets, weights)


def _check_positions(
    model: GenerativeModel, start: int | None, source: int, target: int
) -> None:
    """Refuses what no position table holds, where positions come from masks."""
    positions = source_stack(model).max_position_embeddings
    if isinstance(model, BertGenerationDecoder):
        source += target - 1 + (start is not None)  # the last label predicts nothing
    elif not isinstance(model, EncoderDecoder):
        return  # a prefix language model counts for itself
    if source > positions:
        raise ConfigError(
            f"{source} tokens are to be read; the model has {positions} positions "
            "(max_position_embeddings). Truncate the text when tokenizing."
        )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _score(
    model: GenerativeModel,
    start: int | None,
    params: Any,
    input_ids: jax.Array,
    mask: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
) -> Scores:
    if isinstance(model, BertGenerationDecoder):
        logits = _continuation_logits(model, start, params, input_ids, mask, targets)
    else:
        first = jnp.full((len(targets), 1), start, targets.dtype)
        shifted = jnp.concatenate([first, targets[:, :-1]], axis=1)
        more = {}
        if isinstance(model, EncoderDecoder):
            more["position_ids"] = token_positions(mask)
        logits = model.apply({"params": params}, input_ids, mask, shifted, **more)
        logits = logits.logits
    chosen = jnp.take_along_axis(logits, targets[:, :, None], axis=2)[:, :, 0]
    tokens = jnp.where(weights, chosen - jax.nn.logsumexp(logits, axis=2), 0.0)
    return Scores(tokens=tokens, sequences=tokens.sum(axis=1))


def _continuation_logits(
    model: BertGenerationDecoder,
    start: int | None,
    params: Any,
    input_ids: jax.Array,
    mask: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    """Logits f32[B, T, V] of what follows prompts; all padding goes to the left."""
    parts, masks = ([x] for x in right_aligned(input_ids, mask))
    if start is not None:
        parts.append(jnp.full((len(targets), 1), start, targets.dtype))
        masks.append(jnp.ones((len(targets), 1), bool))
    # The last target is predicted, but predicts nothing.
    parts.append(targets[:, :-1])
    masks.append(jnp.ones(targets[:, :-1].shape, bool))
    keep = jnp.concatenate(masks, axis=1)
    logits = model.apply(
        {"params": params}, jnp.concatenate(parts, axis=1), keep, token_positions(keep)
    ).logits
    return logits[:, -targets.shape[1] :]
