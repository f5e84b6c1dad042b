"""Computes sums of losses over a batch; the mean is taken once, over all sums."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.outputs import LogitFactors

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
    factors: LogitFactors,
    labels: jax.Array,
    weights: jax.Array,
    label_smoothing: float = 0.0,
    *,
    chunk: int = 1024,
) -> Sums:
    """Computes the cross-entropy of unshifted logits: position t predicts label t.

    With smoothing eps a token costs (1 - eps) * nll + eps * mean over the vocabulary of
    -log p, the formula of torch's `cross_entropy(label_smoothing=eps)`.

    Logits exist for one chunk of tokens at a time, and only for chunks that hold a
    label: tokens with a label are moved to the front first. The gradients of states and
    table are computed with the logits in the same pass, so nothing is multiplied twice
    and the backward pass only scales them.

    Args:
      factors: of the logits f32[B, T, V].
      labels: i32[B, T]; any value where the weight is 0.
      weights: f32[B, T]; 0 where there is no label.
      label_smoothing: eps in [0, 1).
      chunk: tokens of a device whose logits exist at a time.

    Returns:
      Sums; only `loss` has a gradient.
    """
    states, table, bias = factors.states, factors.table, factors.bias
    groups = table.shape[0]
    by_group = (groups, labels.size // groups)
    sums: Any = _chunked(
        states.reshape(*by_group, states.shape[-1]),
        table,
        bias,
        labels.reshape(by_group),
        weights.reshape(by_group),
        label_smoothing,
        min(chunk, by_group[1]),
    )
    loss, (nll, correct) = sums
    return Sums(
        loss=loss,
        nll=jax.lax.stop_gradient(nll),
        correct=jax.lax.stop_gradient(correct),
        tokens=jnp.sum(weights),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _chunked(states, table, bias, labels, weights, label_smoothing, chunk) -> Any:
    """Returns the sum of the loss, and the sums of nll and correct tokens.

    Letters: G groups, N tokens of a group, C of a chunk. states dtype[G, N, D], table
    f32[G, V, D], bias f32[V] or None, labels i32[G, N], weights f32[G, N].
    """
    sums, _ = _over_chunks(
        states, table, bias, labels, weights, label_smoothing, chunk, False
    )
    return sums


def _chunked_forward(states, table, bias, labels, weights, label_smoothing, chunk):
    return _over_chunks(
        states, table, bias, labels, weights, label_smoothing, chunk, True
    )


def _chunked_backward(label_smoothing, chunk, gradients, cotangents):
    scale, _ = cotangents
    scaled = jax.tree.map(lambda leaf: (leaf * scale).astype(leaf.dtype), gradients)
    return *scaled, None, None


_chunked.defvjp(_chunked_forward, _chunked_backward)


def _over_chunks(
    states, table, bias, labels, weights, label_smoothing, chunk, gradient
):
    """Adds losses and gradients over chunks; see `_chunked`.

    Returns:
      The sums, f32[]. With `gradient`, also the gradients of states, table and bias,
      in their shapes and dtypes.
    """
    groups, count, _ = states.shape
    dtype = states.dtype
    kernel = table.astype(dtype)
    # Tokens with a label first, then whole chunks.
    order = jnp.argsort(weights <= 0, axis=1, stable=True)
    padded = ((0, 0), (0, -count % chunk))

    def sort(values):
        ordered = jnp.take_along_axis(values, order, axis=1)
        return jnp.pad(ordered, padded)

    sorted_states = jnp.take_along_axis(states, order[..., None], axis=1)
    sorted_states = jnp.pad(sorted_states, (*padded, (0, 0)))
    sorted_labels, sorted_weights = sort(labels), sort(weights)
    used = jnp.max(jnp.sum(weights > 0, axis=1, dtype=jnp.int32))

    def add(i, carry):
        sums, gradients = carry

        def part(values):
            return jax.lax.dynamic_slice_in_dim(values, i * chunk, chunk, axis=1)

        inputs = part(sorted_states)
        label, weight = part(sorted_labels), part(sorted_weights)
        # Tokens without a label count for nothing, even with infinite states.
        keep = weight > 0
        label = jnp.where(keep, label, 0)
        inputs = jnp.where(keep[..., None], inputs, 0)
        logits = jnp.einsum(
            "GCD,GVD->GCV", inputs, kernel, preferred_element_type=jnp.float32
        )
        if bias is not None:
            logits += bias[None, None, :]
        normalizer = jax.nn.logsumexp(logits, axis=-1)
        added = _token_sums(logits, normalizer, label, weight, label_smoothing)
        sums = tuple(map(jnp.add, sums, added))
        if not gradient:
            return sums, gradients
        slope = _slope(logits, normalizer, label, weight, label_smoothing)
        by_states, by_table, by_bias = gradients
        if by_bias is not None:
            by_bias += jnp.sum(slope, axis=1)
        slope = slope.astype(dtype)
        by_state = jnp.einsum("GCV,GVD->GCD", slope, kernel)
        by_states = jax.lax.dynamic_update_slice_in_dim(
            by_states, by_state, i * chunk, axis=1
        )
        by_table += jnp.einsum(
            "GCV,GCD->GVD", slope, inputs, preferred_element_type=jnp.float32
        )
        return sums, (by_states, by_table, by_bias)

    zero = jnp.zeros((), jnp.float32)
    gradients: Any = None
    if gradient:
        by_bias = None
        if bias is not None:
            by_bias = jnp.zeros((groups, *bias.shape), jnp.float32)
        gradients = (
            jnp.zeros_like(sorted_states),
            jnp.zeros_like(table),
            by_bias,
        )
    start = ((zero, zero, zero), gradients)
    if count <= chunk:  # without a loop, XLA stores no zeros to add to
        (loss, nll, correct), gradients = add(0, start)
    else:
        chunks = (used + chunk - 1) // chunk
        (loss, nll, correct), gradients = jax.lax.fori_loop(0, chunks, add, start)
    if gradient:
        by_states, by_table, by_bias = gradients
        back = jnp.argsort(order, axis=1)[..., None]
        gradients = (
            jnp.take_along_axis(by_states, back, axis=1),
            by_table,
            None if by_bias is None else jnp.sum(by_bias, axis=0),
        )
    return (loss, (nll, correct)), gradients


def _token_sums(logits, normalizer, labels, weights, label_smoothing) -> Any:
    """Returns the sums of loss, nll and correct tokens of a chunk.

    Args:
      logits: f32[G, C, V].
      normalizer: f32[G, C], their log-sum-exp.
      labels, weights: i32[G, C] and f32[G, C].
      label_smoothing: see `cross_entropy`.
    """
    label_logits = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    nll = normalizer - label_logits
    loss = nll
    if label_smoothing:
        uniform = normalizer - jnp.mean(logits, axis=-1)
        loss = (1 - label_smoothing) * nll + label_smoothing * uniform
    # Not argmax, which is several times slower on a CPU; a tie is correct.
    correct = label_logits >= jnp.max(logits, axis=-1)
    return tuple(jnp.sum(values * weights) for values in (loss, nll, correct))


def _slope(logits, normalizer, labels, weights, label_smoothing) -> Any:
    """Returns f32[G, C, V], the gradient of the loss by the logits.

    Args: see `_token_sums`.
    """
    vocabulary_size = logits.shape[-1]
    is_label = jnp.arange(vocabulary_size)[None, None, :] == labels[..., None]
    target = jnp.where(is_label, 1.0 - label_smoothing, 0.0)
    target += label_smoothing / vocabulary_size
    probabilities = jnp.exp(logits - normalizer[..., None])
    return (probabilities - target) * weights[..., None]


def teacher_forced_loss(
    model: Seq2SeqModel,
    params: Any,
    batch: Batch,
    dropout_key: jax.Array | None,
    *,
    label_smoothing: float = 0.0,
) -> Sums:
    """Computes the loss of targets, each token given the true tokens before it.

    Args:
      model: an encoder-decoder or a prefix language model.
      params: the parameters of the model.
      batch: as `data.batching.collate` makes it.
      dropout_key: None for no dropout.
      label_smoothing: see `cross_entropy`.
    """
    factors: Any = model.apply(
        {"params": params},
        batch["input_ids"],
        batch["attention_mask"],
        batch["decoder_input_ids"],
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
        method="logit_factors",
    )
    return cross_entropy(
        factors,
        batch["labels"],
        batch["label_weights"],
        label_smoothing,
    )
