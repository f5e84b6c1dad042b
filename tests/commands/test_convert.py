"""`bertgen convert`: what it prints, and errors."""

import shutil

import pytest

from bertgen_jax.commands import main
from bertgen_jax.pretrained import loading
from tests.fixtures import checkpoints, vocabularies


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint of google-research/bert with its vocabulary."""
    path = tmp_path_factory.mktemp("published") / "cased_L-2"
    checkpoints.write("google", path)
    vocabularies.write_word_pieces(path)
    return path


def test_a_checkpoint_becomes_a_model_directory(published, tmp_path, capsys):
    result = tmp_path / "result"
    assert main.main(["convert", str(published), str(result)]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == [
        "read",
        "wrote",
        "left",
        "tokenizer",
    ]
    assert printed.err == ""
    model, _ = loading.from_pretrained(result)
    assert model.config.num_hidden_layers == 2


def test_a_file_or_an_archive_is_converted(published, tmp_path, capsys):
    archive = shutil.make_archive(tmp_path / "it", "gztar", published.parent)
    for number, source in enumerate((archive, published / "bert_model.ckpt")):
        assert main.main(["convert", str(source), str(tmp_path / str(number))]) == 0
    assert f"read       {archive} (TensorFlow 1" in capsys.readouterr().out


def test_architecture_and_bias_are_chosen(published, tmp_path):
    arguments = ["convert", str(published), str(tmp_path / "it")]
    assert main.main([*arguments, "--architecture=decoder", "--mlm-bias"]) == 0
    model, params = loading.from_pretrained(tmp_path / "it")
    assert model.config.is_decoder
    assert "bias" in params["lm_head"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "NEW"], "checkpoint is 'nowhere'; looked for"),
        (["EMPTY", "NEW"], "is not a checkpoint of a known format; it holds nothing"),
        (
            ["PUBLISHED", "PUBLISHED"],
            "exists and is not empty; expected a new directory",
        ),
        (
            ["PUBLISHED", "NEW", "--to=onnx"],
            "the target is 'onnx'; expected one of huggingface, ctranslate2",
        ),
        (
            ["PUBLISHED", "NEW", "--quantization=int8"],
            "expected it with --to=ctranslate2",
        ),
        (["PUBLISHED", "NEW", "--architecture=decode"], "Did you mean 'decoder'?"),
        (["PUBLISHED", "NEW", "--architecture=encoder-decoder"], "holds one stack"),
        (["PUBLISHED", "NEW", "--mlm-bias"], "mlm_bias is set for the encoder of"),
    ],
)
def test_errors_of_the_user(published, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    names = {
        "PUBLISHED": str(published),
        "EMPTY": str(tmp_path / "empty"),
        "NEW": str(tmp_path / "new" / "place"),
    }
    before = sorted(path.name for path in published.iterdir())
    assert (
        main.main(
            ["convert", *(names.get(argument, argument) for argument in arguments)]
        )
        == 2
    )
    printed = capsys.readouterr()
    assert printed.err.startswith("bertgen: ")
    assert message in printed.err
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert sorted(path.name for path in published.iterdir()) == before
