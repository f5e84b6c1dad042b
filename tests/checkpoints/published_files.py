"""Checkpoints as their real writers leave them, at small sizes with the real names.

For parity tests: torch, transformers and TensorFlow write. The weights are random, for
none can be had here; names, layouts, containers and vocabularies are the lineages'.
A writer takes a peer's model and a directory, and returns what to open. How a lineage
names its tensors is spelled out in `small_checkpoints`.
"""

import argparse
import functools
import json

import pytest

from tests.checkpoints import small_checkpoints

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WIDTH, HEADS, FILTER, LAYERS, POSITIONS, WORDS = 64, 1, 48, 2, 20, 300
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,  # of 64, as in all that is published
    "intermediate_size": FILTER,
}


def randomized(peer, seed=0):
    """Random biases and LayerNorms too, for zeros and ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
            if parameter.ndim == 1:
                parameter.add_(0.5)
    return peer.eval()


@functools.cache
def bert():
    config = transformers.BertConfig(**SIZES, max_position_embeddings=POSITIONS)
    return randomized(transformers.BertForPreTraining(config))


@functools.cache
def roberta():
    config = transformers.RobertaConfig(
        **SIZES,
        max_position_embeddings=POSITIONS + 2,
        pad_token_id=1,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    peer = randomized(transformers.RobertaForMaskedLM(config))
    with torch.no_grad():  # fairseq has no such table
        peer.roberta.embeddings.token_type_embeddings.weight.zero_()
    return peer


@functools.cache
def gpt2():
    config = transformers.GPT2Config(
        vocab_size=WORDS,
        n_positions=POSITIONS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=WORDS - 1,
        eos_token_id=WORDS - 1,
    )
    return randomized(transformers.GPT2LMHeadModel(config))


def generation_pair():
    stack = {**SIZES, "max_position_embeddings": POSITIONS}
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.BertGenerationConfig(**stack),
        transformers.BertGenerationConfig(**stack),
    )
    config.decoder_start_token_id, config.pad_token_id = 2, 0
    return randomized(transformers.EncoderDecoderModel(config))


@functools.cache
def pair():
    return generation_pair()


@functools.cache
def one_table():
    """Two stacks and one block of embeddings, as bert24 modules have them."""
    peer = generation_pair()
    with torch.no_grad():
        decoder = peer.decoder.bert.embeddings
        peer.encoder.embeddings.load_state_dict(decoder.state_dict())
        peer.decoder.lm_head.bias.zero_()
    return peer


@functools.cache
def shared():
    """All of the encoder is the decoder's, as in roberta24 modules."""
    peer = generation_pair()
    with torch.no_grad():
        peer.encoder.load_state_dict(peer.decoder.bert.state_dict(), strict=False)
        peer.decoder.lm_head.bias.zero_()
    peer.config.tie_encoder_decoder = True
    return peer


def tensors_of(peer):
    return {name: t.detach().numpy() for name, t in peer.state_dict().items()}


# Writers: (peer, directory) -> what to open


def safetensors(peer, directory):
    peer.save_pretrained(directory)
    return directory


def sharded(peer, directory):
    peer.save_pretrained(directory, max_shard_size="30KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 2
    return directory


def pickled(peer, directory):
    peer.config.save_pretrained(directory)
    torch.save(peer.state_dict(), directory / "pytorch_model.bin")
    return directory


def pickled_in_shards(peer, directory):
    peer.config.save_pretrained(directory)
    tensors = list(peer.state_dict().items())
    files = {}
    for number in range(3):
        name = f"pytorch_model-{number + 1:05d}-of-00003.bin"
        torch.save(dict(tensors[number::3]), directory / name)
        files |= {tensor: name for tensor, _ in tensors[number::3]}
    index = {"metadata": {}, "weight_map": files}
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return directory


def base_model_with_old_names(peer, directory):
    """Without the head, and as files of 2018 spell LayerNorm."""
    base = peer.base_model
    base.config.save_pretrained(directory)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in base.state_dict().items()
    }
    torch.save(
        old, directory / "pytorch_model.bin", _use_new_zipfile_serialization=False
    )
    return directory


def write_variables(variables, prefix, partitions=1):
    """By TensorFlow 1's Saver, with Adam's slots and large tables in parts."""
    tensorflow = pytest.importorskip("tensorflow")
    v1 = tensorflow.compat.v1

    def part_of(value):
        def rows(shape, dtype=None, partition_info=None):
            first = partition_info.var_offset[0] if partition_info else 0
            part = value[first : first + shape[0]] if shape else value
            return tensorflow.constant(part, dtype)

        return rows

    with tensorflow.Graph().as_default():
        for name, value in variables.items():
            split = partitions if value.ndim == 2 and "embeddings" in name else 1
            v1.get_variable(
                name,
                value.shape,
                initializer=part_of(value),
                partitioner=v1.fixed_size_partitioner(split) if split > 1 else None,
            )
        first = next(iter(variables))
        for slot in (f"{first}/adam_m", f"{first}/adam_v"):
            v1.get_variable(slot, variables[first].shape)
        v1.get_variable("global_step", (), tensorflow.int64, v1.zeros_initializer())
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver(sharded=partitions > 1).save(session, str(prefix))


