"""Odd configurations and tensors of every format: a model comes out, or an error.

The files themselves are sound; what is in them does not fit. Nothing but an error of
ours may be raised, and no memory taken beyond a small multiple of the file.
"""

import contextlib
import json
import shutil
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from bertgen_jax.errors import BertgenError, ConfigError
from bertgen_jax.models.create import create_model
from bertgen_jax.pretrained import checkpoint, parameter_maps
from bertgen_jax.pretrained.formats import detection
from tests.fixtures import checkpoints

FEW = settings(deadline=None, max_examples=8, derandomize=True)
MANY = settings(deadline=None, max_examples=1_000)

FIELDS = sorted(
    {
        *checkpoints.BERT,
        *checkpoints.GPT2,
        *checkpoints.HPARAMS,
        *checkpoints.PAIR,
        *("eos_token_id", "is_decoder", "add_cross_attention", "tie_word_embeddings"),
        *("lm_head_bias", "lm_head_transform", "pre_layer_norm", "initializer_range"),
        *("tie_encoder_decoder", "share_embeddings", "share_encoder_decoder"),
        *("position_embedding_type", "n_inner", "activation_function", "embd_pdrop"),
        *("hidden_dropout_prob", "resid_pdrop", "layer_norm_epsilon", "tokenizer"),
    }
)
TYPES = ("bert", "roberta", "gpt2", "bert-generation", "encoder-decoder", "t5", "bart")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.sampled_from([10**6, 10**9, 2**31, 2**63, 10**30, 10**400, -(10**12), 0.5])
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([*TYPES, "gelu", "relu", "gelu_new", "absolute", "0", "8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
changes = st.lists(
    st.tuples(
        st.sampled_from(["", "", "encoder", "decoder"]), st.sampled_from(FIELDS), values
    ),
    max_size=4,
)

names = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "bert.embeddings.word_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
            "decoder.bert.embeddings.token_type_embeddings.weight",
            "encoder.layer.0.attention.self.query.weight",
            "bert.encoder.layer." + "9" * 5000 + ".output.dense.bias",
            "encoder.layer.99999999.output.dense.bias",
            "encoder.layer.٣.output.dense.bias",
            "cls.predictions.bias",
            "cls.predictions.transform.dense.weight",
            "lm_head.bias",
            "lm_head.decoder.bias",
            "lm_head.weight",
            "transformer.h.0.attn.bias",
            "roberta.pooler.dense.bias",
            "pooler.dense.bias",
            "enc_to_dec_proj.weight",
        ]
    ),
)
shapes = st.lists(st.integers(0, 31), max_size=4).map(tuple)
dtypes = st.sampled_from(
    [np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.int64, np.bool_]
)
fills = st.sampled_from([0, 1, np.nan, np.inf, 1e38])
edits = st.lists(
    st.tuples(
        st.sampled_from(["drop", "rename", "add", "reshape", "retype", "repeat"]),
        st.integers(0, 10**6),
        names,
        st.tuples(shapes, dtypes, fills),
    ),
    max_size=4,
)


def changed(config, changes):
    config = json.loads(json.dumps(config))
    for side, field, value in changes:
        target = config.get(side) if side else config
        if isinstance(target, dict):
            target[field] = value
    return config


def array_of(shape, dtype, fill):
    shape = shape if np.prod(shape) < 2000 else shape[:1]
    with np.errstate(all="ignore"):
        return np.full(shape, fill, np.float64).astype(dtype)


def edited(tensors, edits):
    for how, number, name, array in edits:
        if not tensors:
            return
        chosen = list(tensors)[number % len(tensors)]
        match how:
            case "drop":
                del tensors[chosen]
            case "rename" if name:
                tensors[name] = tensors.pop(chosen)
            case "add" if name:
                tensors[name] = array_of(*array)
            case "reshape":
                tensors[chosen] = array_of(array[0], np.float32, 0)
            case "retype" if tensors[chosen].dtype != object:
                with np.errstate(all="ignore"):
                    tensors[chosen] = tensors[chosen].astype(array[1])
            case "repeat" if name:
                tensors[name] = tensors[chosen]


def is_read_or_an_error(kind, directory, changes, edits):
    """Whatever is written is either a model, whole and fitting, or an error of ours."""
    shutil.rmtree(directory, ignore_errors=True)
    writer, config, made, _ = checkpoints.ALL[kind]
    try:
        writer(
            directory,
            changed(config, changes),
            made(),
            lambda tensors: edited(tensors, edits),
        )
    except (UnicodeEncodeError, safetensors.SafetensorError):
        return  # no such name can be written
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    message = str(directory)
    tracemalloc.start()
    try:
        loaded = checkpoint.load(detection.open_checkpoint(directory))
        for architecture in checkpoint.ARCHITECTURES:
            with contextlib.suppress(ConfigError):
                check(checkpoint.as_architecture(loaded, architecture))
    except BertgenError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert str(directory) in message
    assert len(message) < 3000
    assert peak < 6_000_000 + 50 * size  # the tables of CRC-32C are made once


def check(loaded):
    """Its arrays are those of a model."""
    weights = parameter_maps.weights_of(loaded.config)
    fits = {w.path: w.shape for w in weights if w.path}
    assert {path: a.values.shape for path, a in loaded.arrays.items()} == fits
    hash(create_model(loaded.config))


kinds = pytest.mark.parametrize("kind", checkpoints.ALL)


@kinds
@FEW
@given(changes=changes, edits=edits)
def test_odd_checkpoints_are_read_or_errors(kind, changes, edits, tmp_path_factory):
    place = tmp_path_factory.getbasetemp() / "formats" / kind
    is_read_or_an_error(kind, place, changes, edits)


@kinds
def test_a_width_of_a_thousand_digits_is_shortened_in_the_message(kind, tmp_path):
    is_read_or_an_error(kind, tmp_path / "it", [("", "hidden_size", 10**1000)], [])


@pytest.mark.slow
@kinds
@MANY
@given(changes=changes, edits=edits)
def test_many_odd_checkpoints(kind, changes, edits, tmp_path_factory):
    place = tmp_path_factory.getbasetemp() / "many formats" / kind
    is_read_or_an_error(kind, place, changes, edits)
