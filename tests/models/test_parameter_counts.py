"""The published sizes have the published numbers of parameters, to the last one.

The paper's own models have one embedding matrix and no output bias (Table 1, and how
its totals add up); Hugging Face's have a bias, and a table for each of two stacks. The
totals count a decoder of GPT-2's like one of BERT's: its LayerNorm after the last layer
is as large as that of BERT's embeddings, which it does not have.
"""

import math

import jax
import numpy as np
import pytest

from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import parameter_maps

CASED, UNCASED, SENTENCEPIECE, WMT = 28_996, 30_522, 50_358, 31_950


def pair(size, vocab_size, *, lm_head_bias, **fields):
    stack = BertGenerationConfig(
        **SIZES[size], vocab_size=vocab_size, lm_head_bias=lm_head_bias
    )
    return EncoderDecoderConfig.from_stacks(stack, stack, **fields)


def count(*size, **fields):
    """Parameters of an encoder-decoder, by its parameter map, which takes no time."""
    weights = parameter_maps.weights_of(pair(*size, **fields))
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


def gpt2(**fields):
    return BertGenerationConfig.from_dict({"model_type": "gpt2", **fields})


def bert(vocab_size):
    return BertGenerationConfig(**SIZES["base"], vocab_size=vocab_size)


GPT2 = gpt2(vocab_size=SENTENCEPIECE, n_positions=512)  # as the paper uses it


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (PrefixLanguageModelConfig(gpt2()), 124_439_808),  # as released
        (PrefixLanguageModelConfig(GPT2), 124_124_160),  # row 7
        (EncoderDecoderConfig.from_stacks(bert(CASED), GPT2), 260_209_152),  # row 9
        (EncoderDecoderConfig.from_stacks(bert(SENTENCEPIECE), GPT2), 276_615_168),
        # Row 8. The paper's layout has one LayerNorm for the one embedding block; here
        # the encoder has that one, and the decoder its own after the last layer.
        (
            EncoderDecoderConfig.from_stacks(
                bert(SENTENCEPIECE), GPT2, share_embeddings=True
            ),
            237_545_472 + 2 * 768,
        ),
    ],
    ids=["gpt2", "gpt", "bert2gpt", "roberta2gpt", "rnd2gpt"],
)
def test_the_papers_models_with_gpt2(config, total):
    is_pair = isinstance(config, EncoderDecoderConfig)
    model = (EncoderDecoder if is_pair else PrefixLanguageModel)(config)
    ids = np.ones((1, 1), np.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), ids, None, ids)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == total


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
