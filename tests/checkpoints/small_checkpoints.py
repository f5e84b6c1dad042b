"""Small checkpoints of every lineage: arrays of numpy in, the files of its writer out.

Neither torch nor TensorFlow is needed. The names are spelled out here as the lineages
spell them; that they are right is for the parity tests to say, where real writers do
the same.
"""

import json
import re

import numpy as np
import safetensors.numpy

from tests.checkpoints import tf_bundle_files, torch_files

WIDTH, HEADS, FILTER, LAYERS, POSITIONS, WORDS = 8, 2, 12, 2, 10, 30
BERT = {
    "model_type": "bert",
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": FILTER,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
ROBERTA = BERT | {
    "model_type": "roberta",
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": POSITIONS + 2,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
GENERATION = BERT | {
    "model_type": "bert-generation",
    "bos_token_id": 2,
    "eos_token_id": 1,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": WORDS,
    "n_positions": POSITIONS,
    "n_embd": WIDTH,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "bos_token_id": WORDS - 1,
    "eos_token_id": WORDS - 1,
}
HPARAMS = {
    "n_vocab": WORDS,
    "n_ctx": POSITIONS,
    "n_embd": WIDTH,
    "n_head": HEADS,
    "n_layer": LAYERS,
}
PAIR = {
    "model_type": "encoder-decoder",
    "encoder": GENERATION,
    "decoder": GENERATION | {"is_decoder": True, "add_cross_attention": True},
    "decoder_start_token_id": 2,
    "pad_token_id": 0,
}


# Tensors, by Hugging Face's names


def draw(shapes, seed=0):
    """Random arrays f32 by name."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0.5, 0.2, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def under(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name):
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def attention(name):
    return {
        **linear(f"{name}.self.query", WIDTH, WIDTH),
        **linear(f"{name}.self.key", WIDTH, WIDTH),
        **linear(f"{name}.self.value", WIDTH, WIDTH),
        **linear(f"{name}.output.dense", WIDTH, WIDTH),
        **norm(f"{name}.output.LayerNorm"),
    }


def stack(*, crossed=False, types=0, positions=POSITIONS):
    """Shapes of BERT's trunk; without segments it is BertGeneration's."""
    shapes = {
        "embeddings.word_embeddings.weight": (WORDS, WIDTH),
        "embeddings.position_embeddings.weight": (positions, WIDTH),
        **norm("embeddings.LayerNorm"),
    }
    if types:
        shapes["embeddings.token_type_embeddings.weight"] = (types, WIDTH)
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        shapes |= attention(f"{layer}.attention")
        shapes |= attention(f"{layer}.crossattention") if crossed else {}
        shapes |= linear(f"{layer}.intermediate.dense", WIDTH, FILTER)
        shapes |= linear(f"{layer}.output.dense", FILTER, WIDTH)
        shapes |= norm(f"{layer}.output.LayerNorm")
    return shapes


def bert(seed=0):
    """BertForPreTraining, as safetensors keep it: what is tied stands there once."""
    return draw(
        {
            **under("bert.", stack(types=2)),
            **linear("bert.pooler.dense", WIDTH, WIDTH),
            "cls.predictions.bias": (WORDS,),
            **linear("cls.predictions.transform.dense", WIDTH, WIDTH),
            **norm("cls.predictions.transform.LayerNorm"),
            **linear("cls.seq_relationship", WIDTH, 2),
        },
        seed,
    )


def roberta(seed=0):
    """RobertaForMaskedLM."""
    return draw(
        {
            **under("roberta.", stack(types=1, positions=POSITIONS + 2)),
            "lm_head.bias": (WORDS,),
            **linear("lm_head.dense", WIDTH, WIDTH),
            **norm("lm_head.layer_norm"),
        },
        seed,
    )


def gpt2(seed=0):
    """GPT2LMHeadModel; its linear maps are [in, out]."""
    shapes = {"wte.weight": (WORDS, WIDTH), "wpe.weight": (POSITIONS, WIDTH)}
    for i in range(LAYERS):
        layer = {
            **norm("ln_1"),
            "attn.c_attn.weight": (WIDTH, 3 * WIDTH),
            "attn.c_attn.bias": (3 * WIDTH,),
            "attn.c_proj.weight": (WIDTH, WIDTH),
            "attn.c_proj.bias": (WIDTH,),
            **norm("ln_2"),
            "mlp.c_fc.weight": (WIDTH, 4 * WIDTH),
            "mlp.c_fc.bias": (4 * WIDTH,),
            "mlp.c_proj.weight": (4 * WIDTH, WIDTH),
            "mlp.c_proj.bias": (WIDTH,),
        }
        shapes |= under(f"h.{i}.", layer)
    return draw(under("transformer.", shapes | norm("ln_f")), seed)


def generation_encoder(seed=0):
    return draw(stack(), seed)


def generation_decoder(seed=0):
    return draw(under("bert.", stack()) | {"lm_head.bias": (WORDS,)}, seed)


def pair(seed=0):
    """EncoderDecoderModel of BertGeneration's stacks, with nothing in common."""
    decoder = under("bert.", stack(crossed=True)) | {"lm_head.bias": (WORDS,)}
    return draw(under("encoder.", stack()) | under("decoder.", decoder), seed)


def shared_pair(seed=0):
    """One whose encoder is its decoder's, on disk twice."""
    tensors = pair(seed)
    for name in stack():
        tensors[f"encoder.{name}"] = tensors[f"decoder.bert.{name}"]
    tensors["decoder.lm_head.bias"][:] = 0
    return tensors


def one_table_pair(seed=0):
    """Two stacks and one block of embeddings, as the paper's modules have them."""
    tensors = pair(seed)
    for name in stack():
        if name.startswith("embeddings."):
            tensors[f"encoder.{name}"] = tensors[f"decoder.bert.{name}"]
    tensors["decoder.lm_head.bias"][:] = 0
    return tensors


# Names and layouts of other lineages


def google_names(tensors):
    """google-research/bert's variables of Hugging Face's tensors."""
    head = {
        "cls.predictions.bias": "cls/predictions/output_bias",
        "cls.seq_relationship.weight": "cls/seq_relationship/output_weights",
        "cls.seq_relationship.bias": "cls/seq_relationship/output_bias",
    }
    variables = {}
    for name, tensor in tensors.items():
        if name.endswith("position_ids") or name.startswith("cls.predictions.decoder."):
            continue  # no weights, or tied ones
        if name in head:
            variables[head[name]] = tensor
            continue
        new = re.sub(r"\.layer\.", "/layer_", name).replace(".", "/")
        if new.endswith("_embeddings/weight"):
            variables[new.removesuffix("/weight")] = tensor
        elif "LayerNorm" in new:
            new = new.replace("/weight", "/gamma").replace("Norm/bias", "Norm/beta")
            variables[new] = tensor
        elif new.endswith("/weight"):
            kernel = new.removesuffix("weight") + "kernel"
            variables[kernel] = np.ascontiguousarray(tensor.T)
        else:
            variables[new] = tensor
    return variables


def hub_names(tensors, is_shared):
    """Variables of the paper's modules: one block of embeddings, and no head."""
    variables = {}
    for name, tensor in google_names(tensors).items():
        side, _, rest = name.partition("/")
        if (is_shared and side == "encoder") or rest.startswith("lm_head"):
            continue
        rest = rest.removeprefix("bert/") if side == "decoder" else rest
        if rest.startswith("embeddings"):
            if side == "decoder":
                variables[f"module/bert/{rest}"] = tensor
            continue
        rest = rest.removeprefix("encoder/")
        rest = rest.replace("crossattention/self", "attention/encdec")
        rest = rest.replace("crossattention/output", "attention/encdec_output")
        scope = "encoder" if is_shared else side
        variables[f"module/bert/{scope}/{rest}"] = tensor
    return variables


def tensorflow2_names(tensors):
    """Keys of official/nlp's BERT encoder, whose heads stand apart."""
    scopes = {
        "attention.self.query": "_attention_layer/_query_dense",
        "attention.self.key": "_attention_layer/_key_dense",
        "attention.self.value": "_attention_layer/_value_dense",
        "attention.output.dense": "_attention_layer/_output_dense",
        "attention.output.LayerNorm": "_attention_layer_norm",
        "intermediate.dense": "_intermediate_dense",
        "output.dense": "_output_dense",
        "output.LayerNorm": "_output_layer_norm",
    }
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    apart = (HEADS, WIDTH // HEADS)
    variables = {}
    for name, tensor in tensors.items():
        *scope, last = name.removeprefix("bert.").split(".")
        key = "model/layer_with_weights-"
        if scope[-1] in tables:
            key, last = f"{key}{tables.index(scope[-1])}", "embeddings"
        elif scope[0] == "embeddings":
            key = f"{key}3"
        elif scope[0] == "pooler":
            key = f"{key}{4 + LAYERS}"
        elif scope[0] == "encoder":
            kind = ".".join(scope[3:])
            key = f"{key}{4 + int(scope[2])}/{scopes[kind]}"
            if last == "weight" and "dense" in scopes[kind]:
                tensor = tensor.T
            if kind.startswith("attention.self"):
                tensor = tensor.reshape(*tensor.shape[:-1], *apart)
            if kind == "attention.output.dense" and last == "weight":
                tensor = tensor.reshape(*apart, WIDTH)
        else:
            continue  # the heads are in other objects
        if "LayerNorm" in scope:
            last = {"weight": "gamma", "bias": "beta"}[last]
        elif last == "weight":
            last = "kernel"
            tensor = tensor.T if scope[0] == "pooler" else tensor
        variables[f"{key}/{last}/.ATTRIBUTES/VARIABLE_VALUE"] = tensor
    return variables


def openai_names(tensors):
    """openai/gpt-2's variables of Hugging Face's tensors."""
    variables = {}
    for name, tensor in tensors.items():
        new = (
            name.replace("transformer.", "model/").replace("h.", "h").replace(".", "/")
        )
        if re.search(r"/w[tp]e/", new):
            new = new.removesuffix("/weight")
        elif "/ln_" in new:
            new = new.replace("/weight", "/g").replace("/bias", "/b")
        elif new.endswith("/weight"):
            new, tensor = new.removesuffix("eight"), tensor[None]
        else:
            new = new.removesuffix("ias")
        variables[new] = tensor
    return variables


def fairseq_names(tensors, *, old=False):
    """fairseq's state of Hugging Face's RoBERTa; old ones fuse query, key and value."""
    words = {
        "embeddings.word_embeddings.": "embed_tokens.",
        "embeddings.position_embeddings.": "embed_positions.",
        "embeddings.LayerNorm.": "emb_layer_norm.",
        "encoder.layer.": "layers.",
        "attention.self.query.": "self_attn.q_proj.",
        "attention.self.key.": "self_attn.k_proj.",
        "attention.self.value.": "self_attn.v_proj.",
        "attention.output.dense.": "self_attn.out_proj.",
        "attention.output.LayerNorm.": "self_attn_layer_norm.",
        "intermediate.dense.": "fc1.",
        "output.dense.": "fc2.",
        "output.LayerNorm.": "final_layer_norm.",
    }
    scope, state = "decoder" if old else "encoder", {}
    for name, tensor in tensors.items():
        if name.startswith("lm_head."):
            state[f"{scope}.{name}"] = tensor
        elif "token_type" not in name:
            name = name.removeprefix("roberta.")
            for word, new in words.items():
                name = name.replace(word, new)
            state[f"{scope}.sentence_encoder.{name}"] = tensor
    if old:
        for i in range(LAYERS):
            layer = f"{scope}.sentence_encoder.layers.{i}.self_attn"
            for end in ("weight", "bias"):
                parts = [state.pop(f"{layer}.{part}_proj.{end}") for part in "qkv"]
                state[f"{layer}.in_proj_{end}"] = np.concatenate(parts)
    return state


# Files. A writer takes a directory, the configuration, tensors by Hugging Face's names,
# and what may change them under the names that they have in the file.


def as_they_are(tensors):
    """No change."""


def write_config(directory, values, name="config.json"):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(json.dumps(values))


def safetensors_file(directory, values, tensors, change=as_they_are):
    write_config(directory, values)
    change(tensors)
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    return directory


def torch_file(directory, values, tensors, change=as_they_are):
    write_config(directory, values)
    change(tensors)
    torch_files.save(directory / "pytorch_model.bin", tensors)
    return directory


def in_parts(directory, tensors, stem, suffix, save):
    """Several files and an index."""
    files = {}
    for number in range(3):
        name = f"{stem}-{number + 1:05d}-of-00003.{suffix}"
        part = dict(list(tensors.items())[number::3])
        save(directory / name, part)
        files |= dict.fromkeys(part, name)
    index = {"metadata": {}, "weight_map": files}
    (directory / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return directory


def sharded_safetensors(directory, values, tensors, change=as_they_are):
    write_config(directory, values)
    change(tensors)

    def save(path, part):
        safetensors.numpy.save_file(part, path)

    return in_parts(directory, tensors, "model", "safetensors", save)


def sharded_torch(directory, values, tensors, change=as_they_are):
    """One of its parts is in the form of old."""
    write_config(directory, values)
    change(tensors)

    def save(path, part):
        torch_files.save(path, part, legacy="00002-of" in path.name)

    return in_parts(directory, tensors, "pytorch_model", "bin", save)


def write_google_config(directory, values):
    values = {k: v for k, v in values.items() if not k.endswith(("_id", "model_type"))}
    write_config(directory, values, "bert_config.json")


def google(directory, values, tensors, change=as_they_are, prefix="bert_model.ckpt"):
    """TensorFlow 1, with an optimizer's moments beside the weights."""
    write_google_config(directory, values)
    variables = google_names(tensors)
    first = next(iter(variables))
    variables |= {
        f"{first}/adam_m": np.zeros_like(variables[first]),
        f"{first}/adam_v": np.zeros_like(variables[first]),
        "global_step": np.array(20),
    }
    change(variables)
    tf_bundle_files.write(directory / prefix, variables)
    return directory


def tensorflow2(directory, values, tensors, change=as_they_are):
    write_google_config(directory, values)
    graph = np.array(b"a graph that nobody reads", object)
    variables = {"_CHECKPOINTABLE_OBJECT_GRAPH": graph, **tensorflow2_names(tensors)}
    change(variables)
    tf_bundle_files.write(directory / "bert_model.ckpt-1", variables)
    return directory


def openai(directory, values, tensors, change=as_they_are):
    write_config(directory, values, "hparams.json")
    variables = openai_names(tensors)
    change(variables)
    tf_bundle_files.write(directory / "model.ckpt", variables)
    return directory


def hub_module(directory, values, tensors, change=as_they_are):
    """Of a pair; `values` say whether its stacks are one."""
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"a graph that nobody runs")
    variables = hub_names(tensors, bool(values.get("tie_encoder_decoder")))
    change(variables)
    tf_bundle_files.write(directory / "variables" / "variables", variables, shards=2)
    return directory


def fairseq(directory, values, tensors, change=as_they_are, *, old=False):
    directory.mkdir(parents=True)
    args = torch_files.namespace(
        encoder_attention_heads=values.get("num_attention_heads"),
        activation_fn=values.get("hidden_act"),
        arch="roberta_base",
    )
    state = fairseq_names(tensors, old=old)
    change(state)
    tree = {"args": args, "model": state, "epoch": 3}
    torch_files.save(directory / "model.pt", tree, legacy=old)
    (directory / "dict.txt").write_text("13 850314647\n")
    return directory


def old_fairseq(directory, values, tensors, change=as_they_are):
    return fairseq(directory, values, tensors, change, old=True)


# Everything: kind of checkpoint -> writer, config, tensors, and what it is read as.
SHARED = PAIR | {"tie_encoder_decoder": True}
DECODER = GENERATION | {"is_decoder": True}
ALL = {
    "bert": (safetensors_file, BERT, bert, "Hugging Face bert model"),
    "bert, sharded": (sharded_safetensors, BERT, bert, "Hugging Face bert model"),
    "bert, pickled": (torch_file, BERT, bert, "Hugging Face bert model"),
    "bert, pickled in parts": (sharded_torch, BERT, bert, "Hugging Face bert model"),
    "roberta": (safetensors_file, ROBERTA, roberta, "Hugging Face roberta model"),
    "gpt2": (safetensors_file, GPT2, gpt2, "Hugging Face gpt2 model"),
    "encoder": (
        safetensors_file,
        GENERATION,
        generation_encoder,
        "Hugging Face bert-generation model",
    ),
    "decoder": (
        safetensors_file,
        DECODER,
        generation_decoder,
        "Hugging Face bert-generation model",
    ),
    "pair": (safetensors_file, PAIR, pair, "Hugging Face encoder-decoder"),
    "shared pair": (
        safetensors_file,
        SHARED,
        shared_pair,
        "Hugging Face encoder-decoder",
    ),
    "google": (google, BERT, bert, "TensorFlow 1 checkpoint of google-research/bert"),
    "tensorflow2": (
        tensorflow2,
        BERT,
        bert,
        "TensorFlow 2 checkpoint of google-research/bert",
    ),
    "openai": (openai, HPARAMS, gpt2, "TensorFlow checkpoint of openai/gpt-2"),
    "hub": (hub_module, PAIR, one_table_pair, "TF Hub module of google/bertseq2seq"),
    "shared hub": (
        hub_module,
        SHARED,
        shared_pair,
        "TF Hub module of google/bertseq2seq",
    ),
    "fairseq": (fairseq, ROBERTA, roberta, "fairseq RoBERTa"),
    "old fairseq": (old_fairseq, ROBERTA, roberta, "fairseq RoBERTa"),
}


def write(kind, directory, *, seed=0, change=None, **config):
    """Writes a checkpoint of a kind in `ALL`.

    Args:
      kind: a name in it.
      directory: where to.
      seed: of the weights.
      change: gets the tensors by Hugging Face's names, and may change them.
      **config: what the configuration says instead; None for nothing.

    Returns:
      The directory, and the tensors by Hugging Face's names.
    """
    writer, values, made, _ = ALL[kind]
    tensors = made(seed)
    if change is not None:
        change(tensors)
    values = {k: v for k, v in (values | config).items() if v is not None}
    return writer(directory, values, tensors), tensors


# Vocabularies, with as many pieces as the models have rows

LETTERS = "abcdefghijkl"


def write_word_pieces(directory):
    """BERT's: "a" begins a word, "##a" goes on with it."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    pieces += [*(f"##{letter}" for letter in LETTERS), "."]
    (directory / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return pieces


def write_byte_level(directory, kind):
    """GPT-2's or RoBERTa's: "Ġa" begins a word, "a" goes on with it."""
    merged = [f"Ġ{letter}" for letter in LETTERS]
    if kind == "gpt2":
        pieces = ["Ġ", *LETTERS, *merged, ".", "ab", "cd", "ef", "<|endoftext|>"]
    else:
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "Ġ", *LETTERS, *merged, "<mask>"]
    merges = [f"Ġ {letter}" for letter in LETTERS]
    merges += [f"{p[0]} {p[1]}" for p in ("ab", "cd", "ef") if p in pieces]
    rows = {piece: row for row, piece in enumerate(pieces)}
    (directory / "vocab.json").write_text(json.dumps(rows))
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    return pieces
