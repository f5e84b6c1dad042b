"""Our models compute Hugging Face's logits to 1e-5 in f32, with any setting."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models.bert_generation import (
    BertGenerationDecoder,
    BertGenerationEncoder,
)
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import checkpoint, loading, saving

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}

# The peer's own tester sizes, an odd one, and one with more heads than layers.
SIZES = {
    "tester": dict(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=50,
    ),
    "odd": dict(
        vocab_size=101,
        hidden_size=36,
        num_hidden_layers=6,
        num_attention_heads=6,
        intermediate_size=62,
        max_position_embeddings=33,
    ),
    "wide": dict(
        vocab_size=300,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=8,
        intermediate_size=512,
        max_position_embeddings=64,
    ),
}


def ids_and_mask(seed, vocabulary, batch=5, length=11):
    """Random ids with right padding of every length, one row of it random."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, vocabulary, (batch, length))
    lengths = rng.integers(1, length + 1, batch)
    mask = np.arange(length) < lengths[:, None]
    mask[0] = rng.random(length) < 0.7
    mask[0, 0] = True
    return np.where(mask, ids, 0), mask


def run(model, variables, *arrays, method="__call__", outputs=(), **named):
    """`model.apply` compiled as a whole, with the outputs of those names asked for."""
    asked = {f"output_{name}": True for name in outputs}
    apply = jax.jit(functools.partial(model.apply, method=method, **asked))
    return apply(variables, *arrays, **named)


def peer_config(config, **more):
    values = config.to_dict()
    del values["model_type"]
    return transformers.BertGenerationConfig(**values, **more)


