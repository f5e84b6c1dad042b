"""Stacks: caches, beams as positions, masks, ways to run the layers, and errors."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from tests.fixtures.models import stack_config

ENCODER = stack_config(max_position_embeddings=12, hidden_dropout_prob=0.2)
DECODER = dataclasses.replace(ENCODER, is_decoder=True, add_cross_attention=True)
DEEP = dataclasses.replace(ENCODER, num_hidden_layers=2)
GPT2 = dataclasses.replace(
    DEEP, is_decoder=True, lm_head_bias=False, pre_layer_norm=True
)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def encoder(draw_params):
    return {"params": draw_params(ENCODER)}


@pytest.fixture(scope="module")
def decoder(draw_params):
    return {"params": draw_params(DECODER)}


@pytest.fixture(scope="module")
def batch():
    """Ids i32[3, 6] and source states f32[3, 5, D] with their mask."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(3, 5, ENCODER.hidden_size)).astype(np.float32)
    source_mask = np.arange(5) < np.array([[5], [3], [1]])
    return rng.integers(0, ENCODER.vocab_size, (3, 6)), source, source_mask


# Compiled once for each shape, in whichever test comes first.
run_encoder = jax.jit(BertGenerationEncoder(ENCODER).apply)
run_decoder = jax.jit(BertGenerationDecoder(DECODER).apply)


def decode(variables, ids, batch, **arguments):
    """The decoder over the sources of `batch`."""
    _, source, source_mask = batch
    return run_decoder(
        variables,
        ids,
        encoder_hidden_states=source,
        encoder_attention_mask=source_mask,
        **arguments,
    )


def filled_cache(variables, batch, capacity):
    """An empty cache of `capacity` slots over the sources of `batch`."""
    model = BertGenerationDecoder(DECODER)
    return model.apply(variables, 3, capacity, batch[1], method="init_cache")


# --- causality and masks ---------------------------------------------------------


def test_a_decoder_does_not_see_its_future_and_an_encoder_does(encoder, decoder, batch):
    ids = batch[0]
    changed = ids.copy()
    changed[:, -1] = (changed[:, -1] + 1) % ENCODER.vocab_size
    one, other = (decode(decoder, x, batch).logits for x in (ids, changed))
    np.testing.assert_array_equal(one[:, :-1], other[:, :-1])
    assert (one[:, -1] != other[:, -1]).any(axis=-1).all()

    one, other = (run_encoder(encoder, x).last_hidden_state for x in (ids, changed))
    assert (one[:, 0] != other[:, 0]).any(axis=-1).all()


def test_padding_changes_nothing_that_is_not_padding(encoder, batch):
    ids = batch[0]
    short = run_encoder(encoder, ids[:, :4]).last_hidden_state
    mask = np.arange(6)[None] < np.full((3, 1), 4)
    padded = run_encoder(encoder, ids, mask).last_hidden_state
    np.testing.assert_allclose(padded[:, :4], short, **CLOSE)


def test_a_row_that_sees_nothing_is_finite_with_finite_gradients(encoder, batch):
    mask = np.ones((3, 6), bool)
    mask[1] = False

    def total(variables):
        output = run_encoder(variables, batch[0], mask)
        return (output.last_hidden_state**2).sum()

    value, slopes = jax.jit(jax.value_and_grad(total))(encoder)
    assert np.isfinite(value)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))


def test_two_forms_of_one_mask_give_one_result(decoder, batch):
    keep = np.arange(6)[None] < np.array([[6], [4], [1]])
    causal = np.tril(np.ones((6, 6), bool))
    full = keep[:, None, :] & causal[None]
    one, other = (
        decode(decoder, batch[0], batch, attention_mask=mask).logits
        for mask in (keep, full)
    )
    np.testing.assert_allclose(other, one, **CLOSE)
    assert np.abs(one - decode(decoder, batch[0], batch).logits).max() > 0.1


