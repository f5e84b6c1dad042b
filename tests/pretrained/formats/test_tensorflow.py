"""TensorFlow checkpoints are read; those of other programs are refused."""

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from tests.fixtures import checkpoints, opening, tf_bundle_files

zeros = np.zeros(8, np.float32)


def test_the_config_may_be_named_config_json(tmp_path):
    directory, _ = checkpoints.write("google", tmp_path / "it")
    expected = opening.load(directory)
    (directory / "bert_config.json").rename(directory / "config.json")
    opening.assert_equal(
        opening.arrays_of(opening.load(directory)), opening.arrays_of(expected)
    )
    checkpoints.write_config(directory, checkpoints.BERT)
    assert opening.load(directory).format == expected.format


def test_a_module_of_two_stacks_is_a_pair_that_shares_its_embeddings(tmp_path):
    directory, tensors = checkpoints.write("hub", tmp_path / "it")
    loaded = opening.load(directory)
    assert loaded.config.share_embeddings
    assert not loaded.config.decoder.lm_head_bias
    assert loaded.config.decoder.num_attention_heads == 1  # of 64, as no file says it
    name = "layer.1.crossattention.self.query.weight"
    np.testing.assert_array_equal(
        loaded.arrays["decoder/bert/layer_1/crossattention/query/kernel"].values,
        tensors[f"decoder.bert.encoder.{name}"].T.reshape(8, 1, 8),
    )
    np.testing.assert_array_equal(
        loaded.arrays["encoder/layer_0/intermediate/kernel"].values,
        tensors["encoder.encoder.layer.0.intermediate.dense.weight"].T,
    )


def test_the_special_ids_of_a_module_are_those_of_its_vocabulary(tmp_path):
    directory, _ = checkpoints.write("hub", tmp_path / "it")
    assert opening.load(directory).config.eos_token_id == 1
    (directory / "assets").mkdir()
    pieces = ["[PAD]", "\udcff", "[UNK]", "[CLS]", "[SEP]"]
    text = "\r\n".join(pieces).encode(errors="surrogateescape")  # and no UTF-8
    (directory / "assets" / "vocab.txt").write_bytes(text)
    config = opening.load(directory).config
    assert (config.pad_token_id, config.start_token_id, config.eos_token_id) == (
        0,
        3,
        4,
    )


def test_the_hparams_of_another_program_are_refused(tmp_path):
    directory, _ = checkpoints.write("openai", tmp_path / "it")
    (directory / "hparams.json").write_text('{"batch_size": 4096}')
    with pytest.raises(
        CheckpointError, match="n_vocab, n_ctx, n_embd, n_head, n_layer"
    ):
        opening.load(directory)


def test_a_bundle_without_the_config_of_a_bert_is_refused(tmp_path):
    directory, _ = checkpoints.write("google", tmp_path / "it")
    (directory / "bert_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"ckpt\.index: there is no bert_config"):
        opening.load(directory)
    checkpoints.write_config(directory, checkpoints.GPT2)
    with pytest.raises(CheckpointError, match="model_type is 'gpt2'; expected 'bert'"):
        opening.load(directory)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {},
            r"variables\.index: no tensor corresponds to decoder\.bert\S*; found none",
        ),
        (
            {"encoder/layer_0/kernel": zeros},
            r"found encoder/layer_0/kernel, \.\.\., expected the tensors of a TF Hub m",
        ),
        (
            {"module/bert/embeddings/word_embeddings": zeros},
            r"module/bert/embeddings/word_embeddings is \[8\]; expected 2 axes",
        ),
    ],
)
def test_other_modules_are_refused(variables, message, tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").touch()
    tf_bundle_files.write(tmp_path / "variables" / "variables", variables)
    with pytest.raises(CheckpointError, match=message):
        opening.load(tmp_path)


def test_a_module_with_impossible_sizes_is_refused(tmp_path):
    directory, _ = checkpoints.write("hub", tmp_path / "it")
    for name in ("layer_999999999", "layer_" + "9" * 5000, "layer_9999"):
        variables = checkpoints.hub_names(checkpoints.pair(), False)
        variables[f"module/bert/decoder/{name}/output/dense/bias"] = zeros
        prefix = directory / "variables" / "variables"
        for path in prefix.parent.iterdir():
            path.unlink()
        tf_bundle_files.write(prefix, variables)
        with pytest.raises(CheckpointError, match=r"variables\.index") as error:
            opening.load(directory)
        assert len(str(error.value)) < 1000