def randomize(module, seed):
    """Random biases and LayerNorms too, for zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def peer_params(peer, config):
    tensors = {name: t.numpy() for name, t in peer.state_dict().items()}
    return checkpoint.from_tensors(config, tensors, where="Hugging Face").params


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), **TOLERANCE)


@pytest.fixture(params=SIZES, ids=str)
def config(request):
    return BertGenerationConfig(**SIZES[request.param])


def check_encoder(config):
    peer = randomize(
        transformers.BertGenerationEncoder(
            peer_config(config, attn_implementation="eager")
        ),
        0,
    )
    ids, mask = ids_and_mask(1, config.vocab_size)
    ours = run(
        BertGenerationEncoder(config),
        {"params": peer_params(peer, config)},
        ids,
        mask,
        outputs=("attentions", "hidden_states"),
    )
    theirs = peer(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask.astype(int)),
        output_attentions=True,
        output_hidden_states=True,
    )
    close(ours.last_hidden_state, theirs.last_hidden_state)
    for one, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        close(one, other)
    for one, other in zip(ours.attentions, theirs.attentions, strict=True):
        close(one, other)


def test_encoder_states_and_attentions(config):
    check_encoder(config)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu", "tanh"])
def test_every_activation(activation):
    check_encoder(BertGenerationConfig(**SIZES["tester"], hidden_act=activation))


def test_encoder_of_word_vectors_and_positions(config):
    peer = randomize(transformers.BertGenerationEncoder(peer_config(config)), 2)
    params = peer_params(peer, config)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(2, 6, config.hidden_size)).astype(np.float32)
    positions = rng.integers(0, config.max_position_embeddings, (2, 6))
    ours = run(
        BertGenerationEncoder(config),
        {"params": params},
        inputs_embeds=vectors,
        position_ids=positions,
    )
    theirs = peer(
        inputs_embeds=torch.tensor(vectors), position_ids=torch.tensor(positions)
    )
    close(ours.last_hidden_state, theirs.last_hidden_state)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("cross", [True, False])
def test_decoder_logits(config, tied, cross):
    config = dataclasses.replace(
        config, is_decoder=True, add_cross_attention=cross, tie_word_embeddings=tied
    )
    peer = randomize(
        transformers.BertGenerationDecoder(
            peer_config(config, attn_implementation="eager")
        ),
        4,
    )
    ids, mask = ids_and_mask(5, config.vocab_size)
    mask[:, 0] = True  # rows that see nothing are defined otherwise, on purpose
    source = {}
    if cross:
        states = np.random.default_rng(6).normal(size=(5, 9, config.hidden_size))
        source = dict(
            encoder_hidden_states=states.astype(np.float32),
            encoder_attention_mask=ids_and_mask(7, 9, 5, 9)[1],
        )
    ours = run(
        BertGenerationDecoder(config),
        {"params": peer_params(peer, config)},
        ids,
        mask,
        outputs=("attentions",),
        **source,
    )
    theirs = peer(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask.astype(int)),
        output_attentions=True,
        use_cache=False,
        **{name: torch.tensor(np.asarray(x) * 1) for name, x in source.items()},
    )
    close(ours.logits, theirs.logits)
    for one, other in zip(ours.attentions, theirs.attentions, strict=True):
        close(one, other)
    if cross:
        for one, other in zip(
            ours.cross_attentions, theirs.cross_attentions, strict=True
        ):
            close(one, other)


# The peer is going to call it `cache`.
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
def test_decoder_cache_gives_the_logits_of_the_peers_cache(config):
    config = dataclasses.replace(config, is_decoder=True)
    peer = randomize(transformers.BertGenerationDecoder(peer_config(config)), 8)
    model = BertGenerationDecoder(config)
    variables = {"params": peer_params(peer, config)}
    ids, _ = ids_and_mask(9, config.vocab_size)
    cache = model.apply(variables, 5, 11, method="init_cache")
    past = None
    for first, last in ((0, 4), (4, 5), (5, 11)):
        ours = run(model, variables, ids[:, first:last], past_key_values=cache)
        theirs = peer(
            torch.tensor(ids[:, first:last]), past_key_values=past, use_cache=True
        )
        cache, past = ours.past_key_values, theirs.past_key_values
        close(ours.logits, theirs.logits)


def paired(config, width=None, share=False):
    """An encoder-decoder of ours and of Hugging Face with the same random weights."""
    encoder = config
    if width:
        encoder = dataclasses.replace(config, hidden_size=width, num_attention_heads=4)
    pair = EncoderDecoderConfig.from_stacks(
        encoder, config, share_encoder_decoder=share, decoder_start_token_id=2
    )
    peer = transformers.EncoderDecoderModel(
        encoder=transformers.BertGenerationEncoder(peer_config(pair.encoder)),
        decoder=transformers.BertGenerationDecoder(peer_config(pair.decoder)),
    )
    peer.config.decoder_start_token_id = 2
    peer.config.pad_token_id = 0
    randomize(peer, 10)
    if share:
        decoder = peer.decoder.bert.state_dict()
        names = peer.encoder.state_dict().keys()
        peer.encoder.load_state_dict({name: decoder[name] for name in names})
    return EncoderDecoder(pair), peer, {"params": peer_params(peer, pair)}


@pytest.mark.parametrize(
    ("width", "share"), [(None, False), (None, True), (60, False)], ids=str
)
def test_encoder_decoder_logits(config, width, share):
    model, peer, variables = paired(config, width, share)
    assert ("encoder" in variables["params"]) == (not share)
    ids, mask = ids_and_mask(11, config.vocab_size)
    targets = ids_and_mask(12, config.vocab_size, 5, 8)[0]
    ours = run(model, variables, ids, mask, targets)
    theirs = peer(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask.astype(int)),
        decoder_input_ids=torch.tensor(targets),
    )
    close(ours.logits, theirs.logits)
    close(ours.encoder_last_hidden_state, theirs.encoder_last_hidden_state)

    # The same tokens one by one through a cache, over a source encoded once.
    memory = ours.encoder_last_hidden_state
    cache = model.apply(variables, memory, 8, method="init_cache")
    step = jax.jit(
        lambda ids, cache: model.apply(
            variables, ids, None, mask, past_key_values=cache, method="decode"
        )
    )
    for t in range(8):
        out = step(jnp.asarray(targets[:, t : t + 1]), cache)
        cache = out.past_key_values
        close(out.logits[:, 0], theirs.logits[:, t])


@pytest.mark.parametrize("share", [False, True])
def test_what_we_save_the_peer_loads(tmp_path, config, share):
    model, _, variables = paired(config, share=share)
    saving.save(tmp_path, model.config, variables["params"])
    peer, report = transformers.EncoderDecoderModel.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    peer.eval()
    ids, mask = ids_and_mask(13, config.vocab_size)
    ours = run(model, variables, ids, mask, ids)
    theirs = peer(
        torch.tensor(ids),
        attention_mask=torch.tensor(mask.astype(int)),
        decoder_input_ids=torch.tensor(ids),
    )
    close(ours.logits, theirs.logits)


@pytest.mark.parametrize("kind", ["encoder", "decoder", "pair"])
def test_what_the_peer_saves_we_load(tmp_path, kind):
    config = BertGenerationConfig(**SIZES["tester"])
    if kind == "encoder":
        peer = transformers.BertGenerationEncoder(peer_config(config))
    elif kind == "decoder":
        config = dataclasses.replace(config, is_decoder=True, tie_word_embeddings=False)
        peer = transformers.BertGenerationDecoder(peer_config(config))
    else:
        model, peer, _ = paired(config, width=60)
        config = model.config
    randomize(peer, 15).save_pretrained(tmp_path)
    model, params = loading.from_pretrained(tmp_path)
    if kind != "pair":  # of a pair, Hugging Face does not write every id
        assert model.config == config

    ids, mask = ids_and_mask(14, SIZES["tester"]["vocab_size"])
    mask[:, 0] = True
    inputs = (ids, mask, ids) if kind == "pair" else (ids, mask)
    ours = run(model, {"params": params}, *inputs)
    theirs = peer(*(torch.tensor(x * 1) for x in inputs))
    output = "last_hidden_state" if kind == "encoder" else "logits"
    close(getattr(ours, output), getattr(theirs, output))
