"""A model of a few lines whose logits depend on the whole history, in order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

_STATES = 4099  # rows of the table; prime
_MAX_LENGTH = 64  # tokens in a history
_WEIGHTS = np.array([pow(31, n, _STATES) for n in range(_MAX_LENGTH)], np.int32)


@dataclasses.dataclass(frozen=True)
class HistoryModel:
    """Logits drawn at random for every (source, start token, generated tokens).

    A history is hashed into a row number of `table`; a token that is lost, foreign or
    out of order leads to another row. `step` finds the tokens of a history only through
    the slots that `ancestors` lets it see.
    """

    table: np.ndarray  # f32[states, V]

    @classmethod
    def draw(cls, seed, vocab_size, eos_ids=(), eos_bias=0.0):
        rng = np.random.default_rng(seed)
        table = rng.normal(0, 2, (_STATES, vocab_size)).astype(np.float32)
        table[:, list(eos_ids)] += eos_bias
        return cls(table)

    def log_probs(self, source, history):
        """f32[V] after `history`, start token included: the truth, without a cache."""
        state = source
        for token, weight in zip(history, _WEIGHTS, strict=False):
            state += (token + 1) * int(weight)
        state %= _STATES
        logits = self.table[state] - self.table[state].max()
        return logits - np.log(np.exp(logits).sum())

    def cache(self, sources, config):
        num_slots = config.num_rows * config.num_new_tokens
        return {
            "table": jnp.asarray(self.table),
            "sources": jnp.asarray(sources, jnp.int32),
            "tokens": jnp.full((len(sources), num_slots), -1, jnp.int32),
        }

    @staticmethod
    def step(cache, ids, positions, ancestors):
        slots = positions[:, None] * ids.shape[1] + jnp.arange(ids.shape[1])[None]
        rows = jnp.arange(len(ids))[:, None]
        tokens = cache["tokens"].at[rows, slots].set(ids, mode="drop")

        weights = jnp.repeat(_WEIGHTS, ids.shape[1])[: tokens.shape[1]]  # [C]
        terms = (tokens + 1) * weights[None]  # [B, C]
        sums = jnp.where(ancestors, terms[:, None], 0).sum(axis=2)  # [B, R]
        state = (cache["sources"][:, None] + sums) % _STATES
        return jnp.moveaxis(cache["table"][state], 2, 0), {**cache, "tokens": tokens}


@pytest.fixture(scope="session")
def history_model():
    return HistoryModel


class CountedSteps:
    """A step function that counts how often it is run, not how often it is traced."""

    def __init__(self, step):
        self._step = step
        self._calls = 0

    def __call__(self, *args):
        jax.debug.callback(self._count)
        return self._step(*args)

    def _count(self):
        self._calls += 1

    @property
    def calls(self):
        jax.effects_barrier()
        return self._calls

    @calls.setter
    def calls(self, value):
        self._calls = value


@pytest.fixture
def counted():
    return CountedSteps
