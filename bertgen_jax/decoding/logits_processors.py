"""Changes the scores of next tokens by the rules of a `GenerationConfig`.

The rules, their formulas and their order are those of Hugging Face (`LogitsProcessor`).
Each is a function of scores f32[V, B, R] and of the sequences before them. The scores
are logits in greedy search and sampling, and log-probabilities in beam search; the
scores of banned tokens become -inf.
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
      ids: i32[B, R, P + T]; a prompt that ends in column P - 1, then new tokens.
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
        """Joins prompts [B, P] and generated tokens [B, R, T]."""
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
        """Returns the last n tokens of each row, i32[B, R, n].

        Before the first column, the token of column 0 is repeated.
        """
        ends = self.prompt_length + self.length  # i32[B]
        columns = ends[:, None] - n + jnp.arange(n)[None]  # [B, n]
        columns = jnp.maximum(columns, 0)[:, None]  # [B, n] -> [B, 1, n]
        return jnp.take_along_axis(self.ids, columns, axis=2)


def is_needed(config: GenerationConfig) -> bool:
    """Returns whether `process` changes any score."""
    return bool(
        config.repetition_penalty != 1
        or config.no_repeat_ngram_size
        or config.bad_words_ids
        or (config.min_new_tokens and config.eos_ids)
        or config.forced_bos_token_id is not None
        or config.forced_eos_ids
    )


def only_bans(config: GenerationConfig) -> bool:
    """Returns whether `process` only bans tokens, and changes no other score.

    In that case scores may be normalised before or after `process`.
    """
    return (
        config.repetition_penalty == 1
        and config.forced_bos_token_id is None
        and not config.forced_eos_ids
    )


def process(scores: jax.Array, history: History, config: GenerationConfig) -> jax.Array:
    """Applies every rule that `config` asks for, in Hugging Face's order.

    Args:
      scores: f32[V, B, R] of the tokens that may follow.
      history: the tokens before them.
      config: the settings, with lengths in new tokens (`GenerationConfig.for_prompt`).

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


def _ban(scores: jax.Array, banned: jax.Array | np.ndarray) -> jax.Array:
    return jnp.where(banned, -jnp.inf, scores)


def _is_one_of(ids: tuple[int, ...], size: int) -> np.ndarray:
    """Returns bool[V], True at `ids`."""
    return np.isin(np.arange(size), ids)


def _force(scores: jax.Array, when: jax.Array, ids: tuple[int, ...]) -> jax.Array:
    """Scores `ids` 0 and all other tokens -inf, for sources with True in bool[B]."""
    forced = jnp.where(_is_one_of(ids, len(scores)), 0.0, -jnp.inf)
    return jnp.where(when[None, :, None], forced[:, None, None], scores)


def _marked(ids: jax.Array, where: jax.Array, size: int) -> jax.Array:
    """Returns bool[V, B, R], True at ids i32[B, R, n] for which `where` is True."""
    batch, rows, _ = ids.shape
    ids = jnp.where(where, ids, size)  # ids beyond the vocabulary are dropped
    b, r = jnp.arange(batch)[:, None, None], jnp.arange(rows)[None, :, None]
    marked = jnp.zeros((size, batch, rows), bool)
    return marked.at[ids, b, r].set(True, mode="drop")


def _penalize_repetition(
    scores: jax.Array, history: History, penalty: float
) -> jax.Array:
    """Applies equation 2 of arXiv 1909.05858, by sign as Hugging Face does."""
    seen = jnp.broadcast_to(history.mask[:, None], history.ids.shape)
    seen = _marked(history.ids, seen, len(scores))
    penalized = jnp.where(scores < 0, scores * penalty, scores / penalty)
    return jnp.where(seen, penalized, scores)


def _ban_repeated_ngrams(scores: jax.Array, history: History, n: int) -> jax.Array:
    """Bans tokens that would complete an n-gram that the sequence already contains.

    ```
    n = 3, sequence 5 6 7 5 6: the last two tokens are 5 6, and 7 followed them before,
    so 7 is banned
    ```
    """
    width = history.ids.shape[2]
    if width < n:
        return scores
    last, starts = history.last(n - 1), width - n + 1
    is_token = history.mask[:, n - 1 :]  # [B, starts] the n-gram's end is a token
    is_token &= history.mask[:, :starts]  # and its start is not padding
    completes = jnp.broadcast_to(is_token[:, None], (*history.ids.shape[:2], starts))
    for offset in range(n - 1):
        window = history.ids[:, :, offset : offset + starts]
        completes &= window == last[:, :, offset, None]
    ends = history.ids[:, :, n - 1 :]
    return _ban(scores, _marked(ends, completes, len(scores)))


def _ban_words(
    scores: jax.Array, history: History, config: GenerationConfig
) -> jax.Array:
    """Bans the last id of each word whose earlier ids end the sequence."""
    # EOS alone is never banned, as in Hugging Face, because no sequence would end.
    never_banned = {(i,) for i in config.eos_ids}
    words = [w for w in config.bad_words_ids or () if w not in never_banned]
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
