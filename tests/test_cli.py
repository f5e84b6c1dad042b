"""`bertgen` answers on standard output, and mistakes with a paragraph and status 2."""

import io
import pathlib
import subprocess
import sys

import pytest

from bertgen_jax import cli, pretrained
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece


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
