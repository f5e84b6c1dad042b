"""Computes sums of losses over a batch; the mean is taken once, over all sums."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.create import Seq2SeqModel

Batch = Mapping[str, jax.Array]


@struct.dataclass
class Sums:
    """Sums of loss and accuracy over target tokens; all f32[].

    Attributes:
      loss: sum of the objective over target tokens, label smoothing included, in nats.
      nll: sum of the negative log-likelihood, in nats.
      correct: weighted count of target tokens that have the largest logit.
      tokens: sum of the weights of target tokens.
    """

    loss: jax.Array
    nll: jax.Array
    correct: jax.Array
    tokens: jax.Array

    @classmethod
    def zeros(cls) -> "Sums":
        """Returns sums over no tokens."""
        return cls(*(jnp.zeros((), jnp.float32) for _ in range(4)))

    def __add__(self, other: "Sums") -> "Sums":
        return jax.tree.map(jnp.add, self, other)


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    label_smoothing: float = 0.0,
) -> Sums:
    """Computes the cross-entropy of unshifted logits: position t predicts label t.

    With smoothing eps a token costs (1 - eps) * nll + eps * mean over the vocabulary of
    -log p, the formula of torch's `cross_entropy(label_smoothing=eps)`.

    Args:
      logits: f32[B, T, V].
      labels: i32[B, T].
      weights: f32[B, T]; 0 where there is no label.
      label_smoothing: eps in [0, 1).
    """
    # Positions without a label count for nothing, even with an infinite loss.
    keep = weights > 0
    labels = jnp.where(keep, labels, 0)  # labels without weight may be -100
    logits = jnp.where(keep[..., None], logits, 0.0)
    log_normalizer = jax.nn.logsumexp(logits, axis=-1)
    label_logits = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    nll = log_normalizer - label_logits
    loss = nll
    if label_smoothing:
        uniform = log_normalizer - jnp.mean(logits, axis=-1)
        loss = (1.0 - label_smoothing) * nll + label_smoothing * uniform
    # Not argmax, which is several times slower on a CPU; a tie counts as correct.
    correct = label_logits >= jnp.max(logits, axis=-1)
    return Sums(
        loss=jnp.sum(loss * weights),
        nll=jnp.sum(nll * weights),
        correct=jnp.sum(correct * weights),
        tokens=jnp.sum(weights),
    )


def teacher_forced_logits(
    model: Seq2SeqModel, params: Any, batch: Batch, dropout_key: jax.Array | None
) -> jax.Array:
    """Returns logits f32[B, T, V] of targets, each given the true tokens before it.

    Args:
      model: an encoder-decoder or a prefix language model.
      params: the parameters of the model.
      batch: as `data.batching.collate` makes it.
      dropout_key: None for no dropout.
    """
    output: Any = model.apply(
        {"params": params},
        batch["input_ids"],
        batch["attention_mask"],
        batch["decoder_input_ids"],
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return output.logits
