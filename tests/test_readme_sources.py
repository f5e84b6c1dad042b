"""Every `bertgen convert` command of the README's table runs as it is written there.

Small random checkpoints, under the names that the README uses, stand for the published
ones. The real programs write them, with small vocabularies of the real formats.
"""

import json
import pathlib
import re
import shlex
import shutil
import string

import numpy as np
import pytest

import bertgen_jax as bg
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.commands import main
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from tests.fixtures import models, vocabularies

pytestmark = pytest.mark.parity
published = pytest.importorskip("tests.fixtures.published_checkpoints")

README = pathlib.Path(__file__).parent.parent / "README.md"
COMMANDS = re.findall(r"\| `(bertgen convert [^`]+)` \|", README.read_text("utf-8"))
TEXTS = ["an old boat sank near the port", "nobody was hurt", "it rained all day"]


def new_directory(path):
    path.mkdir(parents=True)
    return path


def write_zipped_bert(root):
    inner = new_directory(root / "inner" / "cased_L-12_H-768_A-12")
    vocabularies.write_word_pieces(
        published.google(published.bert(), inner), string.ascii_lowercase, ()
    )
    shutil.make_archive(root / inner.name, "zip", inner.parent)
    shutil.rmtree(inner.parent)


def write_hub_module(root):
    directory = published.hub_module(
        published.shared(), new_directory(root / "roberta24_bbc")
    )
    tokenizer = train_sentencepiece(TEXTS, 60)
    tokenizer.save_pretrained(new_directory(root / "vocabulary"))
    (directory / "assets").mkdir()
    model = root / "vocabulary" / "spiece.model"
    model.rename(directory / "assets" / "gpt2.model")


def write_gpt2(root):
    directory = published.openai(published.gpt2(), new_directory(root / "124M"))
    vocabularies.write_all_bytes(directory, "encoder.json", "vocab.bpe")


def write_fairseq(root):
    directory = published.fairseq(
        published.roberta(), new_directory(root / "roberta.base")
    )
    rows = vocabularies.write_all_bytes(directory, "encoder.json", "vocab.bpe")
    lines = [f"{row} {1000 - row}" for row in rows.values()]
    (directory / "dict.txt").write_text("\n".join(lines) + "\n")


def write_hugging_face(root):
    directory = published.pickled(
        published.bert(), new_directory(root / "bert-base-uncased")
    )
    vocabularies.write_word_pieces(directory, string.ascii_lowercase, ())
    directory = published.sharded(
        published.pair(), new_directory(root / "roberta2roberta_L-24_bbc")
    )
    train_sentencepiece(TEXTS, 60).save_pretrained(directory)


def write_run(root, draw_params):
    """Writes a work directory with one checkpoint, as training does."""
    workdir = new_directory(root / "runs" / "papers")
    tokenizer = train_sentencepiece(TEXTS, 60)
    tokenizer.save_pretrained(new_directory(workdir / "tokenizer"))
    config = models.pair_config(
        models.stack_config(vocab_size=tokenizer.vocab_size),
        share_encoder_decoder=True,
    )
    (workdir / MODEL_CONFIG).write_text(json.dumps(config.to_dict()))
    (workdir / "config.json").write_text(json.dumps({"ema_decay": 0.0}))
    store = CheckpointStore(
        workdir / "checkpoints", best_metric="loss", best_mode="min"
    )
    store.save(300, {"params": draw_params(config), "step": np.int32(300)}, {})
    store.close()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, draw_params):
    root = tmp_path_factory.mktemp("checkpoints")
    write_zipped_bert(root)
    write_hub_module(root)
    write_gpt2(root)
    write_fairseq(root)
    write_hugging_face(root)
    write_run(root, draw_params)
    return root


def test_the_readme_has_a_command_for_each_format():
    assert len(COMMANDS) == 9


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_as_written(command, checkpoints, tmp_path, monkeypatch, capsys):
    for path in checkpoints.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(command)
    assert main.main(arguments) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert "no tokenizer" not in output
    result = pathlib.Path(arguments[2])
    if "--to=ctranslate2" in arguments:
        ctranslate2 = pytest.importorskip("ctranslate2")
        translator = ctranslate2.Translator(str(result))
        translations = translator.translate_batch(
            [["▁an", "▁o", "l", "d"]], max_decoding_length=8
        )
        assert translations[0].hypotheses[0]
        return
    model, _ = bg.from_pretrained(result)
    tokenizer = bg.AutoTokenizer.from_pretrained(result)
    assert tokenizer.decode(tokenizer.encode("an old boat")) == "an old boat"
    stack = getattr(model.config, "encoder", model.config)
    assert tokenizer.vocab_size <= stack.vocab_size
