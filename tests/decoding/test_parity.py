"""Our search finds what Hugging Face finds on the same logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from tests.decoding.searches import compiled

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

START, PAD, EOS, OTHER_EOS, VOCAB_SIZE = 2, 0, 1, 5, 40
EOS_BIASES = (-4.0, 0.0, 4.0)


@pytest.fixture(scope="module")
def peer():
    """A tiny encoder-decoder whose weights are large enough to have opinions."""
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
        "initializer_range": 0.6,
    }
    torch.manual_seed(0)
    encoder = transformers.BertGenerationConfig(**sizes)
    decoder = transformers.BertGenerationConfig(
        **sizes, is_decoder=True, add_cross_attention=True
    )
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small lose by being shared out
    yield transformers.EncoderDecoderModel(config).eval()
    torch.set_num_threads(threads)


def drawn_source(rng):
    """Ids i64[B, S] and their mask, right-padded."""
    batch, longest = 4, 7
    source_ids = rng.integers(6, VOCAB_SIZE, (batch, longest))
    lengths = rng.integers(2, longest + 1, (batch, 1))
    mask = (np.arange(longest)[None] < lengths).astype(np.int64)
    return torch.tensor(source_ids * mask), torch.tensor(mask)


def drawn_config(rng, number):
    """Drawn as in test_beam_search.py: fifteen numbers meet every way of stopping."""
    num_beams = 1 + number % 5
    return GenerationConfig(
        max_new_tokens=int(rng.choice([1, 5, 12, 12])),
        num_beams=num_beams,
        num_return_sequences=int(rng.integers(1, num_beams + 1)),
        length_penalty=(0.6, 2.0, 0.0, -1.0, 1.0)[number // 3 % 5],
        early_stopping=(False, True, "never")[number % 3],
        decoder_start_token_id=START,
        eos_token_id=(EOS, (EOS, OTHER_EOS))[number % 2],
        pad_token_id=(PAD, 7)[rng.integers(2)],
    )


def peer_step(peer, source_ids, mask):
    """The peer's forward pass over whole histories as a step function.

    Its cache is the token in each slot, i32[B, C].
    """

    def forward(tokens, positions, ancestors):
        batch, beams, _ = ancestors.shape
        histories = np.zeros((batch * beams, positions.max() + 1), np.int64)
        for row in range(batch):
            for beam in range(beams):
                history = np.asarray(tokens)[row][np.asarray(ancestors)[row, beam]]
                histories[row * beams + beam, : len(history)] = history
        with torch.no_grad():
            logits = peer(
                input_ids=source_ids.repeat_interleave(beams, 0),
                attention_mask=mask.repeat_interleave(beams, 0),
                decoder_input_ids=torch.tensor(histories),
            ).logits.numpy()
        logits = logits.reshape(batch, beams, -1, VOCAB_SIZE)
        logits = logits[np.arange(batch), :, np.asarray(positions)]
        return np.moveaxis(logits, 2, 0)

    def step(tokens, ids, positions, ancestors):
        beams = ids.shape[1]
        slots = positions[:, None] * beams + jnp.arange(beams)[None]
        rows = jnp.arange(len(ids))[:, None]
        tokens = tokens.at[rows, slots].set(ids, mode="drop")
        shape = jax.ShapeDtypeStruct((VOCAB_SIZE, *ids.shape), jnp.float32)
        return jax.pure_callback(forward, shape, tokens, positions, ancestors), tokens

    return step


def peer_scores(peer, output, config):
    """The scores of `generate`; of a greedy one made from its transitions."""
    if config.num_beams > 1:
        return output.sequences_scores.numpy()
    log_probs = peer.compute_transition_scores(
        output.sequences, output.scores, normalize_logits=True
    ).numpy()
    lengths = [len(through_eos(ids, config)) for ids in output.sequences[:, 1:]]
    return np.array(
        [
            row[:n].sum() / n**config.length_penalty
            for row, n in zip(log_probs, lengths, strict=True)
        ]
    )


def through_eos(ids, config):
    """The tokens up to the first EOS; what follows differs when the pad id is 0."""
    ids = ids.tolist()
    ends = [place for place, id_ in enumerate(ids) if id_ in config.eos_ids]
    return ids[: ends[0] + 1] if ends else ids


@pytest.mark.parametrize("number", range(20))
def test_sequences_and_scores_are_the_peers(peer, number):
    rng = np.random.default_rng(number)
    source_ids, mask = drawn_source(rng)
    config = drawn_config(rng, number)
    peer_config = transformers.GenerationConfig.from_dict(
        {**config.to_dict(), "return_dict_in_generate": True, "output_scores": True}
    )
    step = peer_step(peer, source_ids, mask)
    num_slots = config.num_beams * config.num_new_tokens
    run = compiled(step, config)

    for eos_bias in EOS_BIASES:
        with torch.no_grad():
            peer.decoder.lm_head.bias.zero_()
            peer.decoder.lm_head.bias[list(config.eos_ids)] = eos_bias
        expected = peer.generate(
            input_ids=source_ids, attention_mask=mask, generation_config=peer_config
        )
        batch = len(source_ids)
        found = jax.device_get(
            run(
                np.full((batch, num_slots), -1, np.int32),
                np.full((batch,), START, np.int32),
                np.ones((batch,), bool),
            )
        )
        for ours, length, theirs in zip(
            found.sequences.reshape(-1, config.num_new_tokens),
            found.lengths.reshape(-1),
            expected.sequences[:, 1:],
            strict=True,
        ):
            assert ours[:length].tolist() == through_eos(theirs, config)
        np.testing.assert_allclose(
            found.scores.reshape(-1),
            peer_scores(peer, expected, config),
            rtol=1e-4,
            atol=1e-4,
        )


def test_the_peer_reads_our_generation_config():
    config = GenerationConfig(
        max_length=64,
        num_beams=4,
        num_return_sequences=2,
        length_penalty=0.6,
        early_stopping="never",
        decoder_start_token_id=START,
        eos_token_id=(EOS, OTHER_EOS),
        pad_token_id=PAD,
    )
    theirs = transformers.GenerationConfig.from_dict(config.to_dict())
    assert GenerationConfig.from_dict(theirs.to_dict()) == config
    for name, value in config.to_dict().items():
        assert getattr(theirs, name) == value
