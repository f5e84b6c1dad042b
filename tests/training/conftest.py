"""A model small enough to compile in seconds, and batches for it."""

import numpy as np
import pytest

from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder

VOCABULARY = 64


def small_model(**fields):
    """One layer of width 32, shared embeddings, no dropout unless asked for."""
    stack = BertGenerationConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        lm_head_bias=False,
        **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} | fields,
    )
    return EncoderDecoder(
        EncoderDecoderConfig.from_stacks(
            stack, stack, share_embeddings=True, decoder_start_token_id=2
        )
    )


def random_batch(seed, rows=16, source=8, target=6):
    """A batch of unequal lengths; the last row only fills it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, source + 1, rows)
    target_lengths = rng.integers(1, target + 1, rows)
    lengths[-1] = target_lengths[-1] = 0
    weights = np.arange(target) < target_lengths[:, None]
    labels = np.where(weights, rng.integers(3, VOCABULARY, (rows, target)), 0)
    start = np.full((rows, 1), 2)
    return {
        "input_ids": rng.integers(3, VOCABULARY, (rows, source)).astype(np.int32),
        "attention_mask": np.arange(source) < lengths[:, None],
        "decoder_input_ids": np.hstack([start, labels[:, :-1]]).astype(np.int32),
        "labels": labels.astype(np.int32),
        "label_weights": weights.astype(np.float32),
    }


@pytest.fixture
def batch():
    return random_batch(0)
