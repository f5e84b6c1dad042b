"""CTranslate2 runs what is exported, and finds what our own search finds.

Only the best hypothesis is compared: two candidates for the last beam may be as near to
each other as the rounding of two libraries.
"""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained.ctranslate2 import export as export_lib

ctranslate2 = pytest.importorskip("ctranslate2")
ctranslate2.set_log_level(logging.ERROR)  # not every processor is fast at float16

pytestmark = pytest.mark.parity

START, EOS, UNK = 2, 1, 3
SOURCES, STEPS = 20, 14
STACK = BertGenerationConfig(
    vocab_size=97,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=40,
)
NARROW = dataclasses.replace(
    STACK,
    vocab_size=61,
    hidden_size=24,
    num_attention_heads=2,
    num_hidden_layers=1,
    hidden_act="relu",
)
GPT2 = dataclasses.replace(
    STACK,
    num_hidden_layers=3,
    hidden_act="gelu_new",
    layer_norm_eps=1e-3,  # far from the encoder's, so that it shows
    lm_head_bias=False,
    pre_layer_norm=True,
)


def pair(encoder=STACK, decoder=STACK, **fields):
    return EncoderDecoderConfig.from_stacks(
        encoder, decoder, decoder_start_token_id=START, **fields
    )


PAIRS = {
    "pair": pair(),
    "shared": pair(
        *[dataclasses.replace(STACK, hidden_act="gelu_new", num_hidden_layers=3)] * 2,
        share_encoder_decoder=True,
    ),
    "one table, no bias": pair(
        decoder=dataclasses.replace(STACK, lm_head_bias=False), share_embeddings=True
    ),
    "untied": pair(
        dataclasses.replace(STACK, layer_norm_eps=1e-3),
        dataclasses.replace(STACK, layer_norm_eps=1e-3, tie_word_embeddings=False),
    ),
    "unequal": pair(NARROW),
    "BERT and GPT-2": pair(NARROW, GPT2),
    "BERT and GPT-2, one table": pair(STACK, GPT2, share_embeddings=True),
}
GREEDY = GenerationConfig(max_new_tokens=STEPS)
BEAMS = GenerationConfig(
    max_new_tokens=STEPS, num_beams=4, length_penalty=0.6, early_stopping=True
)
BEST = GenerationConfig(
    max_new_tokens=STEPS, num_beams=4, length_penalty=0.0, early_stopping="never"
)


def vocabulary_of(stack, letter):
    """Fewer pieces than rows, and not in the order of their ids."""
    return {f"{letter}{i}": i for i in reversed(range(stack.vocab_size - 4))}


def export(directory, config, params, **options):
    return export_lib.save(
        directory,
        config,
        params,
        vocabulary_of(config.encoder, "s"),
        target_vocabulary=vocabulary_of(config.decoder, "t"),
        unk_token_id=UNK,
        **options,
    )


