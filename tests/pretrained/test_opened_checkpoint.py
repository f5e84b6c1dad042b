"""An opened checkpoint parses its tokenizer once; its config and tensors must fit."""

import shutil

import numpy as np
import pytest

import bertgen_jax as bg
from bertgen_jax.errors import TokenizerError
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.warm_start import warm_start
from tests.fixtures import checkpoints, opening, vocabularies


@pytest.fixture
def parsed(monkeypatch):
    """The directories whose tokenizers are parsed, in order."""
    directories = []
    parse = AutoTokenizer.from_pretrained

    def count(directory, **options):
        directories.append(directory)
        return parse(directory, **options)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", staticmethod(count))
    return directories


def test_the_tokenizer_is_parsed_once(parsed, tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    pieces = vocabularies.write_word_pieces(directory)
    opened = detection.open_checkpoint(directory)
    assert not parsed
    assert list(opened.tokenizer.get_vocab()) == pieces
    assert checkpoint.load(opened).tokenizer is opened.tokenizer
    assert parsed == [directory]


@pytest.mark.parametrize("recipe", ["bertshare", "bert2bert", "bert2rnd", "bert2gpt"])
def test_a_warm_start_parses_each_vocabulary_once(
    recipe, parsed, tmp_path, monkeypatch, draw_params
):
    monkeypatch.setattr(
        warm_start, "random_params", lambda model, seed: draw_params(model.config)
    )
    encoder, _ = checkpoints.write("bert", tmp_path / "encoder")
    vocabularies.write_word_pieces(encoder)
    stacks = {"encoder": encoder}
    if recipe == "bert2gpt":
        stacks["decoder"], _ = checkpoints.write("gpt2", tmp_path / "decoder")
        vocabularies.write_byte_level(stacks["decoder"], "gpt2")
    bg.warm_start(recipe, **stacks)
    assert sorted(parsed) == sorted(stacks.values())


def test_a_checkpoint_without_a_tokenizer_opens(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    opened = detection.open_checkpoint(directory)
    with pytest.raises(TokenizerError):
        _ = opened.tokenizer


# The config and the tensors must fit

BIAS = "bert.encoder.layer.1.output.dense.bias"
SEGMENTS = "bert.embeddings.token_type_embeddings.weight"
zeros = np.zeros(8, np.float32)
MISFITS = {
    "vocabulary": ("vocab_size", 31, r"~ .*word_embeddings\S* float32\[30, 8\].*31, 8"),
    "a huge one": ("vocab_size", 10**12, r"word_embeddings.*\[1000000000000, 8\]"),
    "width": ("hidden_size", 10, r"~ bert\.embeddings\.LayerNorm\.bias float32\[8\]"),
    "a huge width": ("hidden_size", 10**30, r"LayerNorm\.bias float32\[8\], .*10{30}"),
    "few layers": ("num_hidden_layers", 1, r"\+ bert\.encoder\.layer\.1\.attention"),
    "many layers": ("num_hidden_layers", 3, r"- encoder\.layer\.2\.attention"),
    "far too many": ("num_hidden_layers", 10**9, r"safetensors: holds 46 tensors, but"),
    "filter": ("intermediate_size", 13, r"intermediate\.dense\.bias float32\[12\]"),
    "positions": (
        "max_position_embeddings",
        512,
        r"position_embeddings\S* float32\[10",
    ),
    "heads": ("num_attention_heads", 3, "hidden_size is 8, which 3 attention heads do"),
    "no heads": ("num_attention_heads", 0, "num_attention_heads is 0; expected a pos"),
    "negative": ("num_hidden_layers", -2, "num_hidden_layers is -2; expected a posi"),
    "a boolean": ("hidden_size", True, "hidden_size is True; expected an integer"),
    "a string": ("hidden_size", "8", "hidden_size is '8'; expected an integer"),
    "a float": ("hidden_size", 8.0, r"hidden_size is 8\.0; expected an integer"),
    "a list": ("vocab_size", [30], r"vocab_size is \[30\]; expected an integer"),
    "none": ("vocab_size", None, "vocab_size missing; expected BERT's sizes"),
    "activation": ("hidden_act", "mish", "hidden_act is 'mish'; expected one of"),
    "a function": ("hidden_act", {"x": 1}, "hidden_act is .*; expected a string"),
    "epsilon": ("layer_norm_eps", float("nan"), "layer_norm_eps is nan; expected a nu"),
    "a huge number": (
        "layer_norm_eps",
        10**400,
        "layer_norm_eps is 1000.*expected a nu",
    ),
    "id": ("pad_token_id", "0", "pad_token_id is '0'; expected an id or null"),
    "ids": ("eos_token_id", [1, "x"], r"eos_token_id is \[1, 'x'\]; expected an id, a"),
    "places": ("position_embedding_type", "relative_key", "position_embedding_type is"),
}


@pytest.mark.parametrize(("field", "value", "message"), MISFITS.values(), ids=MISFITS)
def test_a_config_that_does_not_fit_the_weights_is_refused(
    field, value, message, tmp_path
):
    opening.refused("bert", tmp_path / "it", message, **{field: value})


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("gpt2", {"n_head": 3}, r"config.json: n_embd is 8, which 3 attention heads"),
        ("gpt2", {"n_layer": 10**9}, r"holds 28 tensors, but its .* 1000000000 layers"),
        ("gpt2", {"n_layer": 3}, r"- transformer\.h\.2\."),
        ("gpt2", {"n_embd": True}, "n_embd is True; expected an integer"),
        ("gpt2", {"n_inner": 10**20}, r"mlp\.c_fc\.bias float32\[32\], .*10000000"),
        (
            "gpt2",
            {"scale_attn_by_inverse_layer_idx": True},
            "inverse_layer_idx is True",
        ),
        (
            "openai",
            {"n_head": None},
            "hparams.json: n_head missing; expected the sizes",
        ),
        ("openai", {"n_head": "2"}, "hparams.json: n_head is '2'; expected an integer"),
        ("openai", {"n_layer": 10**9}, r"model\.ckpt\.index: holds 28 tensors, but"),
        (
            "openai",
            {"n_vocab": 31},
            r"index: .*\n~ model/wte float32\[30, 8\].*\[31, 8\]",
        ),
        ("google", {"num_hidden_layers": 10**9}, r"ckpt\.index: holds 49 tensors, but"),
        (
            "google",
            {"hidden_size": 4},
            r"~ bert/embeddings/LayerNorm/beta float32\[8\]",
        ),
        ("google", {"hidden_size": None}, "bert_config.json: hidden_size missing"),
        (
            "tensorflow2",
            {"num_attention_heads": 4},
            r"_query_dense/kernel\S* .*\[8, 4, 2",
        ),
        (
            "fairseq",
            {"num_attention_heads": 3},
            r"model\.pt: hidden_size is 8, which 3",
        ),
        ("fairseq", {"num_attention_heads": "2"}, r"encoder_attention_heads is '2'"),
        ("fairseq", {"hidden_act": "swish2"}, r"model\.pt: hidden_act is .*'swish2'"),
        ("roberta", {"pad_token_id": 20}, "max_position_embeddings is -9; expected"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id is -1; expected an id"),
        ("roberta", {"model_type": "bert"}, "none of its .* tensors belongs to a bert"),
        ("encoder", {"num_hidden_layers": 10**9}, "holds 36 tensors, but its config"),
        ("decoder", {"num_hidden_layers": 10**9}, "holds 37 tensors, but its config"),
        ("decoder", {"add_cross_attention": True}, r"- bert\.encoder\.layer\.0\.cross"),
        ("decoder", {"tie_word_embeddings": False}, r"- lm_head\.decoder\.weight"),
        ("pair", {"encoder": None}, "no 'encoder' in an encoder-decoder config"),
        (
            "pair",
            {"encoder": [1]},
            r"config.json: encoder is \[1\]; expected an object",
        ),
        ("pair", {"decoder": {"model_type": "t5"}}, "the decoder is a 't5' model"),
        ("pair", {"decoder_start_token_id": 30}, "decoder_start_token_id is 30; expec"),
        (
            "pair",
            {"decoder_start_token_id": "2"},
            "start_token_id is '2'; expected an id",
        ),
        (
            "pair",
            {"tie_encoder_decoder": "no"},
            "tie_encoder_decoder is 'no'; expected",
        ),
    ],
)
def test_configs_of_all_kinds_must_fit_the_weights(kind, config, message, tmp_path):
    opening.refused(kind, tmp_path / "it", message, **config)


def test_the_config_of_each_side_must_fit_the_weights(tmp_path):
    for side in ("encoder", "decoder"):
        stack = checkpoints.PAIR[side]
        for field, value, message in (
            (
                "num_hidden_layers",
                10**9,
                "holds 93 tensors, but its configuration has",
            ),
            (
                "hidden_size",
                False,
                f"config.json, {side}: hidden_size is False; expected",
            ),
            (
                "vocab_size",
                29,
                r"word_embeddings\.weight float32\[30, 8\], .*\[29, 8\]",
            ),
        ):
            shutil.rmtree(tmp_path, ignore_errors=True)
            opening.refused("pair", tmp_path, message, **{side: stack | {field: value}})


def without(name):
    return lambda tensors: tensors.pop(name)


def with_(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


TENSORS = {
    "missing": (without(BIAS), r"- encoder\.layer\.1\.output\.dense\.bias"),
    "unexpected": (
        with_("bert.encoder.layer.0.adapter.bias", zeros),
        r"\+ bert\.encoder\.layer\.0\.adapter\.bias",
    ),
    "another layer": (
        with_("bert.encoder.layer.7.output.dense.bias", zeros),
        r"\+ bert\.encoder\.layer\.7\.output\.dense\.bias",
    ),
    "integers": (
        with_(BIAS, np.zeros(8, np.int32)),
        r"~ bert\.encoder\.layer\.1\.output\.dense\.bias int32\[8\], expected floating",
    ),
    "booleans": (with_(BIAS, np.zeros(8, bool)), r"~ bert\S*output\.dense\.bias bool"),
    "more axes": (with_(BIAS, zeros[None]), r"~ bert\S*dense\.bias float32\[1, 8\]"),
    "no axis": (
        with_(BIAS, np.zeros((), np.float32)),
        r"~ bert\S*dense\.bias float32\[\], expected",
    ),
    "no values": (with_(BIAS, zeros[:0]), r"~ bert\S*dense\.bias float32\[0\]"),
    "two names": (
        with_(BIAS.removeprefix("bert."), zeros),
        rf"({BIAS} and {BIAS[5:]}|{BIAS[5:]} and {BIAS}) are two names of one tensor",
    ),
    "old and new name": (
        with_("bert.embeddings.LayerNorm.gamma", zeros),
        "are two names of one tensor",
    ),
    "no segments": (
        with_(SEGMENTS, np.zeros((0, 8), np.float32)),
        r"~ \S*type\S* .*\[0",
    ),
    "wide segments": (
        with_(SEGMENTS, np.zeros((2, 9), np.float32)),
        r"~ \S*token_type",
    ),
    "flat segments": (with_(SEGMENTS, zeros), r"~ \S*token_type\S* float32\[8\]"),
    "short head": (
        with_("cls.predictions.bias", zeros),
        r"~ cls\S* .*, expected .*\[30",
    ),
    "odd names": (
        with_("bert.encoder.\x1b[2J" + "x" * 5000, zeros),
        r"\+ 'bert\.encoder\.\\x1b\[2Jx{50,99}$",
    ),
}


@pytest.mark.parametrize(("change", "message"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_do_not_fit_are_listed(change, message, tmp_path):
    said = opening.refused("bert", tmp_path / "it", message, change)
    assert "model.safetensors" in said
    assert len(said) < 1000


def test_missing_tensors_are_listed_for_all_kinds(tmp_path):
    names = {
        "google": r"- encoder\.layer\.1\.output\.dense\.bias",
        "tensorflow2": r"- encoder\.layer\.1\.output\.dense\.bias",
        "gpt2": r"- transformer\.h\.1\.mlp\.c_proj\.bias",
        "openai": r"- transformer\.h\.1\.mlp\.c_proj\.bias",
        "fairseq": r"- encoder\.layer\.1\.output\.dense\.bias",
        "hub": r"- decoder\.bert\.encoder\.layer\.1\.output\.dense\.bias",
        "pair": r"- decoder\.bert\.encoder\.layer\.1\.output\.dense\.bias",
    }

    def forget(tensors):
        ends = ("layer.1.output.dense.bias", "h.1.mlp.c_proj.bias")
        del tensors[[name for name in tensors if name.endswith(ends)][-1]]

    for kind, message in names.items():
        opening.refused(kind, tmp_path / kind, message, forget)
