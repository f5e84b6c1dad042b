"""Word tables get longer or shorter; rows that are kept stay the same bit for bit."""

import dataclasses

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import ConfigError
from bertgen_jax.models import resizing
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.stack_config import WORD_TABLE
from tests.fixtures.models import stack_config

ROWS = 20
STACK = stack_config(vocab_size=ROWS, initializer_range=0.5)
DECODER = dataclasses.replace(STACK, is_decoder=True)
UNTIED = dataclasses.replace(DECODER, tie_word_embeddings=False)
WORDS = WORD_TABLE


def pair(decoder=STACK, **fields):
    fields = {"decoder_start_token_id": 2} | fields
    return EncoderDecoder(EncoderDecoderConfig.from_stacks(STACK, decoder, **fields))


# Each model, and where it has something for each word.
MODELS = {
    "encoder": (BertGenerationEncoder(STACK), [WORDS]),
    "decoder": (
        BertGenerationDecoder(UNTIED),
        [f"bert/{WORDS}", "lm_head/kernel", "lm_head/bias"],
    ),
    "pair": (
        pair(),
        [f"encoder/{WORDS}", f"decoder/bert/{WORDS}", "decoder/lm_head/bias"],
    ),
    "untied": (
        pair(UNTIED),
        [
            f"encoder/{WORDS}",
            f"decoder/bert/{WORDS}",
            "decoder/lm_head/kernel",
            "decoder/lm_head/bias",
        ],
    ),
    "shared": (
        pair(share_encoder_decoder=True),
        [f"decoder/bert/{WORDS}", "decoder/lm_head/bias"],
    ),
    "one table, no bias": (
        pair(dataclasses.replace(STACK, lm_head_bias=False), share_embeddings=True),
        [f"decoder/bert/{WORDS}"],
    ),
    "prefix": (
        PrefixLanguageModel(PrefixLanguageModelConfig(DECODER, 2)),
        [f"decoder/bert/{WORDS}", "decoder/lm_head/bias"],
    ),
}


def draw(draw_params, model):
    if isinstance(model, PrefixLanguageModel):
        return {"decoder": draw_params(model.config.decoder)}
    return draw_params(model.config)


def declared(model):
    """The shapes of the parameters that a model declares."""
    ids = np.zeros((1, 2), np.int32)
    pairs = hasattr(model.config, "decoder")
    arguments = (ids, None, ids) if pairs else (ids,)
    params = jax.eval_shape(model.init, jax.random.key(0), *arguments)["params"]
    return {path: leaf.shape for path, leaf in trees.named(params).items()}


def vocabulary_last(path, leaf):
    return np.asarray(leaf) if path.endswith("kernel") else np.asarray(leaf).T


@pytest.mark.parametrize("rows", [ROWS + 7, ROWS - 7, ROWS])
@pytest.mark.parametrize(("model", "resized"), MODELS.values(), ids=MODELS)
def test_only_what_has_one_for_each_word_changes(model, resized, rows, draw_params):
    params = draw(draw_params, model)
    new_model, new_params = resizing.resize_embeddings(model, params, rows)
    old, new = trees.named(params), trees.named(new_params)
    assert {path: leaf.shape for path, leaf in new.items()} == declared(new_model)
    for path in old:
        if path not in resized:
            assert new[path] is old[path]
            continue
        before, after = (vocabulary_last(path, x[path]) for x in (old, new))
        assert after.shape[-1] == rows
        kept = min(rows, ROWS)
        np.testing.assert_array_equal(after[..., :kept], before[..., :kept])