# --- the cache -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "capacity", "widths"),
    [
        ((1,) * 6, 9, (9,) * 6),
        ((4, 2), 9, (4, 6)),  # past and new, as in Hugging Face
    ],
    ids=["one by one", "in chunks"],
)
def test_with_a_cache_the_logits_are_those_without(
    decoder, batch, steps, capacity, widths
):
    ids = batch[0]
    mask = np.ones((3, capacity), bool)
    mask[2, 1] = False
    wanted = decode(decoder, ids, batch, attention_mask=mask[:, :6]).logits
    cache, first, found = filled_cache(decoder, batch, capacity), 0, []
    for count, width in zip(steps, widths, strict=True):
        out = decode(
            decoder,
            ids[:, first : first + count],
            batch,
            attention_mask=mask[:, :width],
            past_key_values=cache,
        )
        cache, first = out.past_key_values, first + count
        found.append(out.logits)
    np.testing.assert_allclose(np.concatenate(found, axis=1), wanted, **CLOSE)
    assert int(cache.index) == 6


def test_a_cache_of_the_source_needs_the_source_no_more(decoder, batch):
    ids, _, source_mask = batch
    out = run_decoder(
        decoder,
        ids,
        encoder_attention_mask=source_mask,
        past_key_values=filled_cache(decoder, batch, 6),
    )
    wanted = decode(decoder, ids, batch).logits
    np.testing.assert_allclose(out.logits, wanted, **CLOSE)


def test_beams_are_tokens_at_one_position(decoder, batch):
    """R rows over one cache, told apart by a mask, are R sequences of their own."""
    beams, steps = 3, 4
    rng = np.random.default_rng(1)
    cache = filled_cache(decoder, batch, beams * steps)
    ancestors = np.zeros((3, beams, beams * steps), bool)
    histories = np.zeros((3, beams, 6), int)
    for step in range(steps):
        ids = rng.integers(0, DECODER.vocab_size, (3, beams))
        ancestors[:, np.arange(beams), step * beams + np.arange(beams)] = True
        histories[:, :, step] = ids
        out = decode(
            decoder,
            ids,
            batch,
            attention_mask=ancestors,
            position_ids=np.full((1, beams), step),
            past_key_values=cache,
        )
        cache = out.past_key_values
        for beam in range(beams):
            alone = decode(decoder, histories[:, beam], batch).logits[:, step]
            np.testing.assert_allclose(out.logits[:, beam], alone, **CLOSE)
        # Some beams die and others have two heirs: rows of the mask are gathered.
        parents = rng.integers(0, beams, (3, beams))
        ancestors = np.take_along_axis(ancestors, parents[:, :, None], axis=1)
        histories = np.take_along_axis(histories, parents[:, :, None], axis=1)


def test_a_full_cache_refuses_more(decoder, batch):
    ids = batch[0]
    model = BertGenerationDecoder(DECODER)
    cache = filled_cache(decoder, batch, 8).replace(index=np.int32(6))
    with pytest.raises(ConfigError, match="has 8 slots, 6 of them written; 3 more"):
        model.apply(decoder, ids[:, :3], past_key_values=cache)
    # Under jit the index has no value; more than the whole is refused all the same.
    cache = filled_cache(decoder, batch, 5)
    with pytest.raises(ConfigError, match="has 5 slots, 0 of them written; 6 more"):
        run_decoder(decoder, ids, past_key_values=cache)


def test_a_mask_that_forgets_the_past_is_refused(decoder, batch):
    cache = filled_cache(decoder, batch, 9).replace(index=np.int32(6))
    with pytest.raises(ConfigError, match=r"shape \(3, 2\); expected \[3, 8 to 9\]"):
        BertGenerationDecoder(DECODER).apply(
            decoder, batch[0][:, :2], np.ones((3, 2)), past_key_values=cache
        )


# --- ways to run the layers ------------------------------------------------------


PLAIN, SCAN, REMAT = {}, {"scan_layers": True}, {"remat": "full"}
WAYS = [{"remat": "dots"}, SCAN | REMAT]

# A kind of key whose bits need not be compiled from scratch.
new_key = functools.partial(jax.random.key, impl="rbg")


@pytest.fixture(scope="module")
def differentiate(draw_params, batch):
    """(way to run the layers, dropout key or None) -> loss, its gradient, its jaxpr."""

    params = draw_params(DEEP)

    @functools.cache
    def compiled(way, dropout):
        model = BertGenerationEncoder(DEEP, **dict(way))
        mask = np.arange(6) < np.array([[6], [4], [2]])
        direction = np.random.default_rng(2).normal(size=(3, 6, ENCODER.hidden_size))

        def loss(params, key):
            output = model.apply(
                {"params": params},
                batch[0],
                mask,
                deterministic=not dropout,
                rngs={"dropout": key},
            )
            return (output.last_hidden_state * direction).sum()

        step = jax.jit(jax.value_and_grad(loss))
        traced = step.trace(params, new_key(0))
        return traced.lower().compile(), str(traced.jaxpr)

    def run(way, key=None):
        function, jaxpr = compiled(tuple(way.items()), key is not None)
        key = new_key(0) if key is None else key
        value, gradient = function(params, key)
        return value, gradient, jaxpr

    return run


