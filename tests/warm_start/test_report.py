"""Tests of the report of a warm start, as rows, text and JSON."""

import json
import re

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.stack_config import POSITION_TABLE, WORD_TABLE
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import opening, recipes
from bertgen_jax.warm_start.report import Report
from tests.fixtures.checkpoints import LAYERS, POSITIONS, WIDTH

FILE = "model.safetensors"


def test_actions_say_where_each_parameter_is_from(
    write_checkpoint, start, sentencepiece
):
    directory, _ = write_checkpoint()
    done = start("bert2bert", directory, tokenizers=TokenizerPair.of(sentencepiece))
    for name in done.before:
        action = "random" if "/crossattention/" in name else "warm"
        special = {
            f"decoder/bert/{WORD_TABLE}": "permuted",
            f"decoder/bert/{POSITION_TABLE}": "folded",
        }
        assert done.rows[name].action == special.get(name, action)
    aliases = {n: row.action for n, row in done.rows.items() if n not in done.before}
    assert aliases == {
        f"encoder/{WORD_TABLE}": "shared",
        f"encoder/{POSITION_TABLE}": "shared",
        "encoder/embeddings/LayerNorm/scale": "shared",
        "encoder/embeddings/LayerNorm/bias": "shared",
        "decoder/lm_head/kernel": "tied",
    }
    assert done.rows[f"encoder/{WORD_TABLE}"].origin == f"decoder/bert/{WORD_TABLE}"


def test_shared_parameters_count_once(write_checkpoint, start):
    directory, _ = write_checkpoint()
    done = start("bertshare", directory)
    cold = sum(leaf.size for n, leaf in done.after.items() if "/crossattention/" in n)
    assert done.report.warm == done.report.trainable - cold
    shared = [row for row in done.report.rows if row.action == "shared"]
    assert len(shared) == 4 + 16 * LAYERS
    assert all(row.parameter.startswith("encoder/") for row in shared)


def test_unused_tensors_and_rows_have_reasons(write_checkpoint, start, sentencepiece):
    extra = {
        "classifier.weight": "head of another task",
        "roberta.embeddings.position_ids": "position numbers, no weights",
        "roberta.encoder.layer.0.crossattention.self.query.bias": (
            "cross-attention, which an encoder does not have"
        ),
    }

    def add(tensors):
        tensors |= dict.fromkeys(extra, np.zeros((1, 4), np.int64))
        tensors |= {
            f"roberta.pooler.dense.{name}": np.zeros(WIDTH, np.float32)
            for name in ("weight", "bias")
        }
        types = "roberta.embeddings.token_type_embeddings.weight"
        tensors[types] = np.zeros((2, WIDTH), np.float32)

    directory, _ = write_checkpoint("roberta", change=add, type_vocab_size=2)
    done = start(
        "robertashare",
        directory,
        tokenizers=TokenizerPair.of(sentencepiece),
        settings={"max_position_embeddings": 7},
    )
    unused = done.report.unused[str(directory / FILE)]
    reasons = {tensor.tensor: tensor.reason for tensor in unused}
    assert {name: reasons[name] for name in extra} == extra
    assert reasons["lm_head.bias"] == reasons["lm_head.dense.bias"] == "masked-LM head"
    listed = [tensor.reason for tensor in unused]
    assert listed.count("pooler, for classification") == 2
    assert "rows before 2, the positions of padding" in listed
    assert "rows from 1 on, segments that the model does not have" in listed
    assert "positions that the model does not have" in listed
    assert "pieces that the model does not have" in listed


def test_the_text_is_a_summary(write_checkpoint, start):
    directory, _ = write_checkpoint()
    report = start("bertshare", directory).report
    lines = str(report).splitlines()
    assert lines[0] == (
        f"warm start: {report.warm:,} of {report.trainable:,} trainable parameters"
    )
    assert f"  encoder from {directory / FILE}: Hugging Face bert model" in lines
    assert "  encoder: shared" in lines
    assert "  lm_head: tied" in lines
    cross = LAYERS * (4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH)
    assert f"  crossattention: 0% of {cross:,}" in lines
    assert "pooler, for classification (2)" in lines[-1]


def test_only_all_and_nothing_are_100_and_0_percent(write_checkpoint, start):
    directory, _ = write_checkpoint()
    text = str(start("bert2bert", directory).report)
    assert re.search(r"\n  embeddings: 100% of [\d,]+\n", text)
    assert re.search(r"\n  crossattention: 0% of [\d,]+\n", text)
    assert re.search(r"\n  encoder: 100% of [\d,]+\n", text)
    text = str(start("bert2bert", directory, settings={"vocab_size": 5000}).report)
    share = re.search(r"\n  embeddings: ([\d.]+)% of [\d,]+\n", text)[1]
    expected = 100 * (30 + 10 + 2) / (5000 + 10 + 2)
    assert float(share) == pytest.approx(expected, abs=0.05)
    assert "decoder/bert/embeddings/word_embeddings/embedding: 30 of 5,000 rows" in text


def test_the_json_lists_parameters_and_unused_rows(write_checkpoint, start):
    encoder, _ = write_checkpoint("roberta", "first")
    decoder, _ = write_checkpoint("gpt2", "second")
    report = start("roberta2gpt", encoder, decoder).report
    values = json.loads(json.dumps(report.to_dict()))
    assert values["sources"] == {
        "encoder": f"{encoder / FILE}: Hugging Face roberta model",
        "decoder": f"{decoder / FILE}: Hugging Face gpt2 model",
    }
    assert values["trainable_parameters"] == report.trainable
    assert values["warm_parameters"] == report.warm
    assert len(values["parameters"]) == len(report.rows)
    assert {row["file"] for row in values["unused"]} == {str(encoder / FILE)}
    assert [row for row in values["unused"] if row["rows"]] == [
        {
            "file": str(encoder / FILE),
            "tensor": "roberta.embeddings.position_embeddings.weight",
            "shape": [POSITIONS + 2, WIDTH],
            "reason": "rows before 2, the positions of padding",
            "rows": 2,
        }
    ]


def test_a_recipe_without_checkpoints_has_a_report(write_checkpoint, start):
    directory, _ = write_checkpoint()
    own = opening.choose_tokenizers(
        opening.open_checkpoints(
            recipes.get("bertshare"), encoder=directory, decoder=None
        )
    )
    done = start("rnd2rnd", tokenizers=own)
    assert not done.changed
    assert done.report.warm == 0
    lines = str(done.report).splitlines()
    assert (
        lines[0] == f"warm start: 0 of {done.report.trainable:,} trainable parameters"
    )
    assert lines[-1] == "  unused: nothing"


def test_a_report_is_written_or_the_error_names_the_file(tmp_path):
    report = Report({"encoder": "here"}, (), {})
    report.write(tmp_path / "new" / "report.json")
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert written == report.to_dict()
    with pytest.raises(CheckpointError, match="new: the report cannot be written"):
        report.write(tmp_path / "new")
