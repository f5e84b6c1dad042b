"""Every config builds at full size, by shapes only, so that nothing is allocated."""

import importlib
import math
import pathlib

import jax
import numpy as np
import pytest

from bertgen_jax.experiment import checks, new_run, run
from bertgen_jax.models import losses
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import recipes

ROOT = pathlib.Path(__file__).parents[1]
CARDS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common"
)
# The vocabulary of the checkpoint that a config names, and the parameters of the model
# with 12 and with 24 layers, as the totals of the paper's Table 1 add up.
SENTENCEPIECE = ("bertgen_50358.model", 152_491_008, 455_213_056)
EXPECTED = {
    "bbc_summarize": SENTENCEPIECE,
    "cnndm_summarize": SENTENCEPIECE,
    "discofuse_fuse": SENTENCEPIECE,
    "gigaword_summarize": ("bert_base_uncased_vocab.txt", 137_256_960, 434_900_992),
    "wikisplit_split": ("bert_base_cased_vocab.txt", 136_084_992, 433_338_368),
    "wmt14_en_de": ("bert_multi_cased_vocab.txt", 290_682_624, 828_371_968),
    "wmt14_de_en": ("bert_multi_cased_vocab.txt", 290_682_624, 828_371_968),
}


def test_every_config_is_among_them():
    assert sorted(EXPECTED) == CARDS


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize(("size", "column"), [("base", 1), ("large", 2)])
def test_a_config_builds_at_full_size(name, size, column, data_dir, tmp_path):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.model.size = size
    checks.check(config)
    file = data_dir / "vocab" / EXPECTED[name][0]
    if file.suffix == ".txt":  # as in a checkpoint's directory
        (tmp_path / "vocab.txt").symlink_to(file)
        file = tmp_path
    tokenizers = TokenizerPair.of(AutoTokenizer.from_pretrained(file))
    pair = new_run.make_architecture(config, {}, tokenizers)
    shared = recipes.get(config.init.recipe).share_stacks
    assert pair.share_encoder_decoder == shared
    model = run.create_model(config, pair)

    rows = config.batch_size
    source = jax.ShapeDtypeStruct((rows, config.data.max_source_tokens), np.int32)
    target = jax.ShapeDtypeStruct((rows, config.data.max_target_tokens), np.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), source, None, target)
    params = variables["params"]
    total = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert total == EXPECTED[name][column]
    weights = jax.ShapeDtypeStruct(target.shape, np.float32)
    batch = {
        "input_ids": source,
        "attention_mask": jax.ShapeDtypeStruct(source.shape, bool),
        "decoder_input_ids": target,
        "labels": target,
        "label_weights": weights,
    }
    sums = jax.eval_shape(
        lambda params, batch: losses.teacher_forced_loss(model, params, batch, None),
        params,
        batch,
    )
    assert sums.loss.shape == ()
    logits = jax.eval_shape(
        lambda params, *ids: model.apply({"params": params}, *ids).logits,
        params,
        source,
        batch["attention_mask"],
        target,
    )
    assert logits.shape == (*target.shape, tokenizers.target.vocab_size)
