"""GPT-2 decoders compute and generate what Hugging Face does, alone and after BERT."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator as generator_lib
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import EncoderDecoderConfig, PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.pretrained import loading, parameter_maps, saving

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}

# A usual one, an odd one with an inner width of its own, and a wide one.
SIZES = {
    "tester": dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=50),
    "odd": dict(
        vocab_size=101, n_embd=36, n_layer=6, n_head=6, n_positions=33, n_inner=62
    ),
    "wide": dict(vocab_size=300, n_embd=128, n_layer=3, n_head=8, n_positions=64),
}
EOT = 98  # begins, ends and pads


@pytest.fixture(params=SIZES, ids=str)
def size(request):
    return {"bos_token_id": EOT, "eos_token_id": EOT, **SIZES[request.param]}


def randomize(module, seed):
    """Random biases and LayerNorms too, for zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def gpt2(size, seed, **more):
    """A GPT-2 of Hugging Face, and ours with its weights: config and variables."""
    peer = transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, **more))
    config = BertGenerationConfig.from_dict(peer.config.to_dict())
    return randomize(peer, seed), config, {"params": params_of(peer, config)}


def params_of(peer, config):
    tensors = {name: tensor.numpy() for name, tensor in peer.state_dict().items()}
    weights = parameter_maps.weights_of(config)
    assert {weight.name for weight in weights} == tensors.keys()
    return trees.nested({w.path: w.from_foreign(tensors[w.name]) for w in weights})


def run(model, variables, *arrays, **named):
    return jax.jit(model.apply)(variables, *arrays, **named)


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), **TOLERANCE)


def ids_and_mask(seed, vocabulary, batch=5, length=11, left=False):
    """Random ids, and a mask of rows of every length, padded on one side."""
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < rng.integers(2, length + 1, (batch, 1))
    ids = rng.integers(0, min(vocabulary, EOT), (batch, length))
    return ids, mask[:, ::-1] if left else mask


def tensors(*arrays):
    """As torch has them; masks as integers."""
    return [torch.tensor(np.ascontiguousarray(array) * 1) for array in arrays]


@pytest.mark.parametrize("tied", [True, False])
def test_logits_states_and_attentions(size, tied):
    peer, config, variables = gpt2(
        size, 0, tie_word_embeddings=tied, attn_implementation="eager"
    )
    ids, _ = ids_and_mask(1, config.vocab_size)
    model = BertGenerationDecoder(config)
    everything = {"output_hidden_states": True, "output_attentions": True}
    apply = jax.jit(functools.partial(model.apply, **everything))
    ours, theirs = apply(variables, ids), peer(*tensors(ids), **everything)
    close(ours.logits, theirs.logits)
    for one, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        close(one, other)
    for one, other in zip(ours.attentions, theirs.attentions, strict=True):
        close(one, other)


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "gelu_pytorch_tanh"])
def test_every_activation(activation):
    peer, config, variables = gpt2(SIZES["tester"], 2, activation_function=activation)
    ids, _ = ids_and_mask(3, config.vocab_size)
    ours = run(BertGenerationDecoder(config), variables, ids)
    close(ours.logits, peer(*tensors(ids)).logits)


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_padding_and_positions(size, left):
    peer, config, variables = gpt2(size, 4)
    ids, mask = ids_and_mask(5, config.vocab_size, left=left)
    positions = np.maximum(mask.cumsum(axis=1) - 1, 0)
    ours = run(BertGenerationDecoder(config), variables, ids, mask, positions)
    ids, keep, positions = tensors(ids, mask, positions)
    theirs = peer(ids, attention_mask=keep, position_ids=positions)
    # What padding sees is defined otherwise, on purpose.
    close(ours.logits[mask], theirs.logits[torch.tensor(mask.copy())])


# The peer is going to call it `cache`.
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
def test_a_cache_in_steps(size):
    peer, config, variables = gpt2(size, 6)
    ids, _ = ids_and_mask(7, config.vocab_size)
    model = BertGenerationDecoder(config)
    cache, past = model.apply(variables, 5, 11, method="init_cache"), None
    for first, last in ((0, 4), (4, 5), (5, 11)):
        ours = run(model, variables, ids[:, first:last], past_key_values=cache)
        (part,) = tensors(ids[:, first:last])
        theirs = peer(part, past_key_values=past, use_cache=True)
        cache, past = ours.past_key_values, theirs.past_key_values
        close(ours.logits, theirs.logits)


# --- after an encoder ------------------------------------------------------------


def pair(size, width=None, share_embeddings=False):
    """A BERT-like encoder before a GPT-2, in our terms, and random params."""
    decoder = BertGenerationConfig.from_dict({"model_type": "gpt2", **size})
    encoder = dataclasses.replace(
        decoder, pre_layer_norm=False, hidden_act="gelu", pad_token_id=0
    )
    if width:
        encoder = dataclasses.replace(
            encoder, hidden_size=width, num_attention_heads=4, vocab_size=70
        )
    return EncoderDecoderConfig.from_stacks(
        encoder,
        decoder,
        share_embeddings=share_embeddings,
        decoder_start_token_id=EOT,
        pad_token_id=EOT,
    )


