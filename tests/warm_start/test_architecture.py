"""Tests of the architectures that recipes, checkpoints and tokenizers give."""

import math

import jax
import numpy as np
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.presets import SIZES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import architecture, recipes
from tests.fixtures.checkpoints import POSITIONS, WIDTH, WORDS

PIECES = {"bert": 28_996, "roberta": 50_358, "gpt2": 50_358}
LARGE = SIZES["large"]
SPECIAL_IDS = SpecialIds(pad=0, eos=1, unk=3, bos=2)


def published_config(kind, size):
    """Returns the architecture of a published checkpoint, with the paper's vocabulary.

    The vocabulary of RoBERTa and GPT-2 is the 50,358 pieces of the paper.
    """
    if kind == "gpt2":
        return BertGenerationConfig.from_dict(
            {"model_type": "gpt2", "vocab_size": PIECES[kind]}
        )
    return BertGenerationConfig(**size, vocab_size=PIECES[kind])


def parameters(name, size=SIZES["base"]):
    """Counts the parameters of the model of a recipe; nothing is allocated."""
    recipe = recipes.get(name)
    kinds = {"encoder": recipe.encoder, "decoder": recipe.decoder}
    warm_kind = recipe.encoder or recipe.decoder or "bert"
    sides = [
        architecture.Side(
            stack=published_config(kind, size) if kind else None,
            vocab_size=PIECES[kind or warm_kind],
            special_ids=SPECIAL_IDS,
        )
        for kind in kinds.values()
    ]
    config = architecture.assemble(recipe, *sides, size, {})
    model = create_model(config)
    ids = np.ones((1, 1), np.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), ids, None, ids)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("rnd2rnd", 221),
        ("bert2rnd", 221),
        ("rnd2bert", 221),
        ("bert2bert", 221),
        ("bertshare", 136),
        ("robertashare", 152),
        ("gpt", 125),
        ("rnd2gpt", 238),
        ("bert2gpt", 260),
        ("roberta2gpt", 276),
    ],
)
def test_models_have_the_totals_of_table_1(name, millions):
    assert abs(parameters(name) / 1e6 - millions) < 1


@pytest.mark.parametrize(
    ("name", "layers", "total"),
    [
        ("bertshare", 24, 433_338_368),
        ("robertashare", 24, 455_213_056),
        ("bert2bert", 10, 324_147_200),  # chosen layers of BERT-large, section 5
        ("bertshare", 10, 198_184_960),
    ],
)
def test_large_models_have_the_totals_of_the_paper(name, layers, total):
    assert parameters(name, {**LARGE, "num_hidden_layers": layers}) == total


def test_gpt_is_one_decoder_with_gpt2s_numerics(write_checkpoint, start):
    directory, _ = write_checkpoint("gpt2")
    config = start("gpt", decoder=directory).config
    assert isinstance(config, PrefixLanguageModelConfig)
    assert config.decoder.pre_layer_norm
    assert config.start_token_id == WORDS - 1


def test_a_random_encoder_beside_gpt2_has_its_sizes_and_berts_numerics(
    write_checkpoint, start
):
    directory, _ = write_checkpoint("gpt2")
    encoder = start("rnd2gpt", decoder=directory).config.encoder
    assert not encoder.pre_layer_norm
    assert (encoder.layer_norm_eps, encoder.hidden_act) == (1e-12, "gelu")
    assert encoder.hidden_size == WIDTH


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_two_kinds_keep_their_numerics_and_special_ids(write_checkpoint, start, kind):
    encoder, _ = write_checkpoint(kind, "first")
    decoder, _ = write_checkpoint("gpt2", "second")
    config = start(f"{kind}2gpt", encoder, decoder).config
    assert (config.encoder.layer_norm_eps, config.decoder.layer_norm_eps) == (
        {"bert": 1e-12, "roberta": 1e-5}[kind],
        1e-5,
    )
    assert config.encoder.pad_token_id == {"bert": 0, "roberta": 1}[kind]
    assert config.start_token_id == config.eos_token_id == WORDS - 1


def test_a_checkpoint_limits_the_positions(write_checkpoint, start, caplog):
    directory, _ = write_checkpoint()
    done = start("bert2rnd", directory, settings={"max_position_embeddings": 512})
    assert done.config.encoder.max_position_embeddings == POSITIONS
    assert "has 10 positions, as many as its checkpoint, instead of 512" in caplog.text


def test_one_checkpoint_by_two_names_can_share_its_tables(
    write_checkpoint, start, tmp_path
):
    directory, _ = write_checkpoint()
    (tmp_path / "link").symlink_to(directory)
    done = start("bert2bert", directory, tmp_path / "link")
    assert done.config.share_embeddings
    assert len(done.report.unused) == 1
    assert start("bertshare", directory, tmp_path / "link").config.share_encoder_decoder


@pytest.mark.parametrize(
    ("kind", "recipe", "shares"),
    [("pair", "bert2bert", False), ("hub", "roberta2roberta", True)],
)
def test_a_pair_shares_its_tables_if_the_checkpoint_does(
    write_checkpoint, start, kind, recipe, shares
):
    directory, _ = write_checkpoint(kind)
    assert start(recipe, directory).config.share_embeddings == shares


def test_two_vocabularies_for_one_stack_are_an_error(
    write_checkpoint, start, sentencepiece
):
    directory, _ = write_checkpoint("roberta")
    other, _ = write_checkpoint("gpt2", "other")
    roberta = start("robertashare", directory)  # one vocabulary is fine
    assert roberta.config.share_encoder_decoder
    pair = TokenizerPair.from_pretrained(other)
    with pytest.raises(ConfigError, match="one stack, with one word table"):
        start(
            "robertashare",
            directory,
            tokenizers=TokenizerPair.of(sentencepiece, pair.target),
        )


@pytest.mark.parametrize("parts", ["embeddings", "layers"])
def test_a_selection_without_a_checkpoint_is_an_error(start, sentencepiece, parts):
    with pytest.raises(ConfigError, match="but the recipe starts from none"):
        start("rnd2rnd", tokenizers=TokenizerPair.of(sentencepiece), parts=parts)


def test_a_layer_that_the_checkpoint_lacks_is_an_error(write_checkpoint, start):
    directory, _ = write_checkpoint()
    with pytest.raises(ConfigError, match=r"asks for layer 3; .*checkpoint has 2\."):
        start("bert2bert", directory, layers=(1, 3))


def test_an_output_bias_that_cannot_be_kept_is_an_error(write_checkpoint, start):
    bert, _ = write_checkpoint("bert")
    headless, _ = write_checkpoint("encoder", "other")
    with pytest.raises(ConfigError, match="expected lm_head_bias=True as well"):
        start("bert2bert", bert, mlm_bias=True)
    settings = {"lm_head_bias": True}
    for recipe, encoder in (("bert2rnd", bert), ("bertshare", headless)):
        with pytest.raises(
            ConfigError, match="does not start from a checkpoint with a"
        ):
            start(recipe, encoder, settings=settings, mlm_bias=True)