def draw_sources(rows, seed=0, number=SOURCES, longest=21):
    """Ids i32[B, S] of several lengths, their mask, and the same as pieces."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, (number, 1))
    ids = rng.integers(4, rows - 4, (number, longest)).astype(np.int32)
    pieces = [
        [f"s{i}" for i in row[:length]]
        for row, (length,) in zip(ids, lengths, strict=True)
    ]
    return ids, np.arange(longest) < lengths, pieces


def ids_of(pieces):
    """The ids of exported pieces, of which some are named after their rows."""
    return [int(piece.strip("t<row >")) for piece in pieces]


def translated(directory, sources, config):
    """The best ids and scores that CTranslate2 finds for each source."""
    actual = ctranslate2.Translator(str(directory), intra_threads=1).translate_batch(
        sources,
        beam_size=config.num_beams,
        length_penalty=config.length_penalty,
        max_decoding_length=config.num_new_tokens,
        min_decoding_length=0,
        max_input_length=0,
        return_scores=True,
        return_end_token=True,
    )
    return [ids_of(one.hypotheses[0]) for one in actual], [x.scores[0] for x in actual]


def generated(model, params, ids, mask, config):
    """Those that we find."""
    actual = jax.device_get(generator_lib.generate(model, params, ids, mask, config))
    rows = zip(actual.sequences[:, 0], actual.lengths[:, 0], strict=True)
    return [row[:length].tolist() for row, length in rows], actual.scores[:, 0]


def params_of(draw_params, config, stddev=0.3):
    """Large weights, with which some targets end early."""
    params = draw_params(config, seed=1, stddev=stddev)
    bias = params["decoder"].get("lm_head", {}).get("bias")
    if bias is not None:
        bias[EOS] += 2.5
    else:
        words = params["decoder"]["bert"]["embeddings"]["word_embeddings"]
        words["embedding"][EOS] *= 2.6
    return params


def assert_same(actual, wanted):
    (sequences, scores), (our_sequences, our_scores) = actual, wanted
    assert sequences == our_sequences
    np.testing.assert_allclose(scores, our_scores, rtol=1e-4, atol=1e-4)
    assert len(set(map(len, sequences))) > 1  # or the test says little


@pytest.mark.parametrize("search", [GREEDY, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize("name", PAIRS)
def test_ctranslate2_finds_the_same_results(name, search, draw_params, tmp_path):
    config = PAIRS[name]
    params = params_of(draw_params, config)
    export(tmp_path / "model", config, params)
    ids, mask, pieces = draw_sources(config.encoder.vocab_size)
    wanted = generated(EncoderDecoder(config), params, ids, mask, search)
    assert_same(translated(tmp_path / "model", pieces, search), wanted)


def test_without_length_penalty_the_best_is_that_of_never(draw_params, tmp_path):
    config, params = PAIRS["unequal"], params_of(draw_params, PAIRS["unequal"])
    export(tmp_path / "model", config, params)
    ids, mask, pieces = draw_sources(config.encoder.vocab_size)
    wanted = generated(EncoderDecoder(config), params, ids, mask, BEST)
    assert_same(translated(tmp_path / "model", pieces, BEST), wanted)


@pytest.mark.parametrize("search", [GREEDY, BEAMS], ids=["greedy", "beams"])
@pytest.mark.parametrize("stack", [STACK, GPT2], ids=["BERT", "GPT-2"])
def test_a_decoder_alone_reads_source_and_start_as_one_text(
    stack, search, draw_params, tmp_path
):
    decoder = dataclasses.replace(stack, is_decoder=True)
    config = PrefixLanguageModelConfig(decoder, START)
    params = params_of(draw_params, config)
    export_lib.save(
        tmp_path / "model",
        config,
        params,
        {f"s{i}": i for i in range(decoder.vocab_size)},
        unk_token_id=UNK,
    )
    ids, mask, pieces = draw_sources(decoder.vocab_size)
    wanted = generated(PrefixLanguageModel(config), params, ids, mask, search)
    generator = ctranslate2.Generator(str(tmp_path / "model"), intra_threads=1)
    sequences, scores = [], []
    for source in pieces:  # several lengths at once are another search there
        (actual,) = generator.generate_batch(
            [[*source, f"s{START}"]],
            beam_size=search.num_beams,
            length_penalty=search.length_penalty,
            max_length=search.num_new_tokens,
            include_prompt_in_result=False,
            return_scores=True,
            return_end_token=True,
        )
        sequences += actual.sequences_ids
        scores += actual.scores
    assert_same((sequences, scores), wanted)


# --- what the files hold -----------------------------------------------------------


def log_probs(directory, sources, targets):
    """CTranslate2's, of each token of targets i[B, T] and of EOS after them."""
    translator = ctranslate2.Translator(str(directory), intra_threads=1)
    pieces = [[f"t{i}" for i in row] for row in targets]
    scored = translator.score_batch(sources, pieces)
    return np.array([one.log_probs for one in scored])


def our_log_probs(config, params, ids, mask, targets):
    """The same of ours."""
    model, ends = EncoderDecoder(config), np.ones((len(targets), 1), int)
    inputs = np.concatenate([ends * START, targets], axis=1)
    logits = jax.jit(model.apply)({"params": params}, ids, mask, inputs).logits
    labels = np.concatenate([targets, ends * EOS], axis=1)[..., None]
    return np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), labels, 2)[..., 0]


def draw_targets(rows):
    return np.random.default_rng(1).integers(4, rows - 4, (SOURCES, STEPS))


@pytest.fixture(scope="module")
def reference(draw_params):
    """A pair of moderate weights, and what it thinks of some targets."""
    config, params = PAIRS["pair"], params_of(draw_params, PAIRS["pair"], 0.2)
    ids, mask, pieces = draw_sources(config.encoder.vocab_size)
    targets = draw_targets(config.decoder.vocab_size)
    wanted = our_log_probs(config, params, ids, mask, targets)
    return config, params, pieces, targets, wanted


# What a file of f32 weights is divided by, and how far log-probabilities are off: in
# the mean, over 20 targets of 14 tokens. Measured 0.018 for int8.
QUANTIZATIONS = {
    None: (1, 1e-5),
    "float32": (1, 1e-5),
    "float16": (2, 0.003),
    "bfloat16": (2, 0.02),
    "int16": (1.8, 0.05),  # run as int8 where the processor has no fast int16
    "int8": (2.6, 0.05),  # small models have many biases, which stay f32
    "int8_float32": (2.6, 0.05),
    "int8_float16": (2.8, 0.05),
    "int8_bfloat16": (2.8, 0.05),
}


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_quantized_models_have_similar_scores(quantization, reference, tmp_path):
    config, params, pieces, targets, wanted = reference
    before = jax.tree.map(np.copy, params)
    export(tmp_path / "model", config, params, quantization=quantization)
    # The library quantizes in place what it is given.
    jax.tree.map(np.testing.assert_array_equal, params, before)
    divisor, error = QUANTIZATIONS[quantization]
    size = (tmp_path / "model" / "model.bin").stat().st_size
    whole = 4 * sum(leaf.size for leaf in jax.tree.leaves(params))
    assert size == pytest.approx(whole / divisor, rel=0.1)
    actual = log_probs(tmp_path / "model", pieces, targets)
    assert np.abs(actual - wanted).mean() < error