def assert_equal_steps(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, **CLOSE), one[1], other[1]
    )


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_scanned_and_recomputed_layers_are_the_plain_loop(differentiate, way):
    plain, other = differentiate(PLAIN), differentiate(way)
    assert_equal_steps(plain, other)
    for primitive, field in (("scan[", "scan_layers"), ("remat", "remat")):
        assert primitive not in plain[2]
        assert (primitive in other[2]) == (field in way)


def test_dropout_is_the_same_plain_scanned_recomputed_and_again(differentiate):
    first = differentiate(SCAN, new_key(3))
    for way in (PLAIN, REMAT):
        assert_equal_steps(differentiate(way, new_key(3)), first)
    again = differentiate(SCAN, new_key(3))
    jax.tree.map(np.testing.assert_array_equal, again[:2], first[:2])
    assert differentiate(SCAN, new_key(4))[0] != first[0]


def test_what_a_loop_cannot_return_comes_from_the_plain_layers(decoder, batch):
    model = BertGenerationDecoder(DECODER, scan_layers=True, remat="dots")
    everything = functools.partial(
        model.apply, output_attentions=True, output_hidden_states=True
    )
    out = jax.eval_shape(everything, decoder, batch[0], encoder_hidden_states=batch[1])
    assert [x.shape for x in out.hidden_states] == [(3, 6, 16)] * 2
    assert [x.shape for x in out.attentions] == [(3, 2, 6, 6)]
    assert [x.shape for x in out.cross_attentions] == [(3, 2, 6, 5)]


def test_gpt2_normalises_what_the_last_layer_returns_and_not_the_embeddings(
    draw_params, batch
):
    variables = {"params": draw_params(GPT2)}
    plain = functools.partial(BertGenerationDecoder(GPT2).apply, variables, batch[0])
    wanted = jax.jit(functools.partial(plain, output_hidden_states=True))()
    found = jax.jit(BertGenerationDecoder(GPT2, **SCAN).apply)(variables, batch[0])
    np.testing.assert_allclose(found.logits, wanted.logits, **CLOSE)

    trunk = variables["params"]["bert"]
    tables = trunk["embeddings"]
    first, *_, last = wanted.hidden_states
    assert len(wanted.hidden_states) == 3
    words = tables["word_embeddings"]["embedding"][batch[0]]
    summed = words + tables["position_embeddings"]["embedding"][None, :6]
    np.testing.assert_allclose(first, summed, **CLOSE)
    scale, bias = trunk["LayerNorm"]["scale"], trunk["LayerNorm"]["bias"]
    normalized = (last - bias[None, None]) / scale[None, None]
    np.testing.assert_allclose(normalized.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(normalized.std(-1), 1, atol=1e-3)


# --- parameters ------------------------------------------------------------------


def test_the_parameters_do_not_depend_on_what_init_is_given():
    ids = np.ones((1, 2), int)
    vectors = np.ones((1, 2, DECODER.hidden_size), np.float32)

    def shapes(model, **arguments):
        init = functools.partial(model.init, jax.random.key(0))
        return jax.tree.map(lambda x: x.shape, jax.eval_shape(init, **arguments))

    decoder = BertGenerationDecoder(DECODER)
    wanted = shapes(decoder, input_ids=ids, encoder_hidden_states=vectors)
    assert shapes(decoder, input_ids=ids) == wanted
    assert shapes(decoder, inputs_embeds=vectors) == wanted
    assert "crossattention" in wanted["params"]["bert"]["layer_0"]
    encoder = BertGenerationEncoder(ENCODER)
    assert shapes(encoder, inputs_embeds=vectors) == shapes(encoder, input_ids=ids)


def test_new_weights_are_drawn_as_the_config_says():
    config = dataclasses.replace(ENCODER, initializer_range=0.5, hidden_size=64)
    init = jax.jit(BertGenerationEncoder(config).init)
    params = init(new_key(0), np.ones((1, 2), int))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = path[-1].key
        if name in ("kernel", "embedding"):
            assert abs(leaf.std() - 0.5) < 0.1, path
            assert np.abs(leaf).max() < 2.0, path  # truncated at two deviations
        else:
            np.testing.assert_array_equal(leaf, 1.0 if name == "scale" else 0.0)


# --- errors ----------------------------------------------------------------------


def test_a_decoder_that_would_see_its_future(draw_params, batch):
    config = dataclasses.replace(DECODER, is_decoder=False, add_cross_attention=False)
    with pytest.raises(ConfigError, match=r"is_decoder is False.*replace\(config, is"):
        BertGenerationDecoder(config).init(jax.random.key(0), batch[0])
    params = draw_params(dataclasses.replace(config, is_decoder=True))
    run = jax.jit(BertGenerationDecoder(config, allow_bidirectional=True).apply)
    other_end = batch[0].copy()
    other_end[:, -1] = (other_end[:, -1] + 1) % ENCODER.vocab_size
    one, other = (run({"params": params}, x).logits for x in (batch[0], other_end))
    assert np.abs(one[:, 0] - other[:, 0]).max() > 0.1


IDS = np.ones((1, 3), int)
STATES = np.ones((1, 4, ENCODER.hidden_size), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "found neither of input_ids and inputs_embeds; expected exactly one"),
        ({"input_ids": IDS, "inputs_embeds": STATES}, "found both of input_ids and"),
        ({"input_ids": np.ones((1, 13), int)}, "13 positions; the encoder has 12"),
        ({"input_ids": IDS, "encoder_hidden_states": STATES}, "is_decoder=False and"),
        (
            {"input_ids": IDS, "encoder_attention_mask": IDS},
            "without encoder_hidden_states",
        ),
        ({"input_ids": IDS, "attention_mask": np.ones((1, 4))}, r"expected \[1, 3\]"),
    ],
)
def test_invalid_calls_of_an_encoder(encoder, arguments, message):
    with pytest.raises(ConfigError, match=message):
        BertGenerationEncoder(ENCODER).apply(encoder, **arguments)