def google(peer, directory):
    config = {
        name: value
        for name, value in peer.config.to_dict().items()
        if name in (*SIZES, "hidden_act", "max_position_embeddings", "type_vocab_size")
    }
    (directory / "bert_config.json").write_text(json.dumps(config))
    variables = small_checkpoints.google_names(tensors_of(peer))
    write_variables(variables, directory / "bert_model.ckpt", partitions=3)
    return directory


def tensorflow2(peer, directory):
    """Object-based, with heads apart, as official/nlp keeps them."""
    tensorflow = pytest.importorskip("tensorflow")
    google(peer, directory)
    for path in directory.glob("bert_model.*"):
        path.unlink()
    (directory / "checkpoint").unlink()
    tensors = tensors_of(peer.bert)
    heads = (HEADS, WIDTH // HEADS)

    def node(**values):
        made = tensorflow.Module()
        for name, value in values.items():
            if not isinstance(value, tensorflow.Module):
                value = tensorflow.Variable(value)
            setattr(made, name, value)
        return made

    def dense(name, inputs=None, outputs=None):
        weight, bias = tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]
        shape = (*(inputs or weight.shape[:1]), *(outputs or weight.shape[1:]))
        return node(kernel=weight.reshape(shape), bias=bias.reshape(outputs or (-1,)))

    def norm(name):
        return node(gamma=tensors[f"{name}.weight"], beta=tensors[f"{name}.bias"])

    layers = [
        node(embeddings=tensors[f"embeddings.{kind}_embeddings.weight"])
        for kind in ("word", "position", "token_type")
    ] + [norm("embeddings.LayerNorm")]
    for i in range(LAYERS):
        name = f"encoder.layer.{i}"
        attention = node(
            _query_dense=dense(f"{name}.attention.self.query", outputs=heads),
            _key_dense=dense(f"{name}.attention.self.key", outputs=heads),
            _value_dense=dense(f"{name}.attention.self.value", outputs=heads),
            _output_dense=dense(f"{name}.attention.output.dense", inputs=heads),
        )
        layers.append(
            node(
                _attention_layer=attention,
                _attention_layer_norm=norm(f"{name}.attention.output.LayerNorm"),
                _intermediate_dense=dense(f"{name}.intermediate.dense"),
                _output_dense=dense(f"{name}.output.dense"),
                _output_layer_norm=norm(f"{name}.output.LayerNorm"),
            )
        )
    layers.append(dense("pooler.dense"))
    model = tensorflow.Module()
    for number, layer in enumerate(layers):
        setattr(model, f"layer_with_weights-{number}", layer)
    tensorflow.train.Checkpoint(model=model).save(str(directory / "bert_model.ckpt"))
    return directory


def openai(peer, directory):
    config = peer.config
    hparams = {
        "n_vocab": WORDS,
        "n_ctx": POSITIONS,
        "n_embd": WIDTH,
        "n_head": HEADS,
        "n_layer": LAYERS,
    }
    assert config.layer_norm_epsilon == 1e-5
    (directory / "hparams.json").write_text(json.dumps(hparams))
    tensors = small_checkpoints.under("transformer.", tensors_of(peer.transformer))
    variables = small_checkpoints.openai_names(tensors)
    write_variables(variables, directory / "model.ckpt")
    return directory


def hub_module(peer, directory):
    is_shared = getattr(peer.config, "tie_encoder_decoder", False)
    variables = small_checkpoints.hub_names(tensors_of(peer), is_shared)
    (directory / "variables").mkdir()
    (directory / "saved_model.pb").write_bytes(b"a graph that nobody runs")
    write_variables(variables, directory / "variables" / "variables", partitions=2)
    return directory


def fairseq(peer, directory, *, old=False):
    state = small_checkpoints.fairseq_names(tensors_of(peer), old=old)
    state = {name: torch.tensor(tensor) for name, tensor in state.items()}
    args = argparse.Namespace(
        encoder_attention_heads=HEADS, activation_fn="gelu", arch="roberta_base"
    )
    history = [{"num_updates": 3, "loss": 1.5}]
    torch.save(
        {"args": args, "model": state, "optimizer_history": history},
        directory / "model.pt",
    )
    (directory / "dict.txt").write_text("13 850314647\n")
    return directory


def old_fairseq(peer, directory):
    return fairseq(peer, directory, old=True)