@pytest.fixture(scope="module")
def copier():
    """A pair that has learned to write its source down again, and its params."""
    stack = dataclasses.replace(
        STACK,
        num_hidden_layers=1,
        hidden_size=64,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = pair(stack, stack, share_encoder_decoder=True)
    model, optimizer = EncoderDecoder(config), optax.adam(5e-3)
    rng = np.random.default_rng(0)

    def draw():
        ids, mask, _ = draw_sources(stack.vocab_size, rng, 64, longest=8)
        labels = np.pad(np.where(mask, ids, EOS), ((0, 0), (0, 1)), constant_values=EOS)
        weights = np.pad(mask, ((0, 0), (1, 0)), constant_values=True)
        return ids, mask, labels, weights

    @jax.jit
    def step(params, state, ids, mask, labels, weights):
        def loss(params):
            inputs = jnp.pad(labels[:, :-1], ((0, 0), (1, 0)), constant_values=START)
            logits = model.apply({"params": params}, ids, mask, inputs).logits
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return jnp.sum(losses * weights) / jnp.sum(weights)

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    ids, mask, labels, _ = draw()
    params = jax.jit(model.init)(jax.random.key(0), ids, mask, labels)["params"]
    state = optimizer.init(params)
    for _ in range(150):
        params, state = step(params, state, *draw())
    return config, params


def test_a_trained_model_generates_the_same_in_int8(copier, tmp_path):
    config, params = copier
    ids, mask, pieces = draw_sources(config.encoder.vocab_size, 1, 200, longest=8)
    written = {}
    for quantization in ("float32", "int8"):
        directory = tmp_path / quantization
        export(directory, config, params, quantization=quantization)
        written[quantization], _ = translated(directory, pieces, BEAMS)
    sources = [[*row[keep], EOS] for row, keep in zip(ids, mask, strict=True)]
    assert share_of_same(written["float32"], sources) > 0.9  # it has learned
    assert share_of_same(*written.values()) > 0.95  # measured: 1.0


def share_of_same(actual, wanted):
    return np.mean([one == other for one, other in zip(actual, wanted, strict=True)])


@pytest.mark.parametrize(
    ("name", "twice"),
    [
        ("pair", []),
        ("shared", []),
        ("one table, no bias", []),
        # Its positions are another array in the decoder, scaled.
        ("BERT and GPT-2, one table", ["position_embeddings"]),
    ],
)
def test_shared_and_tied_tensors_are_stored_once(name, twice, draw_params, tmp_path):
    config, params = PAIRS[name], draw_params(PAIRS[name])
    export(tmp_path / "model", config, params)
    sizes = {path: 4 * leaf.size for path, leaf in trees.named(params).items()}
    wanted = sum(sizes.values()) + sum(
        size for path, size in sizes.items() if any(part in path for part in twice)
    )
    size = (tmp_path / "model" / "model.bin").stat().st_size
    assert wanted < size < wanted + 200 * len(sizes)  # names and shapes


def test_every_activation_equals_that_of_ctranslate2(draw_params, tmp_path):
    for activation in ACTIVATIONS:
        stack = dataclasses.replace(STACK, num_hidden_layers=1, hidden_act=activation)
        config = pair(stack, stack, share_encoder_decoder=True)
        params = draw_params(config)
        export(tmp_path / activation, config, params)
        ids, mask, pieces = draw_sources(stack.vocab_size)
        targets = draw_targets(stack.vocab_size)
        np.testing.assert_allclose(
            log_probs(tmp_path / activation, pieces, targets),
            our_log_probs(config, params, ids, mask, targets),
            atol=1e-4,
        )


def test_an_unknown_activation_is_refused(draw_params, tmp_path, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "mish", jax.nn.mish)
    stack = dataclasses.replace(STACK, hidden_act="mish")
    config = pair(stack, stack)
    with pytest.raises(ConfigError, match="'mish', which CTranslate2 does not have"):
        export(tmp_path / "model", config, draw_params(config))
    assert not list(tmp_path.iterdir())


def test_an_unknown_quantization_is_refused(draw_params, tmp_path):
    config = PAIRS["pair"]
    with pytest.raises(ConfigError, match=r"is 'int-8'; .* Did you mean 'int8'\?"):
        export(tmp_path / "model", config, draw_params(config), quantization="int-8")


def test_text_outside_of_the_vocabulary_is_unk(draw_params, tmp_path):
    config, params = PAIRS["unequal"], draw_params(PAIRS["unequal"])
    export(tmp_path / "model", config, params)
    targets = draw_targets(config.decoder.vocab_size)
    strange, unknown = (
        log_probs(tmp_path / "model", [["s5", piece]] * SOURCES, targets)
        for piece in ("no such piece", f"s{UNK}")
    )
    np.testing.assert_array_equal(strange, unknown)
