"""Every field of a config reaches its part of the run."""

import json

import jax
import jax.numpy as jnp
import pytest

from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import new_run, run, splits
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from configs import bbc_summarize

TEXTS = ["the old boat sank near the port", "nobody was hurt", "an “odd” – quote…"] * 9


@pytest.fixture
def config():
    return bbc_summarize.get_config("demo")


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece(TEXTS, 60)


@pytest.fixture
def examples(tmp_path):
    """Rows of a file, of which one is bad."""
    path = tmp_path / "rows.jsonl"
    rows = [{"text": text, "short": text.split()[0]} for text in TEXTS]
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines[:5], "{broken", *lines[5:]]))
    return path


def test_the_model_has_the_configs_architecture(config, tokenizer):
    values = {
        "hidden_act": "gelu_new",
        "hidden_dropout_prob": 0.25,
        "attention_probs_dropout_prob": 0.5,
        "max_position_embeddings": 200,
        "initializer_range": 0.07,
        "layer_norm_eps": 1e-5,
        "lm_head_bias": True,
    }
    config.model.update(values)
    pair = new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))
    for stack in (pair.encoder, pair.decoder):
        assert {name: getattr(stack, name) for name in values} == values
        assert stack.hidden_size == 128
        assert stack.vocab_size == tokenizer.vocab_size
    ids = tokenizer.special_ids
    assert (pair.start_token_id, pair.eos_token_id, pair.pad_token_id) == (
        ids.bos,
        ids.eos,
        ids.pad,
    )


@pytest.mark.parametrize(
    ("recipe", "stacks", "embeddings"),
    [("rnd2rnd", False, True), ("rndshare", True, False)],
)
def test_the_recipe_says_what_is_shared(config, tokenizer, recipe, stacks, embeddings):
    config.init.recipe = recipe
    pair = new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))
    assert (pair.share_encoder_decoder, pair.share_embeddings) == (stacks, embeddings)


def test_the_model_runs_as_the_config_says(config, tokenizer):
    config.model.update(dtype="bfloat16", scan_layers=True, remat="dots")
    pair = new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))
    model = run.create_model(config, pair)
    assert (model.dtype, model.scan_layers, model.remat) == (jnp.bfloat16, True, "dots")


def test_the_search_is_the_configs(config, tokenizer):
    config.decode.update(
        num_beams=3,
        length_penalty=0.9,
        length_penalty_form="power",
        early_stopping="True",
        max_new_tokens=7,
        min_new_tokens=2,
        no_repeat_ngram_size=3,
    )
    found = run.generation_config(config, TokenizerPair.of(tokenizer))
    assert (found.num_beams, found.length_penalty) == (3, 0.9)
    assert (found.length_penalty_form, found.early_stopping) == ("power", True)
    assert (found.num_new_tokens, found.min_new_tokens) == (7, 2)
    assert found.no_repeat_ngram_size == 3
    assert found.eos_ids == (tokenizer.special_ids.eos,)


def test_bad_rows_stop_or_are_named(config, examples, caplog):
    config.data.train = str(examples)
    config.data.columns.update(source="text", target="short", id="")
    with pytest.raises(Exception, match="line 6"):
        splits.open_examples(config, "train")
    config.data.on_bad_row = "skip"
    with caplog.at_level("WARNING"):
        assert len(splits.open_examples(config, "train")) == len(TEXTS)
    assert "line 6" in caplog.text


def test_a_split_without_data_is_named(config):
    config.data.validation = ""
    with pytest.raises(ConfigError, match=r"data\.validation is empty.*train, test"):
        splits.open_examples(config, "validation")


def opened(config, examples):
    config.data.update(train=str(examples), on_bad_row="skip")
    config.data.columns.update(source="text", target="short", id="")
    return splits.open_examples(config, "train")