def saved(directory, config, draw_params):
    """What we save of such a pair, as Hugging Face loads it, and our own."""
    params = draw_params(config, seed=1, stddev=0.15)
    saving.save(directory, config, params)
    peer, report = transformers.EncoderDecoderModel.from_pretrained(
        directory, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert isinstance(peer.decoder, transformers.GPT2LMHeadModel)
    return peer.eval(), EncoderDecoder(config), {"params": params}


@pytest.mark.parametrize(
    ("width", "share"), [(None, False), (None, True), (60, False)], ids=str
)
def test_what_we_save_of_a_pair(tmp_path, size, draw_params, width, share):
    config = pair(size, width, share)
    peer, model, variables = saved(tmp_path, config, draw_params)
    assert hasattr(peer, "enc_to_dec_proj") == bool(width)
    ids, mask = ids_and_mask(8, config.encoder.vocab_size)
    targets, _ = ids_and_mask(9, config.decoder.vocab_size, length=7)
    ours = run(model, variables, ids, mask, targets)
    source, keep, inputs = tensors(ids, mask, targets)
    theirs = peer(source, attention_mask=keep, decoder_input_ids=inputs)
    close(ours.logits, theirs.logits)
    close(ours.encoder_last_hidden_state, theirs.encoder_last_hidden_state)


def test_what_the_peer_saves_of_bert_and_gpt2(tmp_path, size):
    """With an id for padding that BERT does not have."""
    peer = transformers.EncoderDecoderModel(
        encoder=transformers.BertModel(
            transformers.BertConfig(
                vocab_size=70,
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=37,
                max_position_embeddings=30,
            )
        ),
        decoder=gpt2(size, 15, add_cross_attention=True)[0],
    )
    peer.config.decoder_start_token_id = peer.config.pad_token_id = EOT
    randomize(peer, 16).save_pretrained(tmp_path)
    model, params = loading.from_pretrained(tmp_path)
    assert model.config.start_token_id == EOT
    ids, mask = ids_and_mask(17, 70)
    targets, _ = ids_and_mask(18, 99, length=7)
    ours = run(model, {"params": params}, ids, mask, targets)
    source, keep, inputs = tensors(ids, mask, targets)
    theirs = peer(source, attention_mask=keep, decoder_input_ids=inputs)
    close(ours.logits, theirs.logits)


def compare_generated(found, theirs, skip):
    """Sequences row by row, and their scores where Hugging Face has any."""
    sequences = theirs.sequences.numpy()[:, skip:]
    ours = np.asarray(found.sequences[:, 0, : sequences.shape[1]])
    np.testing.assert_array_equal(ours, sequences)
    if getattr(theirs, "sequences_scores", None) is not None:
        close(found.scores[:, 0], theirs.sequences_scores)


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("width", [None, 60])
def test_what_a_pair_generates(tmp_path, size, draw_params, width, beams):
    config = pair(size, width)
    peer, model, variables = saved(tmp_path, config, draw_params)
    ids, mask = ids_and_mask(10, config.encoder.vocab_size)
    settings = GenerationConfig(max_new_tokens=9, num_beams=beams)
    found = generator_lib.generate(model, variables["params"], ids, mask, settings)
    source, keep = tensors(ids, mask)
    theirs = peer.generate(
        source,
        attention_mask=keep,
        max_new_tokens=9,
        num_beams=beams,
        do_sample=False,
        decoder_start_token_id=EOT,
        eos_token_id=EOT,
        pad_token_id=EOT,
        return_dict_in_generate=True,
        output_scores=True,
    )
    compare_generated(found, theirs, skip=1)


# --- after a prefix --------------------------------------------------------------


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_a_prefix_is_what_stands_before_the_target(size, left):
    peer, config, variables = gpt2(size, 11)
    config = PrefixLanguageModelConfig(config, EOT)
    ids, mask = ids_and_mask(12, 99, left=left)
    targets, _ = ids_and_mask(13, 99, length=7)
    params = {"decoder": variables["params"]}
    ours = run(PrefixLanguageModel(config), {"params": params}, ids, mask, targets)
    keep = np.hstack([mask, np.ones_like(targets, bool)])
    text, keep, positions = tensors(
        np.hstack([ids, targets]), keep, np.maximum(keep.cumsum(axis=1) - 1, 0)
    )
    theirs = peer(text, attention_mask=keep, position_ids=positions)
    close(ours.logits, theirs.logits[:, ids.shape[1] :])


@pytest.mark.parametrize("beams", [1, 4])
def test_what_we_save_of_a_prefix_model_generates(tmp_path, size, draw_params, beams):
    """The peer, which knows no prefix, continues the source and the start token."""
    decoder = BertGenerationConfig.from_dict({"model_type": "gpt2", **size})
    config = PrefixLanguageModelConfig(decoder, EOT)
    params = draw_params(config, seed=2, stddev=0.15)
    saving.save(tmp_path, config, params)
    peer, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert isinstance(peer, transformers.GPT2LMHeadModel)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    peer.save_pretrained(tmp_path / "again")
    again = PrefixLanguageModelConfig.from_pretrained(tmp_path / "again")
    assert again.decoder == config.decoder

    ids, mask = ids_and_mask(14, 99, left=True)
    settings = GenerationConfig(max_new_tokens=9, num_beams=beams)
    model = PrefixLanguageModel(config)
    found = generator_lib.generate(model, params, ids, mask, settings)
    start = np.full((5, 1), EOT)
    text, keep = tensors(np.hstack([ids, start]), np.hstack([mask, start > 0]))
    theirs = peer.eval().generate(
        text,
        attention_mask=keep,
        max_new_tokens=9,
        num_beams=beams,
        do_sample=False,
        eos_token_id=EOT,
        pad_token_id=EOT,
        return_dict_in_generate=True,
        output_scores=True,
    )
    compare_generated(found, theirs, skip=text.shape[1])
    # So does ours, where it is only a decoder.
    alone = generator_lib.generate(
        BertGenerationDecoder(decoder),
        params["decoder"],
        jnp.asarray(text.numpy()),
        jnp.asarray(keep.numpy() > 0),
        settings,
    )
    np.testing.assert_array_equal(alone.sequences, found.sequences)
