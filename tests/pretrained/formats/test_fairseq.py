"""RoBERTa of fairseq is read; files of other models are refused."""

import numpy as np
import pytest

from bertgen_jax.errors import CheckpointError
from tests.fixtures import checkpoints, opening, torch_files

zeros = np.zeros(8, np.float32)


def test_fairseq_and_hugging_face_give_the_same_roberta(tmp_path):
    def forget(tensors):
        del tensors["roberta.embeddings.token_type_embeddings.weight"]

    one, _ = checkpoints.write("fairseq", tmp_path / "one")
    other, _ = checkpoints.write("roberta", tmp_path / "other", change=forget)
    loaded, expected = opening.load(one), opening.load(other)
    opening.assert_equal(opening.arrays_of(loaded), opening.arrays_of(expected))
    assert loaded.config == expected.config
    assert loaded.mlm_bias.tensor == "model.encoder.lm_head.bias"
    np.testing.assert_array_equal(loaded.mlm_bias.values, expected.mlm_bias.values)


def test_one_of_several_files_must_be_named(tmp_path):
    directory, _ = checkpoints.write("fairseq", tmp_path / "it")
    torch_files.save(directory / "checkpoint_last.pt", {"epoch": 3})
    with pytest.raises(CheckpointError, match=r"checkpoint_last.pt, model.pt; .* Name"):
        opening.load(directory)
    assert opening.load(directory / "model.pt").file == directory / "model.pt"


def test_a_model_that_normalises_the_input_of_its_layers_is_refused(tmp_path):
    """fairseq's other block: it would compute something else with these weights."""
    directory, _ = checkpoints.write("fairseq", tmp_path / "it")
    name = "encoder.sentence_encoder.layer_norm.weight"
    state = checkpoints.fairseq_names(checkpoints.roberta()) | {name: zeros}
    args = torch_files.namespace(encoder_attention_heads=2)
    torch_files.save(directory / "model.pt", {"args": args, "model": state})
    with pytest.raises(CheckpointError, match=rf"\+ model\.{name}"):
        opening.load(directory)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"epoch": 3}, r"no tensor corresponds to embeddings\.word\S*; found none"),
        (
            {"encoder": {"x": zeros}},
            r"no tensor corresponds to embeddings\S*; found encoder\.x,",
        ),
        (
            {"model": {"x": zeros}},
            r"no tensor corresponds to embeddings\S*; found model\.x, .*fair",
        ),
        (
            {"model": {"encoder.embed_tokens.weight": zeros}},
            r"model\.encoder\.embed_tokens\.weight is \[8\]; expected 2 axes",
        ),
    ],
)
def test_other_files_of_torch_are_refused(tree, message, tmp_path):
    torch_files.save(tmp_path / "model.pt", tree)
    with pytest.raises(CheckpointError, match=message):
        opening.load(tmp_path)


def test_the_number_of_heads_is_required(tmp_path):
    state = checkpoints.fairseq_names(checkpoints.roberta())
    torch_files.save(tmp_path / "model.pt", {"model": state})
    with pytest.raises(CheckpointError, match="encoder_attention_heads is None in its"):
        opening.load(tmp_path)
    settings = {"model": torch_files.namespace(encoder_attention_heads=2)}
    torch_files.save(tmp_path / "model.pt", {"model": state, "cfg": settings})
    assert opening.load(tmp_path).config.num_attention_heads == 2
