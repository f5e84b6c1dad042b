"""Decoders of BERT and RoBERTa are read with their segments; BERT's are written."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.pretrained import checkpoint, saving
from bertgen_jax.pretrained.ctranslate2 import export
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.warm_start import architecture, recipes
from tests.fixtures.models import stack_config

STACK = stack_config()
WIDTH = STACK.hidden_size
MASKED = dataclasses.replace(STACK, lm_head_transform=True)
DECODER = dataclasses.replace(MASKED, is_decoder=True)
UNTIED = dataclasses.replace(MASKED, tie_word_embeddings=False)
TYPES = "embeddings.token_type_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
PREDICTIONS = "decoder.cls.predictions"


def pair(encoder=STACK, decoder=MASKED, **fields):
    fields = {"decoder_start_token_id": 2, "pad_token_id": 0} | fields
    return EncoderDecoderConfig.from_stacks(encoder, decoder, **fields)


SHARED = pair(share_encoder_decoder=True)


def as_kind(kind, values, tensors, trunk, seed):
    """Turns a stack of ours into one of BERT's or RoBERTa's, which computes the same.

    Args:
      kind: "bert" or "roberta".
      values: its config; changed.
      tensors: of the model; changed.
      trunk: prefix of the stack's names.
      seed: of the segments.
    """
    for name in ("lm_head_bias", "lm_head_transform", "pre_layer_norm"):
        del values[name]
    values["model_type"] = kind
    rng = np.random.default_rng(seed)
    rows = 1 if kind == "roberta" else 2
    segments = rng.normal(size=(rows, STACK.hidden_size)).astype(np.float32)
    table = tensors[trunk + POSITIONS] - segments[0]
    if kind == "roberta":
        values["pad_token_id"] = 1
        values["max_position_embeddings"] += 2
        table = np.vstack([np.full((2, STACK.hidden_size), 9, np.float32), table])
    tensors[trunk + TYPES], tensors[trunk + POSITIONS] = segments, table


def in_robertas_words(tensors, prefix):
    """The names of a language model of RoBERTa's."""
    words = {
        "bert.": "roberta.",
        "cls.predictions.transform.dense.": "lm_head.dense.",
        "cls.predictions.transform.LayerNorm.": "lm_head.layer_norm.",
        "cls.predictions.": "lm_head.",
    }

    def rename(name):
        for old, new in words.items():
            if name.startswith(prefix + old):
                return name.replace(prefix + old, prefix + new)
        return name

    return {rename(name): tensor for name, tensor in tensors.items()}


def published(config, params, encoder="bert", decoder="bert", seeds=(0, 1)):
    """The config.json and the tensors of a pair, as Hugging Face has them."""
    values = json.loads(json.dumps(config.to_dict()))
    tensors = saving.to_tensors(config, params)
    if encoder != "bert-generation":
        as_kind(encoder, values["encoder"], tensors, "encoder.", seeds[0])
        tensors["encoder.pooler.dense.bias"] = np.zeros(WIDTH, np.float32)
    as_kind(decoder, values["decoder"], tensors, "decoder.bert.", seeds[1])
    if decoder == "roberta":
        tensors = in_robertas_words(tensors, "decoder.")
    return values, tensors


def write(directory, values, tensors):
    (directory / "config.json").write_text(json.dumps(values))
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
        directory / "model.safetensors",
    )
    return directory


def load(directory):
    return checkpoint.load(detection.open_checkpoint(directory))


def assert_same(loaded, params):
    """Equal bit for bit, but for what was folded."""
    loaded, params = trees.named(loaded), trees.named(params)
    assert loaded.keys() == params.keys()
    for path, array in loaded.items():
        loss = 1e-6 if "position_embeddings" in path else 0
        np.testing.assert_allclose(array, params[path], atol=loss, rtol=0)


