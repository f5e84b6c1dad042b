"""`bertgen` answers on standard output, and mistakes with a paragraph and status 2."""

import io
import pathlib
import shutil
import subprocess
import sys

import pytest

from bertgen_jax import cli, pretrained
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.checkpoints import small_checkpoints


@pytest.fixture(scope="module")
def directory(tmp_path_factory, draw_params):
    """A model that knows nothing, but generates."""
    tokenizer = train_sentencepiece(["the boat sank", "nobody was hurt"] * 5, 40)
    stack = BertGenerationConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    pair = EncoderDecoderConfig.from_stacks(stack, stack, decoder_start_token_id=2)
    model = EncoderDecoder(pair)
    path = tmp_path_factory.mktemp("model")
    pretrained.save_pretrained(
        path,
        model,
        draw_params(pair),
        tokenizer,
        GenerationConfig(max_new_tokens=4),
    )
    return path


def test_a_line_out_for_each_line_in(directory, tmp_path, capsys):
    file = tmp_path / "texts.txt"
    file.write_text("the boat sank\n\nnobody was hurt")
    assert cli.main(["generate", str(directory), str(file), "--num-beams=2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_standard_input_is_read_without_a_file(directory, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("the boat sank\n"))
    assert cli.main(["generate", str(directory), "--max-new-tokens=2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_no_text_gives_no_text(directory, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli.main(["generate", str(directory)]) == 0
    assert capsys.readouterr().out == ""


def test_a_reader_that_has_seen_enough_is_no_error(directory):
    found = subprocess.run(
        f"yes 'the boat sank' | head -200 | {sys.executable} -m bertgen_jax generate "
        f"{directory} | head -1; echo ${{PIPESTATUS[2]}}",
        shell=True,
        executable="/bin/bash",
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.splitlines()[-1] == "0"
    assert "BrokenPipe" not in found.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "nowhere"], "nowhere"),
        (["generate", "MODEL", "no-such-file.txt"], "no-such-file.txt"),
        (["generate", "MODEL", "BINARY"], "UTF-8"),
        (["generate", "MODEL", "--num-beams=0"], "num_beams is 0"),
    ],
)
def test_mistakes(directory, tmp_path, monkeypatch, capsys, words, message):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    names = {"MODEL": str(directory), "BINARY": str(tmp_path / "binary")}
    monkeypatch.setattr(sys, "stdin", io.StringIO("text\n"))
    assert cli.main([names.get(word, word) for word in words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bertgen: ")
    assert message in said


# bertgen convert


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint of google-research/bert with its vocabulary."""
    path = tmp_path_factory.mktemp("published") / "cased_L-2"
    small_checkpoints.write("google", path)
    small_checkpoints.write_word_pieces(path)
    return path


def test_a_checkpoint_becomes_a_model_directory(published, tmp_path, capsys):
    result = tmp_path / "result"
    assert cli.main(["convert", str(published), str(result)]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "read",
        "wrote",
        "unused",
        "texts",
    ]
    assert said.err == ""
    model, _ = pretrained.from_pretrained(result)
    assert model.config.num_hidden_layers == 2


def test_one_file_or_an_archive_will_do(published, tmp_path, capsys):
    archive = shutil.make_archive(tmp_path / "it", "gztar", published.parent)
    for number, source in enumerate((archive, published / "bert_model.ckpt")):
        assert cli.main(["convert", str(source), str(tmp_path / str(number))]) == 0
    assert f"read     {archive} (TensorFlow 1" in capsys.readouterr().out


def test_options_of_a_conversion(published, tmp_path):
    words = ["convert", str(published), str(tmp_path / "it")]
    assert cli.main([*words, "--architecture=decoder", "--mlm-bias"]) == 0
    model, params = pretrained.from_pretrained(tmp_path / "it")
    assert model.config.is_decoder
    assert "bias" in params["lm_head"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "NEW"], "checkpoint is 'nowhere'; looked for"),
        (["EMPTY", "NEW"], "is no checkpoint of a known format; it holds nothing"),
        (
            ["PUBLISHED", "PUBLISHED"],
            "is there and not empty; expected a new directory",
        ),
        (
            ["PUBLISHED", "NEW", "--to=onnx"],
            "the target is 'onnx'; expected huggingface",
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
def test_mistakes_in_a_conversion(published, tmp_path, capsys, words, message):
    (tmp_path / "empty").mkdir()
    names = {
        "PUBLISHED": str(published),
        "EMPTY": str(tmp_path / "empty"),
        "NEW": str(tmp_path / "new" / "place"),
    }
    before = sorted(path.name for path in published.iterdir())
    assert cli.main(["convert", *(names.get(word, word) for word in words)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("bertgen: ")
    assert message in said.err
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert sorted(path.name for path in published.iterdir()) == before
