"""The published sizes have the published numbers of parameters, to the last one.

The paper's own models have one embedding matrix and no output bias (Table 1, and how
its totals add up); Hugging Face's have a bias, and a table for each of two stacks.
"""

import math

import jax
import numpy as np
import pytest

from bertgen_jax.checkpoints import huggingface
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.presets import SIZES

CASED, UNCASED, SENTENCEPIECE, WMT = 28_996, 30_522, 50_358, 31_950


def pair(size, vocab_size, *, lm_head_bias, **fields):
    stack = BertGenerationConfig(
        **SIZES[size], vocab_size=vocab_size, lm_head_bias=lm_head_bias
    )
    return EncoderDecoderConfig.from_stacks(stack, stack, **fields)


def count(*size, **fields):
    """Parameters of an encoder-decoder, by the name map: it takes no time to read."""
    weights = huggingface.weights_of(pair(*size, **fields))
    shapes = {weight.path: weight.shape for weight in weights if weight.path}
    return sum(map(math.prod, shapes.values()))


@pytest.mark.parametrize(
    ("size", "shared", "total"),
    [("base", False, 221_139_456), ("large", True, 433_338_368)],
)
def test_init_makes_them_all(size, shared, total):
    config = pair(
        size,
        CASED,
        share_encoder_decoder=shared,
        share_embeddings=not shared,
        lm_head_bias=False,
    )
    ids = np.ones((1, 1), np.int32)
    init = EncoderDecoder(config).init
    params = jax.eval_shape(init, jax.random.key(0), ids, None, ids)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == total


@pytest.mark.parametrize(
    ("size", "vocab_size", "shared", "total"),
    [
        ("base", CASED, False, 221_139_456),  # rows 1 to 4 of Table 1
        ("base", CASED, True, 136_084_992),  # bertShare
        ("base", SENTENCEPIECE, True, 152_491_008),  # robertaShare
        ("base", SENTENCEPIECE, False, 237_545_472),
        ("large", CASED, True, 433_338_368),
        ("large", UNCASED, True, 434_900_992),
        ("large", SENTENCEPIECE, True, 455_213_056),
        ("large", WMT, False, 738_672_640),
    ],
)
def test_the_papers_models(size, vocab_size, shared, total):
    found = count(
        size,
        vocab_size,
        share_encoder_decoder=shared,
        share_embeddings=not shared,
        lm_head_bias=False,
    )
    assert found == total


@pytest.mark.parametrize(
    ("vocab_size", "two_stacks", "shared"),
    [
        (CASED, 243_832_132, 136_113_988),
        (UNCASED, 246_177_594, 137_287_482),
        (SENTENCEPIECE, 276_665_526, 152_541_366),
    ],
)
def test_the_peers_models(vocab_size, two_stacks, shared):
    assert count("base", vocab_size, lm_head_bias=True) == two_stacks
    found = count("base", vocab_size, lm_head_bias=True, share_encoder_decoder=True)
    assert found == shared