# --- in --------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["bert", "roberta"])
@pytest.mark.parametrize("encoder", ["bert-generation", "bert", "roberta"])
def test_a_pair_of_any_two_kinds_is_read(draw_params, tmp_path, encoder, decoder):
    config = pair()
    params = draw_params(config)
    loaded = load(write(tmp_path, *published(config, params, encoder, decoder)))
    assert_same(loaded.params, params)
    pads = {"encoder": 1 if encoder == "roberta" else 0}
    pads["decoder"] = 1 if decoder == "roberta" else 0
    for side, pad in pads.items():
        stack = dataclasses.replace(getattr(config, side), pad_token_id=pad)
        assert getattr(loaded.config, side) == stack


def test_unused_tensors_are_listed(draw_params, tmp_path):
    params = draw_params(pair())
    values, tensors = published(pair(), params, decoder="roberta")
    numbers = np.arange(9)[None]
    tensors["encoder.embeddings.position_ids"] = numbers
    tensors["decoder.roberta.embeddings.position_ids"] = numbers
    tensors["decoder.roberta.pooler.dense.bias"] = np.zeros(WIDTH, np.float32)
    unused = {u.tensor: u.reason for u in load(write(tmp_path, values, tensors)).unused}
    assert unused == {
        "encoder.pooler.dense.bias": "pooler, for classification",
        "encoder.embeddings.position_ids": "position numbers, no weights",
        f"encoder.{TYPES}": "rows from 1 on, segments that the model does not have",
        "decoder.roberta.pooler.dense.bias": "pooler, for classification",
        "decoder.roberta.embeddings.position_ids": "position numbers, no weights",
        f"decoder.roberta.{POSITIONS}": "rows before 2, the positions of padding",
    }
    tensors["decoder.roberta.encoder.adapter.bias"] = np.zeros(WIDTH, np.float32)
    with pytest.raises(CheckpointError, match=r"\+ decoder\.roberta\.encoder\.adapter"):
        load(write(tmp_path, values, tensors))


