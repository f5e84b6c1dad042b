"""Every published kind of file, by its real writer: what comes in computes the same.

The weights are random, for none can be had here; names, layouts and containers are
those of the real programs. Each model is written again, and Hugging Face loads it.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.pretrained import loading, saving

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
files = pytest.importorskip("tests.fixtures.published_checkpoints")

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def draw(seed=0, batch=3, length=11):
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, files.WORDS - 1, (batch, length))
    mask = np.arange(length) < np.array([[length], [7], [2]])
    return ids, mask


def masked_ids(ids, mask, pad):
    return np.where(mask, ids, pad)


def outputs(model, params, **inputs):
    arrays = {name: jnp.asarray(array) for name, array in inputs.items()}
    return model.apply({"params": params}, **arrays)


def torch_inputs(**inputs):
    return {name: torch.tensor(array) for name, array in inputs.items()}


ENCODERS = [
    ("bert", files.safetensors),
    ("bert", files.sharded),
    ("bert", files.pickled),
    ("bert", files.pickled_in_shards),
    ("bert", files.base_model_with_old_names),
    ("bert", files.google),
    ("bert", files.tensorflow2),
    ("roberta", files.safetensors),
    ("roberta", files.base_model_with_old_names),
    ("roberta", files.fairseq),
    ("roberta", files.old_fairseq),
]


@pytest.mark.parametrize(
    ("kind", "write"), ENCODERS, ids=[f"{k}-{w.__name__}" for k, w in ENCODERS]
)
def test_an_encoder_computes_the_same(tmp_path, kind, write):
    reference = getattr(files, kind)()
    (tmp_path / "in").mkdir()
    source = write(reference, tmp_path / "in")
    ids, mask = draw()
    ids = masked_ids(ids, mask, pad=1 if kind == "roberta" else 0)
    with torch.no_grad():
        expected = reference.base_model(
            **torch_inputs(input_ids=ids, attention_mask=mask)
        ).last_hidden_state.numpy()

    model, params = loading.from_pretrained(source)
    actual = outputs(model, params, input_ids=ids, attention_mask=mask)
    np.testing.assert_allclose(
        np.asarray(actual.last_hidden_state)[mask], expected[mask], **TOLERANCE
    )
    saving.save_pretrained(tmp_path / "out", model, params)
    again = transformers.BertGenerationEncoder.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        actual = again(**torch_inputs(input_ids=ids, attention_mask=mask))
    np.testing.assert_allclose(
        actual.last_hidden_state.numpy()[mask], expected[mask], **TOLERANCE
    )


DECODERS = [
    ("gpt2", w) for w in (files.safetensors, files.sharded, files.pickled, files.openai)
]


@pytest.mark.parametrize(
    ("kind", "write"), DECODERS, ids=[f"{k}-{w.__name__}" for k, w in DECODERS]
)
def test_a_decoder_computes_the_same(tmp_path, kind, write):
    reference = getattr(files, kind)()
    (tmp_path / "in").mkdir()
    source = write(reference, tmp_path / "in")
    ids, _ = draw()
    with torch.no_grad():
        expected = reference(torch.tensor(ids)).logits.numpy()
    model, params = loading.from_pretrained(source)
    actual = outputs(model, params, input_ids=ids).logits
    np.testing.assert_allclose(actual, expected, **TOLERANCE)
    saving.save_pretrained(tmp_path / "out", model, params)
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        actual = again(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


PAIRS = [
    ("pair", files.safetensors),
    ("pair", files.sharded),
    ("pair", files.pickled),
    ("one_table", files.hub_module),
    ("shared", files.safetensors),
    ("shared", files.hub_module),
]


@pytest.mark.parametrize(
    ("kind", "write"), PAIRS, ids=[f"{k}-{w.__name__}" for k, w in PAIRS]
)
def test_a_pair_computes_the_same(tmp_path, kind, write):
    reference = getattr(files, kind)()
    (tmp_path / "in").mkdir()
    source = write(reference, tmp_path / "in")
    ids, mask = draw()
    targets, _ = draw(seed=1, length=6)
    inputs = {
        "input_ids": masked_ids(ids, mask, pad=0),
        "attention_mask": mask,
        "decoder_input_ids": targets,
    }
    with torch.no_grad():
        expected = reference(**torch_inputs(**inputs)).logits.numpy()
    model, params = loading.from_pretrained(source)
    assert model.config.share_encoder_decoder == (kind == "shared")
    actual = outputs(model, params, **inputs).logits
    np.testing.assert_allclose(actual, expected, **TOLERANCE)
    saving.save_pretrained(tmp_path / "out", model, params)
    again = transformers.EncoderDecoderModel.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        actual = again(**torch_inputs(**inputs)).logits.numpy()
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def test_a_bert_encoder_with_a_gpt2_decoder_computes_the_same(tmp_path):
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        files.bert().config, files.gpt2().config
    )
    config.decoder_start_token_id, config.pad_token_id = files.WORDS - 1, 0
    reference = files.randomized(transformers.EncoderDecoderModel(config))
    reference.save_pretrained(tmp_path / "in")
    ids, mask = draw()
    inputs = {
        "input_ids": masked_ids(ids, mask, pad=0),
        "attention_mask": mask,
        "decoder_input_ids": draw(seed=1, length=6)[0],
    }
    with torch.no_grad():
        expected = reference(**torch_inputs(**inputs)).logits.numpy()
    model, params = loading.from_pretrained(tmp_path / "in")
    actual = outputs(model, params, **inputs).logits
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def test_an_encoder_becomes_the_same_decoder_as_in_hugging_face(tmp_path):
    """Hugging Face loses the segment row, so this checkpoint has none."""
    reference = transformers.BertForPreTraining(files.bert().config)
    reference.load_state_dict(files.bert().state_dict())
    with torch.no_grad():
        reference.bert.embeddings.token_type_embeddings.weight.zero_()
    reference.save_pretrained(tmp_path)
    decoder = transformers.BertGenerationDecoder.from_pretrained(
        tmp_path, is_decoder=True
    ).eval()
    ids, _ = draw()
    with torch.no_grad():
        expected = decoder(torch.tensor(ids)).logits.numpy()
    model, params = loading.from_pretrained(tmp_path, architecture="decoder")
    actual = outputs(model, params, input_ids=ids).logits
    np.testing.assert_allclose(actual, expected, **TOLERANCE)
    model, params = loading.from_pretrained(
        tmp_path, architecture="decoder", mlm_bias=True
    )
    bias = reference.cls.predictions.bias.detach().numpy()
    actual = outputs(model, params, input_ids=ids).logits
    np.testing.assert_allclose(actual, expected + bias, **TOLERANCE)
