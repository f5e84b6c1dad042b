"""Computes the likelihood of given targets by teacher forcing: `bg.score`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.generation import prompts
from bertgen_jax.generation.arguments import check_rows, checked_ids, checked_mask
from bertgen_jax.generation.generator import check_generative
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.create import GenerativeModel
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.masks import token_positions
from bertgen_jax.trees import Params

IGNORED = -100  # marks positions without a label, as in Hugging Face


@struct.dataclass
class Scores:
    """Log-probabilities of given targets, in nats.

    Attributes:
      tokens: f32[B, T] log-probability of each token given the tokens before it; 0
        where there is no label.
      sequences: f32[B] sums of `tokens`. Divided by the length norm, these are the
        scores of `generate` without sampling and without rules that change scores.
    """

    tokens: jax.Array
    sequences: jax.Array


def score(
    model: GenerativeModel,
    params: Params,
    input_ids: jax.Array | np.ndarray,
    attention_mask: jax.Array | np.ndarray | None,
    labels: jax.Array | np.ndarray,
    *,
    decoder_start_token_id: int | None = None,
) -> Scores:
    """Scores given targets by teacher forcing.

    Args:
      model: an encoder-decoder, a prefix language model, or a decoder alone, of which
        the targets continue the input.
      params: the parameters of the model.
      input_ids: i32[B, S] sources; padding may stand anywhere.
      attention_mask: [B, S], non-zero for tokens; None: all are tokens.
      labels: i32[B, T] targets without the start token, EOS included; -100 after the
        end.
      decoder_start_token_id: the token that the first label is predicted from; None:
        the model's start token, or of a decoder alone the last token of its input.

    Raises:
      ConfigError: an id outside the vocabulary, shapes that do not fit, more tokens
        than positions, or no start token.
    """
    check_generative(model)
    config = model.config
    labels = labels if isinstance(labels, jax.Array) else np.asarray(labels, np.int32)
    input_ids = checked_ids("input_ids", input_ids, config.source_config.vocab_size)
    mask = checked_mask("attention_mask", attention_mask, input_ids.shape)
    weights = labels != IGNORED
    vocab_size = config.target_config.vocab_size
    targets = checked_ids("labels", labels * weights, vocab_size)
    check_rows("labels", len(targets), len(input_ids))
    start = decoder_start_token_id
    if start is None:
        start = config.start_token_id
    if start is not None:
        checked_ids("decoder_start_token_id", [[start]], vocab_size)
    config.check_lengths(
        input_ids.shape[1],
        targets.shape[1] - (start is None),  # nothing is predicted from the last label
        target_advice="Truncate the target when tokenizing.",
    )
    return _score(model, start, params, input_ids, mask, targets, weights)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _score(
    model: GenerativeModel,
    start: int | None,
    params: Params,
    input_ids: jax.Array,
    mask: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
) -> Scores:
    logits = _target_logits(model, start, params, input_ids, mask, targets)
    chosen = jnp.take_along_axis(logits, targets[:, :, None], axis=2)[:, :, 0]
    tokens = jnp.where(weights, chosen - jax.nn.logsumexp(logits, axis=2), 0.0)
    return Scores(tokens=tokens, sequences=tokens.sum(axis=1))


def _target_logits(
    model: GenerativeModel,
    start: int | None,
    params: Params,
    input_ids: jax.Array,
    mask: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    """Returns the logits f32[B, T, V] that predict the targets i32[B, T]."""
    module = model.bind({"params": params})
    # Each target is predicted from those before it; the last one predicts nothing.
    read = targets[:, :-1]
    if start is not None:
        first = jnp.full((len(targets), 1), start, targets.dtype)
        read = jnp.concatenate([first, read], axis=1)
    if isinstance(module, EncoderDecoder):
        positions = token_positions(mask)
        return module(input_ids, mask, read, position_ids=positions).logits
    if not isinstance(module, BertGenerationDecoder):
        return module(input_ids, mask, read).logits
    ids, keep = prompts.right_aligned(input_ids, mask)
    ids = jnp.concatenate([ids, read], axis=1)
    keep = jnp.concatenate([keep, jnp.ones(read.shape, bool)], axis=1)
    return module(ids, keep, token_positions(keep)).logits[:, -targets.shape[1] :]
