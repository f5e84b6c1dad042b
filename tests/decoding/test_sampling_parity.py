"""What may be drawn is what Hugging Face's warpers leave."""

import jax
import numpy as np
import pytest

from bertgen_jax.decoding import sampling
from bertgen_jax.decoding.config import GenerationConfig

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("seed", range(40))
def test_the_tokens_that_may_be_drawn_are_the_peers(seed):
    rng = np.random.default_rng(seed)
    batch, rows, size = 3, 2, 60
    settings = GenerationConfig(
        do_sample=True,
        temperature=float(rng.choice([0.5, 1.0, 1.7])),
        top_k=int(rng.choice([0, 1, 2, 5, 50, 100])),
        top_p=float(rng.choice([0.01, 0.3, 0.9, 1.0])),
        num_beams=int(rng.choice([1, 3])),
        eos_token_id=(1, (1, 5), None)[rng.integers(3)],
    )
    scores = rng.normal(0, 2, (batch, rows, size)).astype(np.float32)
    scores[rng.random(scores.shape) < rng.choice([0, 0.1])] = -np.inf  # banned before
    shortlist = jax.jit(sampling.shortlist, static_argnums=1)
    values, ids = map(np.asarray, shortlist(np.moveaxis(scores, 2, 0), settings))
    found = np.full_like(scores, -np.inf)
    np.put_along_axis(found, ids, values, axis=2)

    wanted = torch.tensor(scores.reshape(-1, size))
    for warper in peer_warpers(settings):
        wanted = warper(None, wanted)
    wanted = wanted.reshape(scores.shape).numpy()
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def peer_warpers(settings):
    """The peer's, in the order of its `generate`."""
    of = transformers
    least = 1 if settings.num_beams == 1 else max(2, len(settings.eos_ids) + 1)
    if settings.temperature != 1:
        yield of.TemperatureLogitsWarper(settings.temperature)
    if settings.top_k:
        yield of.TopKLogitsWarper(settings.top_k, min_tokens_to_keep=least)
    if settings.top_p < 1:
        yield of.TopPLogitsWarper(settings.top_p, min_tokens_to_keep=least)
