"""A new run makes its tokenizers and its architecture from its config."""

import jax
import pytest

from bertgen_jax import processes
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.experiment import new_run, splits
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures import checkpoints, vocabularies
from tests.fixtures.models import pair_config, stack_config


@pytest.fixture
def train(config_of_rows):
    return splits.open_examples(config_of_rows, "train")


def reread(workdir):
    return TokenizerPair.from_pretrained(workdir / new_run.TOKENIZER)


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
def test_the_recipe_decides_what_is_shared(
    config, tokenizer, recipe, stacks, embeddings
):
    config.init.recipe = recipe
    pair = new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))
    assert (pair.share_encoder_decoder, pair.share_embeddings) == (stacks, embeddings)


def test_texts_longer_than_the_positions_are_refused(config, tokenizer):
    config.model.max_position_embeddings = 100
    with pytest.raises(ConfigError, match="needs 128 positions; the encoder has 100"):
        new_run.make_architecture(config, {}, TokenizerPair.of(tokenizer))


def test_a_vocabulary_is_learned_and_replaces_a_leftover(
    config_of_rows, train, tmp_path
):
    config, workdir = config_of_rows, tmp_path / "run"
    config.tokenizer.vocab_size = 50
    first = new_run.write_tokenizers(config, workdir, {}, train)
    assert first.is_one
    assert first.source.vocab_size == 50
    assert first.source.model_max_length == config.data.max_source_tokens
    assert first.source.encode("“odd”") == first.source.encode('"odd"')

    config.tokenizer.update(vocab_size=60, normalization="nfc", source_specials=True)
    second = new_run.write_tokenizers(config, workdir, {}, train).source
    assert second.vocab_size == 60
    assert second.encode("“odd”") != second.encode('"odd"')
    ids = second.special_ids
    assert (second.source_prefix, second.source_suffix) == ((ids.bos,), (ids.eos,))
    assert reread(workdir).fingerprint == second.fingerprint


def test_tokenizers_can_be_named(config_of_rows, train, tokenizer, texts, tmp_path):
    config, workdir = config_of_rows, tmp_path / "run"
    tokenizer.save_pretrained(tmp_path / "first")
    other = train_sentencepiece(texts, 70)
    other.save_pretrained(tmp_path / "other")
    config.tokenizer.update(path=str(tmp_path / "first"), normalization="")
    tokenizers = new_run.write_tokenizers(config, workdir, {}, train)
    assert tokenizers.is_one
    assert tokenizers.source.encode(texts[0]) == tokenizer.encode(texts[0])

    config.tokenizer.decoder_path = str(tmp_path / "other")
    tokenizers = new_run.write_tokenizers(config, workdir, {}, train)
    for pair in (tokenizers, reread(workdir)):
        assert not pair.is_one
        assert pair.source.encode(texts[0]) == tokenizer.encode(texts[0])
        assert pair.target.encode(texts[0]) == other.encode(texts[0])
    architecture = new_run.make_architecture(config, {}, tokenizers)
    assert architecture.encoder.vocab_size == tokenizer.vocab_size
    assert architecture.decoder.vocab_size == 70
    assert not architecture.share_embeddings


@pytest.mark.parametrize("kind", ["bert", "gpt2", "roberta"])
def test_a_tokenizer_of_a_checkpoint_is_the_same_when_read_back(
    config_of_rows, train, tmp_path, kind
):
    folder = tmp_path / kind
    folder.mkdir()
    if kind == "bert":
        vocabularies.write_word_pieces(folder)
    else:
        vocabularies.write_byte_level(folder, kind)
    config = config_of_rows
    config.tokenizer.update(path=str(folder), source_specials=kind != "gpt2")
    tokenizers = new_run.write_tokenizers(config, tmp_path / "run", {}, train)
    again = reread(tmp_path / "run")
    # The fingerprint is part of that of the data, by which a resumed run is recognised.
    assert again.fingerprint == tokenizers.fingerprint
    for text in ("abc d.", " ef, gh"):
        ids = tokenizers.source(text)["input_ids"]
        assert again.source(text)["input_ids"] == ids
    for path in (tmp_path / "run" / new_run.TOKENIZER).iterdir():
        again.save_pretrained(tmp_path / "copy")
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()


def test_every_process_has_what_process_0_wrote(
    config_of_rows, train, tmp_path, monkeypatch
):
    workdir = tmp_path / "run"
    config_of_rows.tokenizer.vocab_size = 50
    tokenizers = new_run.write_tokenizers(config_of_rows, workdir, {}, train)
    architecture = new_run.write_architecture(workdir, pair_config())

    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_from_process_0", lambda value: ["", "", None])
    config_of_rows.tokenizer.vocab_size = 60
    again = new_run.write_tokenizers(config_of_rows, workdir, {}, train)
    assert again.fingerprint == tokenizers.fingerprint
    other = pair_config(stack_config(num_hidden_layers=3))
    assert new_run.write_architecture(workdir, other) == architecture


def test_a_single_stack_is_not_the_architecture_of_a_run(tmp_path):
    checkpoints.write_config(tmp_path, stack_config().to_dict(), "model_config.json")
    with pytest.raises(CheckpointError, match="found one stack"):
        new_run.read_architecture(tmp_path)
