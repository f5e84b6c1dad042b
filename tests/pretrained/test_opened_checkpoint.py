"""An opened checkpoint knows its files; what it reads, it reads once."""

import pytest

import bertgen_jax as bg
from bertgen_jax.errors import TokenizerError
from bertgen_jax.pretrained import checkpoint
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.warm_start import warm_start
from tests.fixtures import checkpoints, vocabularies


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
