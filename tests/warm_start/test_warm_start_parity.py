"""Tests that a warm encoder computes what Hugging Face's encoder computes."""

import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.warm_start import vocabulary_matching
from bertgen_jax.warm_start.warm_start import warm_start
from tests.fixtures import vocabularies
from tests.fixtures.checkpoints import FILTER, HEADS, LAYERS, POSITIONS, WIDTH


@pytest.mark.parity
@pytest.mark.parametrize("headed", [False, True])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_encoder_computes_what_hugging_faces_does(
    tmp_path, sentencepiece, kind, headed
):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if kind == "bert":
        pieces = vocabularies.write_word_pieces(tmp_path)
    else:
        pieces = vocabularies.write_byte_level(tmp_path, kind)
    sizes = {
        "vocab_size": len(pieces),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FILTER,
        "layer_norm_eps": {"bert": 1e-12, "roberta": 1e-5}[kind],
        "initializer_range": 0.5,
    }
    if kind == "bert":
        settings = transformers.BertConfig(max_position_embeddings=POSITIONS, **sizes)
        classes = transformers.BertModel, transformers.BertForPreTraining
        # Version 5 writes tokenizer.json in place of vocab.txt.
        transformers.BertTokenizer(
            str(tmp_path / "vocab.txt"), do_lower_case=False
        ).save_pretrained(tmp_path)
        (tmp_path / "vocab.txt").unlink()
        assert (tmp_path / "tokenizer.json").exists()
    else:
        settings = transformers.RobertaConfig(
            max_position_embeddings=POSITIONS + 2, pad_token_id=1, **sizes
        )
        classes = transformers.RobertaModel, transformers.RobertaForMaskedLM
    torch.manual_seed(0)
    hugging_face = classes[headed](settings).eval()
    with torch.no_grad():
        for parameter in hugging_face.parameters():  # biases and LayerNorms, too
            parameter.normal_(0, 0.5)
    hugging_face.save_pretrained(tmp_path)

    model, params = warm_start(
        f"{kind}share", encoder=tmp_path, tokenizer=sentencepiece
    )
    rng = np.random.default_rng(0)
    match = vocabulary_matching.match(
        vocabulary_matching.of_tokenizer(sentencepiece),
        vocabulary_matching.of_tokenizer(AutoTokenizer.from_pretrained(tmp_path)),
        sentencepiece.vocab_size,
    )
    matched = np.flatnonzero(match.rows >= 0)
    matched = matched[matched != sentencepiece.special_ids.pad]
    ids = rng.choice(matched, (4, POSITIONS))
    mask = np.arange(POSITIONS) < np.array([POSITIONS, 7, 3, 1])[:, None]
    ids[~mask] = sentencepiece.special_ids.pad

    encoder = getattr(hugging_face, kind) if headed else hugging_face
    with torch.no_grad():
        expected = encoder(
            torch.tensor(match.rows[ids]), attention_mask=torch.tensor(mask)
        ).last_hidden_state.numpy()
    out = model.apply(
        {"params": params}, jnp.asarray(ids), jnp.asarray(mask), method="encode"
    )
    np.testing.assert_allclose(
        np.asarray(out.last_hidden_state)[mask], expected[mask], atol=1e-5, rtol=1e-5
    )
