"""Scores of next tokens in, scores under the rules of a config out.

The rules, their formulas and their order are the peer's (`LogitsProcessor`). Each is a
function of scores f32[V, B, R] and the sequences that led to them. Greedy search and
sampling hand in logits, beam search log-probabilities; what is banned becomes -inf.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from bertgen_jax.decoding.config import GenerationConfig


@struct.dataclass
class History:
    """The tokens of each row so far.

    Attributes:
      ids: i32[B, R, P + T]; a prompt that ends in column P - 1, then generated tokens.
      mask: bool[B, P + T], True for tokens.
      length: i32[B], generated tokens.
      prompt_length: P.
    """

    ids: jax.Array
    mask: jax.Array
    length: jax.Array
    prompt_length: int = struct.field(pytree_node=False)

    @classmethod
    def of(
        cls,
        prompt_ids: jax.Array,
        prompt_mask: jax.Array,
        generated: jax.Array,
        length: jax.Array,
    ) -> "History":
        """Puts prompts [B, P] and generated tokens [B, R, T] together."""
        batch, rows, steps = generated.shape
        width = prompt_ids.shape[1]
        prompts = jnp.broadcast_to(prompt_ids[:, None], (batch, rows, width))
        written = jnp.arange(steps)[None] < length[:, None]
        return cls(
            ids=jnp.concatenate([prompts, generated], axis=2),
            mask=jnp.concatenate([prompt_mask, written], axis=1),
            length=length,
            prompt_length=width,
        )

    def last(self, n: int) -> jax.Array:
        """The last n tokens of each row, i32[B, R, n]; before the first: column 0's."""
        ends = self.prompt_length + self.length  # i32[B]
        places = ends[:, None] - n + jnp.arange(n)[None]  # [B, n]
        places = jnp.maximum(places, 0)[:, None]  # [B, 1, n]
        return jnp.take_along_axis(self.ids, places, axis=2)


def is_needed(config: GenerationConfig) -> bool:
    """Whether `process` changes any score."""
    return bool(
        config.repetition_penalty != 1
        or config.no_repeat_ngram_size
        or config.bad_words_ids
        or (config.min_new_tokens and config.eos_ids)
        or config.forced_bos_token_id is not None
        or config.forced_eos_ids
    )


def only_bans(config: GenerationConfig) -> bool:
    """Whether `process` leaves the scores that it does not ban as they are.

    Then it makes no difference whether scores are normalised before it or after.
    """
    return (
        config.repetition_penalty == 1
        and config.forced_bos_token_id is None
        and not config.forced_eos_ids
    )


def process(scores: jax.Array, history: History, config: GenerationConfig) -> jax.Array:
    """Applies every rule that `config` asks for, in the peer's order.

    Args:
      scores: f32[V, B, R] of the tokens that may follow.
      history: what they follow.
      config: of `GenerationConfig.for_prompt`.

    Returns:
      f32[V, B, R].
    """
    if config.repetition_penalty != 1:
        scores = _penalize_repetition(scores, history, config.repetition_penalty)
    if config.no_repeat_ngram_size:
        scores = _ban_repeated_ngrams(scores, history, config.no_repeat_ngram_size)
    if config.bad_words_ids:
        scores = _ban_words(scores, history, config)
    if config.min_new_tokens and config.eos_ids:
        is_short = history.length < config.min_new_tokens  # [B]
        is_eos = _is_one_of(config.eos_ids, len(scores))  # [V]
        scores = _ban(scores, is_short[None, :, None] & is_eos[:, None, None])
    if config.forced_bos_token_id is not None:
        ids = (config.forced_bos_token_id,)
        scores = _force(scores, history.length == 0, ids)
    if config.forced_eos_ids:
        is_last = history.length == config.num_new_tokens - 1
        scores = _force(scores, is_last, config.forced_eos_ids)
    return scores


def _ban(scores: jax.Array, banned: jax.Array) -> jax.Array:
    return jnp.where(banned, -jnp.inf, scores)


def _is_one_of(ids: tuple[int, ...], size: int) -> np.ndarray:
    """bool[V], True at `ids`."""
    return np.isin(np.arange(size), ids)


def _force(scores: jax.Array, when: jax.Array, ids: tuple[int, ...]) -> jax.Array:
    """Where bool[B] is True, 0 for `ids` and -inf for all other tokens."""
    forced = jnp.where(_is_one_of(ids, len(scores)), 0.0, -jnp.inf)
    return jnp.where(when[None, :, None], forced[:, None, None], scores)


def _marked(ids: jax.Array, where: jax.Array, size: int) -> jax.Array:
    """bool[V, B, R], True at the ids i32[B, R, n] for which bool[B, R, n] is True."""
    batch, rows, _ = ids.shape
    ids = jnp.where(where, ids, size)  # beyond the vocabulary: dropped
    b, r = jnp.arange(batch)[:, None, None], jnp.arange(rows)[None, :, None]
    marked = jnp.zeros((size, batch, rows), bool)
    return marked.at[ids, b, r].set(True, mode="drop")


def _penalize_repetition(
    scores: jax.Array, history: History, penalty: float
) -> jax.Array:
    """Keskar et al. 2019 (arXiv 1909.05858), equation 2, per sign as the peer."""
    seen = jnp.broadcast_to(history.mask[:, None], history.ids.shape)
    seen = _marked(history.ids, seen, len(scores))
    penalized = jnp.where(scores < 0, scores * penalty, scores / penalty)
    return jnp.where(seen, penalized, scores)


def _ban_repeated_ngrams(scores: jax.Array, history: History, n: int) -> jax.Array:
    """Bans what would complete an n-gram that is in the sequence already.

    ```
    n = 3, sequence 5 6 7 5 6      its last two tokens are 5 6, which 7 has followed
    ```
    """
    width = history.ids.shape[2]
    if width < n:
        return scores
    last, starts = history.last(n - 1), width - n + 1
    is_token = history.mask[:, n - 1 :]  # [B, starts] the n-gram's end was written
    is_token &= history.mask[:, :starts]  # and its start is no padding
    completes = jnp.broadcast_to(is_token[:, None], (*history.ids.shape[:2], starts))
    for offset in range(n - 1):
        window = history.ids[:, :, offset : offset + starts]
        completes &= window == last[:, :, offset, None]
    ends = history.ids[:, :, n - 1 :]
    return _ban(scores, _marked(ends, completes, len(scores)))


def _ban_words(
    scores: jax.Array, history: History, config: GenerationConfig
) -> jax.Array:
    """Bans the last id of each sequence whose other ids were generated just now."""
    # EOS alone cannot be banned, or no sequence would end: as the peer.
    words = [w for w in config.bad_words_ids if w not in {(i,) for i in config.eos_ids}]
    single = [w[0] for w in words if len(w) == 1]
    scores = _ban(scores, _is_one_of(tuple(single), len(scores))[:, None, None])
    tokens = history.mask.sum(axis=1)  # [B]
    for *before, last in (w for w in words if len(w) > 1):
        recent = history.last(len(before))  # [B, R, n]
        matches = (recent == np.array(before, np.int32)[None, None]).all(axis=2)
        matches &= (tokens >= len(before))[:, None]
        is_last = np.arange(len(scores)) == last
        scores = _ban(scores, matches[None] & is_last[:, None, None])
    return scores
