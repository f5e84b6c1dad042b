"""One stack reads source and target as one text, wherever padding stands."""

import functools

import jax
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from tests.fixtures.models import stack_config

DECODER = stack_config(
    num_hidden_layers=2,
    max_position_embeddings=11,
    layer_norm_eps=1e-5,
    lm_head_bias=False,
    pre_layer_norm=True,
    is_decoder=True,
)
CONFIG = PrefixLanguageModelConfig(DECODER, 2)
MODEL = PrefixLanguageModel(CONFIG)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

RNG = np.random.default_rng(0)
SOURCE = RNG.integers(0, DECODER.vocab_size, (3, 6))
LENGTHS = np.array([6, 4, 0])
TARGET = RNG.integers(0, DECODER.vocab_size, (3, 5))
RIGHT = np.arange(6) < LENGTHS[:, None]
LEFT = RIGHT[:, ::-1]
MIXED = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)

run = jax.jit(MODEL.apply)


@pytest.fixture(scope="module")
def variables(draw_params):
    return {"params": draw_params(CONFIG)}


@pytest.fixture(scope="module")
def alone(variables):
    """(row, mask) -> logits f32[T, V] of its target, from one text without padding."""
    run = jax.jit(BertGenerationDecoder(DECODER).apply)

    @functools.cache
    def logits(row, kept):
        text = np.concatenate([SOURCE[row][list(kept)], TARGET[row]])
        params = variables["params"]["decoder"]
        return run({"params": params}, text[None]).logits[0, -5:]

    return lambda row, mask: logits(row, tuple(np.flatnonzero(mask[row])))


@pytest.mark.parametrize("mask", [RIGHT, LEFT, MIXED], ids=["right", "left", "mixed"])
def test_padding_is_neither_seen_nor_counted(variables, alone, mask):
    out = run(variables, np.where(mask, SOURCE, 29), mask, TARGET)
    assert out.logits.shape == (3, 5, DECODER.vocab_size)
    for row in range(3):
        np.testing.assert_allclose(out.logits[row], alone(row, mask), **CLOSE)


def test_no_mask_keeps_all(variables):
    whole = np.ones_like(SOURCE, bool)
    np.testing.assert_array_equal(
        run(variables, SOURCE, None, TARGET).logits,
        run(variables, SOURCE, whole, TARGET).logits,
    )


def test_a_target_sees_its_source_and_its_past(variables):
    wanted = run(variables, SOURCE, RIGHT, TARGET).logits
    later = TARGET.copy()
    later[:, 3] = (later[:, 3] + 1) % DECODER.vocab_size
    found = run(variables, SOURCE, RIGHT, later).logits
    np.testing.assert_array_equal(found[:, :3], wanted[:, :3])
    assert (found[:, 3] != wanted[:, 3]).any(axis=-1).all()
    other = SOURCE.copy()
    other[:, 0] = (other[:, 0] + 1) % DECODER.vocab_size
    found = run(variables, other, RIGHT, TARGET).logits
    has_source = LENGTHS > 0
    assert (np.abs(found - wanted).max(axis=(1, 2)) > 0.01).tolist() == list(has_source)


def test_parameters_are_those_of_a_decoder(variables):
    names = jax.tree.structure(variables["params"])
    init = functools.partial(MODEL.init, jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(init, SOURCE, None, TARGET)["params"]) == (
        names
    )
    decoder = functools.partial(BertGenerationDecoder(DECODER).init, jax.random.key(0))
    params = jax.eval_shape(decoder, SOURCE)["params"]
    assert jax.tree.structure({"decoder": params}) == names


def test_gradients_are_finite_and_dropout_follows_its_key(variables):
    model = PrefixLanguageModel(CONFIG, scan_layers=True, remat="dots")
    key = jax.random.key(0, impl="rbg")

    @jax.jit
    def step(variables, key):
        def loss(variables):
            out = model.apply(
                variables,
                SOURCE,
                RIGHT,
                TARGET,
                deterministic=False,
                rngs={"dropout": key},
            )
            return jax.nn.logsumexp(out.logits, axis=-1).mean()

        return jax.value_and_grad(loss)(variables)

    loss, slopes = step(variables, key)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))
    assert step(variables, key)[0] == loss
    assert step(variables, jax.random.key(1, impl="rbg"))[0] != loss


def test_both_together_have_the_positions_of_the_table(variables):
    longer = np.hstack([SOURCE, SOURCE[:, :1]])
    message = "source of 7 tokens with a target of 5 tokens needs 12 .* has 11 .*Trunc"
    with pytest.raises(ConfigError, match=message):
        MODEL.apply(variables, longer, None, TARGET)