def test_new_rows_are_drawn_as_a_new_models(draw_params):
    model, params = pair(UNTIED), draw_params(pair(UNTIED).config)
    _, grown = resizing.resize_embeddings(model, params, ROWS + 2000)
    drawn = {
        path: vocabulary_last(path, leaf)[..., ROWS:]
        for path, leaf in trees.named(grown).items()
        if path in MODELS["untied"][1]
    }
    assert not drawn.pop("decoder/lm_head/bias").any()
    for rows in drawn.values():
        # Of a normal distribution that is cut off at 2 standard deviations.
        assert rows.std() == pytest.approx(0.88 * STACK.initializer_range, rel=0.03)
        assert abs(rows).max() <= 2 * STACK.initializer_range
    tables = list(drawn.values())
    assert len({rows.tobytes() for rows in tables}) == len(tables)
    _, again = resizing.resize_embeddings(model, params, ROWS + 2000)
    _, other = resizing.resize_embeddings(model, params, ROWS + 2000, seed=1)
    jax.tree.map(np.testing.assert_array_equal, grown, again)
    words = grown["encoder"]["embeddings"]["word_embeddings"]["embedding"]
    others = other["encoder"]["embeddings"]["word_embeddings"]["embedding"]
    assert not np.array_equal(words, others)


def test_the_grown_model_gives_the_old_words_the_same_logits(draw_params):
    model = pair()
    params = draw_params(model.config)
    new_model, new_params = resizing.resize_embeddings(model, params, ROWS + 5)
    assert new_model.config.decoder.vocab_size == ROWS + 5
    ids = np.array([[3, 4, 19]])
    old = model.apply({"params": params}, ids, None, ids).logits
    new = new_model.apply({"params": new_params}, ids, None, ids).logits
    np.testing.assert_allclose(new[..., :ROWS], old, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_one_side_of_two(side, draw_params):
    model = pair()
    params = draw_params(model.config)
    new_model, new_params = resizing.resize_embeddings(model, params, 30, side=side)
    sizes = {"encoder": ROWS, "decoder": ROWS} | {side: 30}
    config = new_model.config
    assert (config.encoder.vocab_size, config.decoder.vocab_size) == (*sizes.values(),)
    shapes = {path: leaf.shape for path, leaf in trees.named(new_params).items()}
    assert shapes == declared(new_model)


def test_how_a_model_computes_stays(draw_params):
    model = EncoderDecoder(pair().config, dtype="bfloat16", scan_layers=True)
    params = draw_params(model.config)
    new_model, _ = resizing.resize_embeddings(model, params, 30)
    assert new_model == EncoderDecoder(new_model.config, "bfloat16", True)


@pytest.mark.parametrize("rows", [0, 5.5, "5", None])
def test_an_invalid_number_of_rows_is_refused(rows):
    with pytest.raises(ConfigError, match="expected a positive integer"):
        resizing.resize_embeddings(pair(), {}, rows)


def test_params_of_no_model():
    with pytest.raises(ConfigError, match='without the "params" level'):
        resizing.resize_embeddings(pair(), {}, 30)


@pytest.mark.parametrize(
    ("model", "rows", "options", "message"),
    [
        (pair(), 2, {}, r"cuts off the row of encoder\.bos_token_id 2; expected more"),
        (
            pair(decoder_start_token_id=15),
            15,
            {},
            "cuts off the row of decoder_start_token_id 15; expected more than 15",
        ),
        (
            BertGenerationDecoder(dataclasses.replace(DECODER, eos_token_id=(1, 9))),
            9,
            {},
            "cuts off the row of eos_token_id 9",
        ),
        (pair(), 0, {}, "vocab_size is 0; expected a positive integer"),
        (pair(), 30, {"side": "encoders"}, "Did you mean 'encoder'"),
        (
            pair(share_embeddings=True),
            30,
            {"side": "encoder"},
            "side is 'encoder', but the model has one word table",
        ),
        (BertGenerationDecoder(DECODER), 30, {"side": "decoder"}, "one word table"),
    ],
)
def test_an_invalid_resize_is_refused(model, rows, options, message, draw_params):
    with pytest.raises(ConfigError, match=message):
        resizing.resize_embeddings(model, draw_params(model.config), rows, **options)


def test_params_of_another_size(draw_params):
    model = BertGenerationDecoder(DECODER)
    other = dataclasses.replace(DECODER, vocab_size=ROWS + 1)
    with pytest.raises(ConfigError, match=r"shape \(21, 16\); expected 20 on axis 0"):
        resizing.resize_embeddings(model, draw_params(other), 30)
