"""A GPT-2 with published outputs: its logits, and what it writes, greedy and beams."""

import json

import jax
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import parameter_maps


@pytest.fixture
def golden(data_dir):
    """The directory, the model and its params; names are those of the trunk alone."""
    directory = data_dir / "checkpoints" / "tiny_random_gpt2"
    values = json.loads((directory / "config.json").read_text())
    config = BertGenerationConfig.from_dict(values)
    with np.load(directory / "model.npz") as tensors:
        params = {
            weight.path: weight.from_foreign(
                tensors[weight.name.removeprefix("transformer.")]
            )
            for weight in parameter_maps.gpt2(config)
            if weight.name != "lm_head.weight"
        }
        taken = {w.name for w in parameter_maps.gpt2(config)} - {"lm_head.weight"}
        assert {f"transformer.{name}" for name in tensors} == taken
    return directory, BertGenerationDecoder(config), trees.nested(params)


def published(directory):
    return json.loads((directory / "golden_generation.json").read_text())


def test_logits(golden):
    directory, model, params = golden
    run = jax.jit(model.apply)
    prompts = {
        f"{kind}_prompt_{number}": ids
        for kind in ("greedy", "beam")
        for number, ids in enumerate(published(directory)[kind]["input_ids"])
    }
    with np.load(directory / "golden_logits.npz") as logits:
        assert len(logits) == 3
        for name in logits:
            found = run({"params": params}, np.array([prompts[name]])).logits[0]
            np.testing.assert_allclose(found, logits[name], rtol=1e-5, atol=1e-5)


def generate(golden, case, **settings):
    """What follows the prompts: sequences [B, T] and scores f32[B]."""
    _, model, params = golden
    prompts = np.array(case["input_ids"])
    whole = np.ones_like(prompts, bool)
    steps = case["max_length"] - prompts.shape[1]
    config = GenerationConfig(max_new_tokens=steps, **settings)
    found = generator.generate(model, params, prompts, whole, config)
    assert found.sequences.shape[1:] == (1, steps)
    text = np.hstack([prompts, found.sequences[:, 0]])
    assert text.tolist() == case["expected"]
    return found.scores[:, 0]


def test_greedy(golden):
    generate(golden, published(golden[0])["greedy"])


def test_beams(golden):
    case = published(golden[0])["beam"]
    assert case["eos_token_id"] == golden[1].config.eos_token_id
    scores = generate(
        golden,
        case,
        num_beams=case["num_beams"],
        length_penalty=case["length_penalty"],
    )
    np.testing.assert_allclose(scores, np.array(case["sum_logprob"]) / 8, rtol=1e-5)