def test_an_encoder_has_no_use_for_a_cache(encoder, decoder, batch):
    model = BertGenerationEncoder(ENCODER)
    cache = filled_cache(decoder, batch, 6)
    with pytest.raises(ConfigError, match="given to a bidirectional stack"):
        model.apply(encoder, batch[0], past_key_values=cache)
    with pytest.raises(ConfigError, match="the source is ignored"):
        model.apply(encoder, 3, 6, batch[1], method="init_cache")


def test_positions_go_on_from_the_cache_and_end_with_the_table(decoder, batch):
    cache = filled_cache(decoder, batch, 15).replace(index=np.int32(6))
    out = decode(decoder, batch[0], batch, past_key_values=cache)
    assert np.isfinite(out.logits).all()  # the table's last row is in it
    cache = out.past_key_values
    with pytest.raises(ConfigError, match="13 positions; the decoder has 12"):
        BertGenerationDecoder(DECODER).apply(decoder, IDS[:, :1], past_key_values=cache)


def test_a_mask_of_the_source_has_the_sources_length(decoder, batch):
    with pytest.raises(ConfigError, match=r"encoder_attention_mask has shape \(3, 6\)"):
        BertGenerationDecoder(DECODER).apply(
            decoder,
            batch[0],
            encoder_hidden_states=batch[1],
            encoder_attention_mask=np.ones((3, 6)),
        )


@pytest.mark.parametrize("remat", ["dot", "everything"])
def test_an_unknown_way_to_recompute(remat):
    model = BertGenerationEncoder(ENCODER, remat=remat)
    with pytest.raises(ConfigError, match=f"remat is '{remat}'; expected one of none"):
        model.init(jax.random.key(0), IDS)


def test_another_dtype_of_the_source_does_not_widen_the_stack(decoder, batch):
    model = BertGenerationDecoder(DECODER, dtype=jnp.bfloat16)
    cache = model.apply(decoder, 3, 6, batch[1], method="init_cache")
    assert {x.dtype.name for x in jax.tree.leaves(cache.layers)} == {"bfloat16"}