@pytest.mark.parametrize("kept", ["both", "encoder", "decoder"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_shared_stack_is_read_from_either_copy(draw_params, tmp_path, kind, kept):
    """Version 4 of Hugging Face wrote the decoder's alone, and the encoder's pooler."""
    params = draw_params(SHARED)
    values, tensors = published(SHARED, params, kind, kind, seeds=(0, 0))
    lost = {"encoder": f"decoder.{kind}.", "decoder": "encoder."}.get(kept)
    for name in list(tensors):
        repeated = "crossattention" not in name and "pooler" not in name
        if lost and name.startswith(lost) and repeated:
            del tensors[name]
    loaded = load(write(tmp_path, values, tensors))
    assert loaded.config.share_encoder_decoder
    assert_same(loaded.params, params)


def test_a_shared_stack_has_one_table_of_segments(draw_params, tmp_path):
    values, tensors = published(SHARED, draw_params(SHARED), seeds=(0, 0))
    tensors[f"encoder.{TYPES}"] = tensors[f"encoder.{TYPES}"] + 1
    message = rf"but encoder\.{TYPES} is not decoder\.bert\.{TYPES}"
    with pytest.raises(CheckpointError, match=message):
        load(write(tmp_path, values, tensors))


def test_a_table_that_one_side_lacks_cannot_be_shared(draw_params, tmp_path):
    """The encoder's positions would be those of a decoder with segments."""
    params = draw_params(SHARED)
    saving.save(tmp_path, SHARED, params)
    values = json.loads((tmp_path / "config.json").read_text())
    tensors = saving.to_tensors(SHARED, params)
    name = f"decoder.bert.{TYPES}"
    assert not tensors[name].any()
    tensors[name] = np.ones((2, WIDTH), np.float32)
    with pytest.raises(
        CheckpointError, match=rf"but decoder\.bert\.{TYPES} is not zero"
    ):
        load(write(tmp_path, values, tensors))


def test_a_tied_softmax_may_be_repeated(draw_params, tmp_path):
    params = draw_params(pair())
    values, tensors = published(pair(), params)
    assert f"{PREDICTIONS}.decoder.weight" not in tensors
    words = tensors["decoder.bert.embeddings.word_embeddings.weight"]
    tensors[f"{PREDICTIONS}.decoder.weight"] = words
    tensors[f"{PREDICTIONS}.decoder.bias"] = tensors[f"{PREDICTIONS}.bias"]
    assert_same(load(write(tmp_path, values, tensors)).params, params)
    tensors[f"{PREDICTIONS}.decoder.bias"] = tensors[f"{PREDICTIONS}.bias"] + 1
    with pytest.raises(
        CheckpointError, match=rf"! {PREDICTIONS}\.decoder\.bias is not"
    ):
        load(write(tmp_path, values, tensors))


def test_an_untied_softmax_has_its_own_tensor(draw_params, tmp_path):
    config = pair(decoder=UNTIED)
    params = draw_params(config)
    values, tensors = published(config, params, decoder="roberta")
    kernel = params["decoder"]["lm_head"]["kernel"]
    np.testing.assert_array_equal(tensors["decoder.lm_head.decoder.weight"], kernel.T)
    # This bias is no part of the model.
    tensors["decoder.lm_head.bias"] = np.ones(STACK.vocab_size, np.float32)
    loaded = load(write(tmp_path, values, tensors))
    assert not loaded.config.decoder.tie_word_embeddings
    assert_same(loaded.params, params)


def test_a_missing_transform_is_reported(draw_params, tmp_path):
    values, tensors = published(pair(), draw_params(pair()))
    tensors = {n: tensor for n, tensor in tensors.items() if ".transform." not in n}
    with pytest.raises(CheckpointError, match=rf"- {PREDICTIONS}\.transform\.dense\.w"):
        load(write(tmp_path, values, tensors))


# --- alone -----------------------------------------------------------------------


def language_model(kind, config, params):
    """The config.json and the tensors of BERT's or RoBERTa's language model."""
    values = json.loads(json.dumps(config.to_dict()))
    tensors = saving.to_tensors(config, params)
    as_kind(kind, values, tensors, "bert.", seed=0)
    return values, in_robertas_words(tensors, "") if kind == "roberta" else tensors


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_decoder_alone_keeps_its_head(draw_params, tmp_path, kind):
    params = draw_params(DECODER)
    values, tensors = language_model(kind, DECODER, params)
    loaded = load(write(tmp_path, values, tensors))
    assert (loaded.kind, loaded.architecture) == (kind, "decoder")
    assert loaded.config.lm_head_transform
    assert_same(loaded.params, params)
    bias = params["lm_head"]["bias"]
    np.testing.assert_array_equal(loaded.mlm_bias.values, bias)  # for a warm start
    trunk = checkpoint.as_architecture(loaded, "encoder")
    assert_same(trunk.params, params["bert"])


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_with_a_masked_lm_head_is_an_encoder(draw_params, tmp_path, kind):
    """As a decoder it is that of the paper: the transform is left out."""
    params = draw_params(DECODER)
    values, tensors = language_model(kind, DECODER, params)
    values["is_decoder"] = False
    loaded = load(write(tmp_path, values, tensors))
    assert loaded.architecture == "encoder"
    assert_same(loaded.params, params["bert"])
    causal = checkpoint.as_architecture(loaded, "decoder", mlm_bias=True)
    assert not causal.config.lm_head_transform
    assert causal.params["lm_head"].keys() == {"bias"}


def test_a_decoder_without_a_head_is_an_encoder(draw_params, tmp_path):
    params = draw_params(DECODER)
    values, tensors = language_model("bert", DECODER, params)
    tensors = {name: x for name, x in tensors.items() if not name.startswith("cls.")}
    loaded = load(write(tmp_path, values, tensors))
    assert loaded.architecture == "encoder"
    assert_same(loaded.params, params["bert"])


def test_one_side_of_a_pair_keeps_its_parameters(draw_params):
    params = draw_params(pair())
    loaded = checkpoint.from_tensors(pair(), saving.to_tensors(pair(), params))
    decoder = checkpoint.as_architecture(loaded, "decoder")
    assert decoder.config == pair().decoder
    assert_same(decoder.params, params["decoder"])
    encoder = checkpoint.as_architecture(loaded, "encoder")
    assert_same(encoder.params, params["encoder"])
    causal = checkpoint.as_architecture(
        dataclasses.replace(encoder, config=MASKED), "decoder"
    )
    assert not causal.config.lm_head_transform


def test_a_warm_start_of_the_paper_takes_no_transform():
    """A new one would have to be learned; the paper's models have none."""
    recipe = recipes.get("bert2bert")
    ids = SpecialIds(pad=0, eos=1, unk=3, bos=2)
    stacks = (STACK, pair().decoder)
    sides = [architecture.Side(stack, stack.vocab_size, ids) for stack in stacks]
    config = architecture.assemble(recipe, *sides, {}, {})
    assert not config.decoder.lm_head_transform
    settings = {"lm_head_transform": True}
    config = architecture.assemble(recipe, *sides, {}, settings)
    assert config.decoder.lm_head_transform


# --- out -------------------------------------------------------------------------


CONFIGS = {
    "pair": pair(),
    "shared": SHARED,
    "one table": pair(share_embeddings=True),
    "untied": pair(decoder=UNTIED),
    "without bias": pair(decoder=dataclasses.replace(MASKED, lm_head_bias=False)),
    "unequal": pair(dataclasses.replace(STACK, hidden_size=12)),
    "decoder": DECODER,
    "with cross-attention": dataclasses.replace(DECODER, add_cross_attention=True),
    "prefix": PrefixLanguageModelConfig(DECODER, 2),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_saved_model_is_loaded_bit_for_bit(config, draw_params, tmp_path):
    params = draw_params(config)
    saving.save(tmp_path, config, params)
    loaded = load(tmp_path)
    assert loaded.config == config
    loaded, params = trees.named(loaded.params), trees.named(params)
    assert loaded.keys() == params.keys()
    for path, array in params.items():
        np.testing.assert_array_equal(loaded[path], array)


def test_a_saved_decoder_has_the_names_of_bert(draw_params, tmp_path):
    saving.save(tmp_path, SHARED, draw_params(SHARED))
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    head = {
        name.removeprefix(f"{PREDICTIONS}."): tensor.shape
        for name, tensor in tensors.items()
        if name.startswith("decoder.cls.")
    }
    assert head == {
        "bias": (STACK.vocab_size,),
        "transform.dense.weight": (WIDTH, WIDTH),
        "transform.dense.bias": (WIDTH,),
        "transform.LayerNorm.weight": (WIDTH,),
        "transform.LayerNorm.bias": (WIDTH,),
    }
    assert not tensors[f"decoder.bert.{TYPES}"].any()  # it is in the positions
    assert f"encoder.{TYPES}" not in tensors
    np.testing.assert_array_equal(
        tensors[f"encoder.{POSITIONS}"], tensors[f"decoder.bert.{POSITIONS}"]
    )
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["EncoderDecoderModel"]
    assert values["encoder"]["model_type"] == "bert-generation"
    assert values["decoder"]["model_type"] == "bert"


def test_the_transform_is_a_linear_map_like_all_others(draw_params):
    params = draw_params(DECODER)
    weight = "cls.predictions.transform.dense.weight"
    tensors = saving.to_tensors(DECODER, params)
    kernel = params["lm_head"]["transform"]["kernel"]
    np.testing.assert_array_equal(tensors[weight], kernel.T)


@pytest.mark.parametrize("config", [pair(), DECODER], ids=["pair", "decoder"])
def test_ctranslate2_refuses_a_transform(config, draw_params, tmp_path):
    vocabulary = {f"piece{i}": i for i in range(STACK.vocab_size)}
    with pytest.raises(ConfigError, match="lm_head_transform is set, as in a decoder"):
        export.save(
            tmp_path / "new", config, draw_params(config), vocabulary, unk_token_id=3
        )
    assert not (tmp_path / "new").exists()