def test_a_part_of_the_training_data_is_drawn(config, examples):
    whole = opened(config, examples)
    config.data.fraction = 0.5
    part = splits.open_examples(config, "train")
    assert len(part) == round(len(whole) / 2)
    ids = [part[i].id for i in range(len(part))]
    order = [whole[i].id for i in range(len(whole))]
    assert ids == [one for one in order if one in ids]  # in their order
    assert part.fingerprint != whole.fingerprint
    again = splits.open_examples(config, "train")
    assert again.fingerprint == part.fingerprint
    config.seed = 5
    assert splits.open_examples(config, "train").fingerprint != part.fingerprint
    with pytest.raises(IndexError):
        part[len(part)]
    config.data.validation = config.data.train
    assert len(splits.open_examples(config, "validation")) == len(whole)


def test_buckets_are_chosen_or_given(config, examples, tokenizer):
    texts, tokenizers = opened(config, examples), TokenizerPair.of(tokenizer)
    config.data.update(num_buckets=1, bucket_multiple=16)
    (bucket,) = splits.encode(config, "train", texts, tokenizers).buckets
    assert bucket.source % 16 == bucket.target % 16 == 0
    config.data.buckets = ((64, 8), (100, 32))
    given = splits.encode(config, "train", texts, tokenizers).buckets
    assert [(bucket.source, bucket.target) for bucket in given] == [(64, 8), (100, 32)]


def test_a_new_runs_tokenizer_is_learned_and_replaces_a_leftover(
    config, examples, tmp_path
):
    texts = opened(config, examples)
    config.tokenizer.vocab_size = 50
    first = new_run.write_tokenizers(config, tmp_path / "run", {}, texts)
    assert first.is_one
    assert first.source.vocab_size == 50
    assert first.source.model_max_length == config.data.max_source_tokens
    assert first.source.encode("“odd”") == first.source.encode('"odd"')

    config.tokenizer.update(vocab_size=60, normalization="nfc", source_specials=True)
    second = new_run.write_tokenizers(config, tmp_path / "run", {}, texts).source
    assert second.vocab_size == 60
    assert second.encode("“odd”") != second.encode('"odd"')
    ids = second.special_ids
    assert (second.source_prefix, second.source_suffix) == ((ids.bos,), (ids.eos,))
    again = TokenizerPair.from_pretrained(tmp_path / "run" / "tokenizer")
    assert again.fingerprint == second.fingerprint


def test_tokenizers_can_be_given(config, examples, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "given")
    other = train_sentencepiece(TEXTS, 70)
    other.save_pretrained(tmp_path / "other")
    texts = opened(config, examples)
    config.tokenizer.update(path=str(tmp_path / "given"), normalization="")
    found = new_run.write_tokenizers(config, tmp_path / "run", {}, texts)
    assert found.is_one
    assert found.source.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])

    config.tokenizer.decoder_path = str(tmp_path / "other")
    new_run.write_tokenizers(config, tmp_path / "run", {}, texts)
    found = TokenizerPair.from_pretrained(tmp_path / "run" / "tokenizer")
    assert not found.is_one
    assert found.source.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    assert found.target.encode(TEXTS[0]) == other.encode(TEXTS[0])
    pair = new_run.make_architecture(config, {}, found)
    assert pair.encoder.vocab_size == tokenizer.vocab_size
    assert pair.decoder.vocab_size == 70
    assert not pair.share_embeddings


def test_texts_longer_than_the_positions_are_refused(config, tokenizer):
    config.model.max_position_embeddings = 100
    with pytest.raises(ConfigError, match="needs 128 positions; the encoder has 100"):
        new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))


@pytest.mark.parametrize(("keep_latest", "kept"), [(1, [3]), (2, [2, 3])])
def test_checkpoints_are_kept_as_the_config_says(config, tmp_path, keep_latest, kept):
    config.checkpoint.keep_latest = keep_latest
    store = run.open_store(config, tmp_path)
    for step in (1, 2, 3):
        store.save(step, {"params": jax.numpy.ones(3)}, {})
    store.close()
    assert store.steps() == kept


def test_the_best_checkpoint_is_by_the_configs_metric(config, tmp_path):
    config.eval.metric = "loss"
    config.checkpoint.keep_every_steps = 2
    store = run.open_store(config, tmp_path)
    for step, loss in ((1, 0.5), (2, 0.9), (3, 0.7)):
        store.save(step, {"params": jax.numpy.ones(3)}, {}, {"loss": loss})
    store.close()
    assert store.best_step() == 1
    assert store.steps() == [1, 2, 3]
