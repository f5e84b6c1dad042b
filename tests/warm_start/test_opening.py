"""Tests of opening the checkpoints of a recipe, and of choosing their tokenizers."""

import pytest

from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.warm_start import opening, recipes


def open_checkpoints(recipe, encoder=None, decoder=None, random_flags=""):
    recipe = recipes.get(recipe)
    return opening.open_checkpoints(
        recipe, encoder=encoder, decoder=decoder, random_flags=random_flags
    )


def test_names_are_looked_up_in_the_data_directory(write_checkpoint, monkeypatch):
    directory, _ = write_checkpoint()
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(directory.parent))
    opened = open_checkpoints("bert2bert", encoder="checkpoint", decoder="")
    assert opened["encoder"] is opened["decoder"]
    assert opened["encoder"].path == directory


@pytest.mark.parametrize(
    ("name", "problem"),
    [("roberta-base", "'roberta-base'"), ("", "init.encoder is empty")],
)
def test_a_missing_checkpoint_is_an_error_with_three_ways_to_continue(name, problem):
    with pytest.raises(CheckpointError) as error:
        open_checkpoints(
            "robertashare", name, random_flags="--config.init.recipe=rnd2rnd"
        )
    message = str(error.value)
    assert problem in message
    assert "hf download FacebookAI/roberta-base" in message
    assert "--config.init.encoder=DIR" in message
    assert "--config.init.recipe=rnd2rnd" in message
    assert "\n" not in message


def test_users_of_python_read_nothing_of_flags():
    with pytest.raises(CheckpointError) as error:
        open_checkpoints("bertshare", "bert-base-uncased")
    message = str(error.value)
    assert "--config" not in message
    assert "init." not in message
    assert "hf download google-bert/bert-base-uncased" in message


@pytest.mark.parametrize(
    ("recipe", "kind", "side", "message"),
    [
        (
            "bertshare",
            "roberta",
            "encoder",
            "of the kind roberta .*starts from bert.*robertashare",
        ),
        (
            "bertshare",
            "gpt2",
            "encoder",
            "of the kind gpt2 .*Recipes whose encoder sta.*: none",
        ),
        (
            "rnd2bert",
            "gpt2",
            "decoder",
            "from bert. .*: gpt, rnd2gpt, bert2gpt, roberta",
        ),
        ("rnd2gpt", "bert", "decoder", "from gpt2. .*: rnd2bert, bert2bert, bertshare"),
        (
            "rnd2gpt",
            "pair",
            "decoder",
            "of the kind encoder-decoder .*starts from gpt2",
        ),
    ],
)
def test_a_checkpoint_of_another_kind_is_an_error(
    write_checkpoint, recipe, kind, side, message
):
    directory, _ = write_checkpoint(kind)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoints(recipe, **{side: directory})


@pytest.mark.parametrize(
    ("flags", "name"),
    [("--config.init.recipe=rnd2rnd", r"init\.decoder"), ("", "decoder")],
)
def test_a_checkpoint_for_a_random_side_is_an_error(write_checkpoint, flags, name):
    directory, _ = write_checkpoint()
    with pytest.raises(ConfigError, match=rf"^{name} is .* random weights"):
        open_checkpoints("bert2rnd", directory, directory, flags)


def test_two_checkpoints_for_shared_weights_are_an_error(write_checkpoint):
    first, _ = write_checkpoint("bert", "first")
    second, _ = write_checkpoint("bert", "second")
    with pytest.raises(ConfigError, match=r"^encoder is .* share weights"):
        open_checkpoints("bertshare", first, second)


def test_a_checkpoint_of_two_stacks_for_shared_weights_is_an_error(write_checkpoint):
    directory, _ = write_checkpoint("pair")
    with pytest.raises(
        CheckpointError, match=r"checkpoint holds two stacks .*Hugging Face e"
    ):
        open_checkpoints("bertshare", directory)


def test_a_missing_vocabulary_is_an_error(write_checkpoint):
    directory, _ = write_checkpoint()
    (directory / "vocab.txt").unlink()
    opened = open_checkpoints("bertshare", directory)
    with pytest.raises(TokenizerError, match=str(directory)):
        opening.choose_tokenizers(opened)


def test_each_side_has_the_tokenizer_of_its_checkpoint(write_checkpoint):
    encoder, _ = write_checkpoint("bert", "first")
    decoder, _ = write_checkpoint("gpt2", "second")
    pair = opening.choose_tokenizers(open_checkpoints("bert2gpt", encoder, decoder))
    assert (pair.source.kind, pair.target.kind) == ("WordPiece", "byte-level BPE")
    pair = opening.choose_tokenizers(open_checkpoints("rnd2gpt", decoder=decoder))
    assert pair.source is pair.target


def test_a_path_in_place_of_a_tokenizer_is_an_error(write_checkpoint):
    directory, _ = write_checkpoint()
    with pytest.raises(ConfigError, match=r"AutoTokenizer\.from_pretrained"):
        opening.choose_tokenizers({}, directory)
