"""Checkpoints of every format are recognised by their files; what is odd is refused."""

import json
import shutil
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax import trees
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.errors import CheckpointError
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.pretrained import checkpoint, name_maps, saving
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.pretrained.formats.own_runs import MODEL_CONFIG
from tests.fixtures import checkpoints, tf_bundle_files, torch_files

ARCHITECTURES = {
    "gpt2": "decoder",
    "openai": "decoder",
    "decoder": "decoder",
    "pair": "encoder-decoder",
    "shared pair": "encoder-decoder",
    "hub": "encoder-decoder",
    "shared hub": "encoder-decoder",
}
kinds = pytest.mark.parametrize("kind", checkpoints.ALL)


def load(name):
    return checkpoint.load(detection.open_checkpoint(name))


def arrays_of(found):
    return {path: array.values for path, array in found.arrays.items()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for path, values in expected.items():
        np.testing.assert_array_equal(found[path], values, err_msg=path)


# Recognition


@kinds
def test_a_directory_is_recognised(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    found = load(directory)
    assert found.format == checkpoints.ALL[kind][-1]
    assert found.path == directory
    assert found.file.is_file()
    assert found.architecture == ARCHITECTURES.get(kind, "encoder")
    shapes = {w.path: w.shape for w in name_maps.weights_of(found.config) if w.path}
    assert {p: a.values.shape for p, a in found.arrays.items()} == shapes


@kinds
def test_every_tensor_is_taken_or_listed_once(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    source = detection.open_checkpoint(directory)
    found = checkpoint.load(source)
    taken = {t for array in found.arrays.values() for t in array.tensors}
    left = [unused.tensor for unused in found.unused if not unused.rows]
    assert sorted([*taken, *left]) == sorted(source.tensors.tensors)
    assert {unused.tensor for unused in found.unused if unused.rows} <= taken
    for unused in found.unused:
        assert unused.shape == source.tensors.tensors[unused.tensor].shape
        assert unused.reason


SAME = {
    "bert, sharded": "bert",
    "bert, pickled": "bert",
    "bert, pickled in parts": "bert",
    "google": "bert",
    "tensorflow2": "bert",
    "openai": "gpt2",
    "shared hub": "shared pair",
    "old fairseq": "fairseq",
}


@pytest.mark.parametrize(("kind", "like"), SAME.items(), ids=SAME)
def test_the_same_model_is_the_same_whatever_wrote_it(kind, like, tmp_path):
    one, _ = checkpoints.write(kind, tmp_path / "one")
    other, _ = checkpoints.write(like, tmp_path / "other")
    found, expected = arrays_of(load(one)), arrays_of(load(other))
    if kind == "shared hub":  # it has no bias, the other zeros; and one head
        assert not expected.pop("decoder/lm_head/bias").any()
        expected = {p: a.reshape(found[p].shape) for p, a in expected.items()}
    assert_equal(found, expected)


def test_fairseqs_roberta_is_hugging_faces_without_segments(tmp_path):
    def forget(tensors):
        del tensors["roberta.embeddings.token_type_embeddings.weight"]

    one, _ = checkpoints.write("fairseq", tmp_path / "one")
    other, _ = checkpoints.write("roberta", tmp_path / "other", change=forget)
    found, expected = load(one), load(other)
    assert_equal(arrays_of(found), arrays_of(expected))
    assert found.config == expected.config
    assert found.mlm_bias.tensor == "model.encoder.lm_head.bias"
    np.testing.assert_array_equal(found.mlm_bias.values, expected.mlm_bias.values)


def test_a_module_of_two_stacks_is_a_pair_with_one_table(tmp_path):
    directory, tensors = checkpoints.write("hub", tmp_path / "it")
    found = load(directory)
    assert found.config.share_embeddings
    assert not found.config.decoder.lm_head_bias
    assert found.config.decoder.num_attention_heads == 1  # of 64, as no file says it
    name = "layer.1.crossattention.self.query.weight"
    np.testing.assert_array_equal(
        found.arrays["decoder/bert/layer_1/crossattention/query/kernel"].values,
        tensors[f"decoder.bert.encoder.{name}"].T.reshape(8, 1, 8),
    )
    np.testing.assert_array_equal(
        found.arrays["encoder/layer_0/intermediate/kernel"].values,
        tensors["encoder.encoder.layer.0.intermediate.dense.weight"].T,
    )


IDS = {
    "bert": (0, None, None),
    "google": (0, None, None),
    "roberta": (1, 0, 2),
    "fairseq": (1, 0, 2),
    "openai": (None, 29, 29),
    "encoder": (0, 2, 1),
}


@pytest.mark.parametrize(("kind", "ids"), IDS.items(), ids=IDS)
def test_the_special_ids_are_those_of_the_lineage(kind, ids, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    config = load(directory).config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == ids


def test_a_module_has_the_ids_of_its_vocabulary(tmp_path):
    directory, _ = checkpoints.write("hub", tmp_path / "it")
    assert load(directory).config.eos_token_id == 1
    (directory / "assets").mkdir()
    pieces = ["[PAD]", "\udcff", "[UNK]", "[CLS]", "[SEP]"]
    text = "\r\n".join(pieces).encode(errors="surrogateescape")  # and no UTF-8
    (directory / "assets" / "vocab.txt").write_bytes(text)
    config = load(directory).config
    assert (config.pad_token_id, config.start_token_id, config.eos_token_id) == (
        0,
        3,
        4,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, draw_params):
    """A work directory with two steps: (directory, params of each)."""
    workdir = tmp_path_factory.mktemp("run")
    stack = BertGenerationConfig(
        vocab_size=11,
        hidden_size=6,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=5,
        max_position_embeddings=7,
    )
    config = EncoderDecoderConfig.from_stacks(stack, stack, decoder_start_token_id=2)
    (workdir / MODEL_CONFIG).write_text(json.dumps(config.to_dict()))
    (workdir / "config.json").write_text('{"ema_decay": 0.0}')
    store = CheckpointStore(
        workdir / "checkpoints", best_metric="loss", best_mode="min", keep_latest=2
    )
    params = {step: draw_params(config, seed=step) for step in (5, 10)}
    for step, tree in params.items():
        store.save(step, {"params": tree}, {})
        store.wait()
    store.close()
    saving.save(workdir / "model", config, params[5])
    return workdir, {step: trees.named(tree) for step, tree in params.items()}


def test_a_run_of_ours_is_its_model_or_one_of_its_steps(run, tmp_path):
    workdir, params = run
    steps = workdir / "checkpoints"
    places = {
        workdir: (5, "Hugging Face encoder-decoder"),
        workdir / "config.json": (5, "Hugging Face encoder-decoder"),
        workdir / "model": (5, "Hugging Face encoder-decoder"),
        steps / "5": (5, "bertgen_jax checkpoint of step 5"),
        steps / "10": (10, "bertgen_jax checkpoint of step 10"),
    }
    for place, (step, words) in places.items():
        found = load(place)
        assert found.format == words
        assert_equal(arrays_of(found), params[step])
    shutil.copytree(workdir, tmp_path / "run")  # that has not come to its end
    shutil.rmtree(tmp_path / "run" / "model")
    found = load(tmp_path / "run")
    assert_equal(arrays_of(found), params[10])
    assert found.path == tmp_path / "run"  # where its tokenizer is


# What a name stands for


@kinds
def test_any_of_its_files_may_be_named(kind, tmp_path):
    directory, _ = checkpoints.write(kind, tmp_path / "it")
    expected = load(directory)
    for path in [path for path in directory.rglob("*") if path.is_file()]:
        found = load(path)
        assert (found.file, found.path) == (expected.file, expected.path)


def test_tensorflows_prefix_may_be_named(tmp_path):
    for prefix in ("model.ckpt-1", "model.ckpt-20"):
        seed = len(prefix)
        writer, values, made, _ = checkpoints.ALL["google"]
        writer(tmp_path, values, made(seed), prefix=prefix)
    for prefix in ("model.ckpt-1", "model.ckpt-20"):
        for end in ("", ".index", ".data-00000-of-00001"):
            found = load(tmp_path / f"{prefix}{end}")
            assert found.file.name == f"{prefix}.index"
            np.testing.assert_array_equal(
                found.arrays["embeddings/word_embeddings/embedding"].values,
                made(len(prefix))["bert.embeddings.word_embeddings.weight"],
            )
    with pytest.raises(CheckpointError, match="holds 2 TensorFlow checkpoints"):
        load(tmp_path)


def test_names_are_relative_to_the_data_or_the_working_directory(tmp_path, monkeypatch):
    checkpoints.write("bert", tmp_path / "data" / "one")
    checkpoints.write("google", tmp_path / "work" / "other")
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "work")
    assert load("one").path == tmp_path / "data" / "one"
    assert load("other/bert_model.ckpt").path == tmp_path / "work" / "other"


def test_a_directory_within_a_directory_is_found(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "outer" / "inner")
    (tmp_path / "outer" / ".DS_Store").touch()
    assert load(tmp_path / "outer").path == directory


def test_tensorflows_files_may_stand_under_config_json(tmp_path):
    directory, _ = checkpoints.write("google", tmp_path / "it")
    expected = load(directory)
    (directory / "bert_config.json").rename(directory / "config.json")
    assert_equal(arrays_of(load(directory)), arrays_of(expected))
    checkpoints.write_config(directory, checkpoints.BERT)
    assert load(directory).format == expected.format


def test_of_two_files_safetensors_is_read_unless_the_other_is_named(tmp_path):
    checkpoints.write("bert", tmp_path / "it", seed=1)
    checkpoints.write("bert, pickled", tmp_path / "it", seed=2)
    assert load(tmp_path / "it").file.name == "model.safetensors"
    assert load(tmp_path / "it" / "config.json").file.name == "model.safetensors"
    found = load(tmp_path / "it" / "pytorch_model.bin")
    np.testing.assert_array_equal(
        found.arrays["embeddings/LayerNorm/bias"].values,
        checkpoints.bert(2)["bert.embeddings.LayerNorm.bias"],
    )


def test_other_weights_than_those_that_were_named_are_not_read(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    (directory / "flax_model.msgpack").touch()
    with pytest.raises(CheckpointError, match=r"msgpack was named, but .*safetensors;"):
        load(directory / "flax_model.msgpack")


def test_of_several_files_of_fairseq_one_must_be_named(tmp_path):
    directory, _ = checkpoints.write("fairseq", tmp_path / "it")
    torch_files.save(directory / "checkpoint_last.pt", {"epoch": 3})
    with pytest.raises(CheckpointError, match=r"checkpoint_last.pt, model.pt; .* Name"):
        load(directory)
    assert load(directory / "model.pt").file == directory / "model.pt"


def test_an_archive_is_not_its_directory(tmp_path):
    directory, _ = checkpoints.write("bert", tmp_path / "it")
    shutil.make_archive(directory / "other", "zip", directory)
    with pytest.raises(CheckpointError, match=r"other\.zip is an archive.*Unpack it"):
        load(directory / "other.zip")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not a checkpoint of a known format; it holds nothing"),
        ({"a.txt": "x", "b": ""}, r"(?s)it holds a.txt, b\. .*openai/gpt-2 +hparams"),
        ({str(i): "" for i in range(11)}, r"it holds 0, 1, 10, 2, .*, 8, \.\.\.\. Exp"),
        (
            {"config.json": "{}"},
            "config.json: model_type is None; expected one of bert",
        ),
        (
            {"config.json": '{"model_type": "t5"}'},
            "model_type is 't5'; expected one of",
        ),
        ({"config.json": '{"model_type": "bert"}'}, "no weights beside config.json"),
        ({"config.json": '{"model_type": ["bert"]}'}, r"model_type is \['bert'\]; exp"),
        (
            {"config.json": "[]"},
            "config.json: found a JSON list, expected a JSON obj",
        ),
        ({"config.json": "{"}, r"config.json: not JSON \(Expecting property"),
        ({"config.json": "[" * 100_000}, r"config.json: not JSON \("),
        ({"config.json": "\udcff"}, r"config.json: not JSON \('utf-8' codec"),
        ({"config.json": ""}, r"config.json: not JSON \(Expecting value"),
        ({"hparams.json": "{}"}, "holds hparams.json but no model.ckpt.index"),
        ({"saved_model.pb": "x"}, r"variables\.index is missing"),
        ({"model.ckpt.index": "x"}, "model.ckpt.index"),
        ({"model.pt": "x"}, "model.pt: of another kind; expected a file of torch.save"),
        ({"model_config.json": "{}"}, "model_config.json: model_type is None"),
        ({"checkpoint": 'model_checkpoint_path: "x"'}, "x.index is missing"),
    ],
)
def test_a_directory_of_something_else(files, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=message) as error:
        load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_there_is_nothing_of_that_name(tmp_path):
    for name in ("", str(tmp_path / "none"), "x" * 300, "/dev/null", "a\0b"):
        with pytest.raises(CheckpointError):
            load(name)


# Configurations that do not fit


def refused(kind, directory, message, change=None, **config):
    """Opens what is written so, and takes no memory for it; returns what is said."""
    directory, _ = checkpoints.write(kind, directory, change=change, **config)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message) as error:
            detection.open_checkpoint(directory)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 << 20
    assert str(directory) in str(error.value)
    return str(error.value)


MISFITS = {
    "vocabulary": ("vocab_size", 31, r"~ .*word_embeddings\S* float32\[30, 8\].*31, 8"),
    "a huge one": ("vocab_size", 10**12, r"word_embeddings.*\[1000000000000, 8\]"),
    "width": ("hidden_size", 10, r"~ bert\.embeddings\.LayerNorm\.bias float32\[8\]"),
    "a huge width": ("hidden_size", 10**30, r"LayerNorm\.bias float32\[8\], .*10{30}"),
    "few layers": ("num_hidden_layers", 1, r"\+ bert\.encoder\.layer\.1\.attention"),
    "many layers": ("num_hidden_layers", 3, r"- encoder\.layer\.2\.attention"),
    "far too many": ("num_hidden_layers", 10**9, r"safetensors: holds 46 tensors, but"),
    "filter": ("intermediate_size", 13, r"intermediate\.dense\.bias float32\[12\]"),
    "positions": (
        "max_position_embeddings",
        512,
        r"position_embeddings\S* float32\[10",
    ),
    "heads": ("num_attention_heads", 3, "hidden_size is 8, which 3 attention heads do"),
    "no heads": ("num_attention_heads", 0, "num_attention_heads is 0; expected a pos"),
    "negative": ("num_hidden_layers", -2, "num_hidden_layers is -2; expected a posi"),
    "a boolean": ("hidden_size", True, "hidden_size is True; expected an integer"),
    "a string": ("hidden_size", "8", "hidden_size is '8'; expected an integer"),
    "a float": ("hidden_size", 8.0, r"hidden_size is 8\.0; expected an integer"),
    "a list": ("vocab_size", [30], r"vocab_size is \[30\]; expected an integer"),
    "none": ("vocab_size", None, "vocab_size missing; expected BERT's sizes"),
    "activation": ("hidden_act", "mish", r"hidden_act is one of .*; found 'mish'"),
    "a function": ("hidden_act", {"x": 1}, "hidden_act is .*; expected a string"),
    "epsilon": ("layer_norm_eps", float("nan"), "layer_norm_eps is nan; expected a nu"),
    "a huge number": (
        "layer_norm_eps",
        10**400,
        "layer_norm_eps is 1000.*expected a nu",
    ),
    "id": ("pad_token_id", "0", "pad_token_id is '0'; expected an id or null"),
    "ids": ("eos_token_id", [1, "x"], r"eos_token_id is \[1, 'x'\]; expected an id, a"),
    "places": ("position_embedding_type", "relative_key", "position_embedding_type is"),
}


@pytest.mark.parametrize(("field", "value", "message"), MISFITS.values(), ids=MISFITS)
def test_config_and_weights_disagree(field, value, message, tmp_path):
    refused("bert", tmp_path / "it", message, **{field: value})


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("gpt2", {"n_head": 3}, r"config.json: n_embd is 8, which 3 attention heads"),
        ("gpt2", {"n_layer": 10**9}, r"holds 28 tensors, but its .* 1000000000 layers"),
        ("gpt2", {"n_layer": 3}, r"- transformer\.h\.2\."),
        ("gpt2", {"n_embd": True}, "n_embd is True; expected an integer"),
        ("gpt2", {"n_inner": 10**20}, r"mlp\.c_fc\.bias float32\[32\], .*10000000"),
        (
            "gpt2",
            {"scale_attn_by_inverse_layer_idx": True},
            "inverse_layer_idx is True",
        ),
        (
            "openai",
            {"n_head": None},
            "hparams.json: n_head missing; expected the sizes",
        ),
        ("openai", {"n_head": "2"}, "hparams.json: n_head is '2'; expected an integer"),
        ("openai", {"n_layer": 10**9}, r"model\.ckpt\.index: holds 28 tensors, but"),
        (
            "openai",
            {"n_vocab": 31},
            r"index: .*\n~ model/wte float32\[30, 8\].*\[31, 8\]",
        ),
        ("google", {"num_hidden_layers": 10**9}, r"ckpt\.index: holds 49 tensors, but"),
        (
            "google",
            {"hidden_size": 4},
            r"~ bert/embeddings/LayerNorm/beta float32\[8\]",
        ),
        ("google", {"hidden_size": None}, "bert_config.json: hidden_size missing"),
        (
            "tensorflow2",
            {"num_attention_heads": 4},
            r"_query_dense/kernel\S* .*\[8, 4, 2",
        ),
        (
            "fairseq",
            {"num_attention_heads": 3},
            r"model\.pt: hidden_size is 8, which 3",
        ),
        ("fairseq", {"num_attention_heads": "2"}, r"encoder_attention_heads is '2'"),
        ("fairseq", {"hidden_act": "swish2"}, r"model\.pt: hidden_act is .*'swish2'"),
        ("roberta", {"pad_token_id": 20}, "max_position_embeddings is -9; expected"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id is -1; expected an id"),
        ("roberta", {"model_type": "bert"}, "none of its .* tensors belongs to a bert"),
        ("encoder", {"num_hidden_layers": 10**9}, "holds 36 tensors, but its config"),
        ("decoder", {"num_hidden_layers": 10**9}, "holds 37 tensors, but its config"),
        ("decoder", {"add_cross_attention": True}, r"- bert\.encoder\.layer\.0\.cross"),
        ("decoder", {"tie_word_embeddings": False}, r"- lm_head\.decoder\.weight"),
        ("pair", {"encoder": None}, "no 'encoder' in an encoder-decoder config"),
        (
            "pair",
            {"encoder": [1]},
            r"config.json: encoder is \[1\]; expected an object",
        ),
        ("pair", {"decoder": {"model_type": "t5"}}, "the decoder is a 't5' model"),
        ("pair", {"decoder_start_token_id": 30}, "decoder_start_token_id is 30; expec"),
        (
            "pair",
            {"decoder_start_token_id": "2"},
            "start_token_id is '2'; expected an id",
        ),
        (
            "pair",
            {"tie_encoder_decoder": "no"},
            "tie_encoder_decoder is 'no'; expected",
        ),
    ],
)
def test_so_do_those_of_other_kinds(kind, config, message, tmp_path):
    refused(kind, tmp_path / "it", message, **config)


def test_a_side_of_a_pair_may_be_as_wrong(tmp_path):
    for side in ("encoder", "decoder"):
        stack = checkpoints.PAIR[side]
        for field, value, message in (
            (
                "num_hidden_layers",
                10**9,
                "holds 93 tensors, but its configuration has",
            ),
            (
                "hidden_size",
                False,
                f"config.json, {side}: hidden_size is False; expected",
            ),
            (
                "vocab_size",
                29,
                r"word_embeddings\.weight float32\[30, 8\], .*\[29, 8\]",
            ),
        ):
            shutil.rmtree(tmp_path, ignore_errors=True)
            refused("pair", tmp_path, message, **{side: stack | {field: value}})


def test_a_stack_that_is_said_to_be_shared_but_is_not(tmp_path):
    directory, _ = checkpoints.write("pair", tmp_path / "it", tie_encoder_decoder=True)
    with pytest.raises(CheckpointError, match="tensors are shared, tied or ab"):
        load(directory)


def test_another_programs_hparams(tmp_path):
    directory, _ = checkpoints.write("openai", tmp_path / "it")
    (directory / "hparams.json").write_text('{"batch_size": 4096}')
    with pytest.raises(
        CheckpointError, match="n_vocab, n_ctx, n_embd, n_head, n_layer"
    ):
        load(directory)


def test_a_bundle_without_a_configuration(tmp_path):
    directory, _ = checkpoints.write("google", tmp_path / "it")
    (directory / "bert_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"ckpt\.index: there is no bert_config"):
        load(directory)
    checkpoints.write_config(directory, checkpoints.GPT2)
    with pytest.raises(CheckpointError, match="model_type is 'gpt2'; expected 'bert'"):
        load(directory)


# Tensors that do not fit


def without(name):
    return lambda tensors: tensors.pop(name)


def with_(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


BIAS = "bert.encoder.layer.1.output.dense.bias"
SEGMENTS = "bert.embeddings.token_type_embeddings.weight"
zeros = np.zeros(8, np.float32)
TENSORS = {
    "missing": (without(BIAS), r"- encoder\.layer\.1\.output\.dense\.bias"),
    "unexpected": (
        with_("bert.encoder.layer.0.adapter.bias", zeros),
        r"\+ bert\.encoder\.layer\.0\.adapter\.bias",
    ),
    "another layer": (
        with_("bert.encoder.layer.7.output.dense.bias", zeros),
        r"\+ bert\.encoder\.layer\.7\.output\.dense\.bias",
    ),
    "integers": (
        with_(BIAS, np.zeros(8, np.int32)),
        r"~ bert\.encoder\.layer\.1\.output\.dense\.bias int32\[8\], expected floating",
    ),
    "booleans": (with_(BIAS, np.zeros(8, bool)), r"~ bert\S*output\.dense\.bias bool"),
    "more axes": (with_(BIAS, zeros[None]), r"~ bert\S*dense\.bias float32\[1, 8\]"),
    "no axis": (
        with_(BIAS, np.zeros((), np.float32)),
        r"~ bert\S*dense\.bias float32\[\], expected",
    ),
    "no values": (with_(BIAS, zeros[:0]), r"~ bert\S*dense\.bias float32\[0\]"),
    "two names": (
        with_(BIAS.removeprefix("bert."), zeros),
        rf"({BIAS} and {BIAS[5:]}|{BIAS[5:]} and {BIAS}) are two names of one tensor",
    ),
    "old and new name": (
        with_("bert.embeddings.LayerNorm.gamma", zeros),
        "are two names of one tensor",
    ),
    "no segments": (
        with_(SEGMENTS, np.zeros((0, 8), np.float32)),
        r"~ \S*type\S* .*\[0",
    ),
    "wide segments": (
        with_(SEGMENTS, np.zeros((2, 9), np.float32)),
        r"~ \S*token_type",
    ),
    "flat segments": (with_(SEGMENTS, zeros), r"~ \S*token_type\S* float32\[8\]"),
    "short head": (
        with_("cls.predictions.bias", zeros),
        r"~ cls\S* .*, expected .*\[30",
    ),
    "odd names": (
        with_("bert.encoder.\x1b[2J" + "x" * 5000, zeros),
        r"\+ 'bert\.encoder\.\\x1b\[2Jx{50,99}$",
    ),
}


@pytest.mark.parametrize(("change", "message"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_do_not_fit_are_named(change, message, tmp_path):
    said = refused("bert", tmp_path / "it", message, change)
    assert "model.safetensors" in said
    assert len(said) < 1000


def test_all_kinds_name_what_is_missing(tmp_path):
    names = {
        "google": r"- encoder\.layer\.1\.output\.dense\.bias",
        "tensorflow2": r"- encoder\.layer\.1\.output\.dense\.bias",
        "gpt2": r"- transformer\.h\.1\.mlp\.c_proj\.bias",
        "openai": r"- transformer\.h\.1\.mlp\.c_proj\.bias",
        "fairseq": r"- encoder\.layer\.1\.output\.dense\.bias",
        "hub": r"- decoder\.bert\.encoder\.layer\.1\.output\.dense\.bias",
        "pair": r"- decoder\.bert\.encoder\.layer\.1\.output\.dense\.bias",
    }

    def forget(tensors):
        ends = ("layer.1.output.dense.bias", "h.1.mlp.c_proj.bias")
        del tensors[[name for name in tensors if name.endswith(ends)][-1]]

    for kind, message in names.items():
        refused(kind, tmp_path / kind, message, forget)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64]
)
def test_what_is_not_finite_is_refused(value, dtype, tmp_path):
    def spoil(tensors):
        tensors[BIAS] = np.array([0, 1, 2, 3, 4, 5, 6, value], dtype)

    directory, _ = checkpoints.write("bert", tmp_path / "it", change=spoil)
    with pytest.raises(CheckpointError, match=rf"safetensors: {BIAS} holds NaN or inf"):
        load(directory)


def test_what_f32_cannot_hold_is_not_finite(tmp_path):
    directory, _ = checkpoints.write(
        "bert", tmp_path / "it", change=with_(BIAS, np.full(8, 1e300))
    )
    with pytest.raises(CheckpointError, match=f"{BIAS} holds NaN or infinity"):
        load(directory)


def test_what_is_left_out_may_be_anything(tmp_path):
    odd = np.full((3, 1), np.nan)
    directory, _ = checkpoints.write(
        "bert", tmp_path / "it", change=with_("classifier.weight", odd)
    )
    reasons = {unused.tensor: unused.reason for unused in load(directory).unused}
    assert reasons["classifier.weight"] == "head of another task"


def test_a_roberta_that_normalises_first_is_none(tmp_path):
    """fairseq's other block: it would compute something else with these weights."""
    directory, _ = checkpoints.write("fairseq", tmp_path / "it")
    name = "encoder.sentence_encoder.layer_norm.weight"
    state = checkpoints.fairseq_names(checkpoints.roberta()) | {name: zeros}
    args = torch_files.namespace(encoder_attention_heads=2)
    torch_files.save(directory / "model.pt", {"args": args, "model": state})
    with pytest.raises(CheckpointError, match=rf"\+ model\.{name}"):
        load(directory)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"epoch": 3}, r"no tensor means embeddings\.word\S*; found none"),
        (
            {"encoder": {"x": zeros}},
            r"no tensor means embeddings\S*; found encoder\.x,",
        ),
        (
            {"model": {"x": zeros}},
            r"no tensor means embeddings\S*; found model\.x, .*fair",
        ),
        (
            {"model": {"encoder.embed_tokens.weight": zeros}},
            r"model\.encoder\.embed_tokens\.weight is \[8\]; expected 2 axes",
        ),
    ],
)
def test_a_file_of_torch_without_fairseqs_model(tree, message, tmp_path):
    torch_files.save(tmp_path / "model.pt", tree)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_fairseq_must_say_how_many_heads_there_are(tmp_path):
    state = checkpoints.fairseq_names(checkpoints.roberta())
    torch_files.save(tmp_path / "model.pt", {"model": state})
    with pytest.raises(CheckpointError, match="encoder_attention_heads is None in its"):
        load(tmp_path)
    settings = {"model": torch_files.namespace(encoder_attention_heads=2)}
    torch_files.save(tmp_path / "model.pt", {"model": state, "cfg": settings})
    assert load(tmp_path).config.num_attention_heads == 2


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, r"variables\.index: no tensor means decoder\.bert\.emb\S*; found none"),
        (
            {"encoder/layer_0/kernel": zeros},
            r"found encoder/layer_0/kernel, \.\.\., expected those of a TF Hub module",
        ),
        (
            {"module/bert/embeddings/word_embeddings": zeros},
            r"module/bert/embeddings/word_embeddings is \[8\]; expected 2 axes",
        ),
    ],
)
def test_a_module_of_something_else(variables, message, tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").touch()
    tf_bundle_files.write(tmp_path / "variables" / "variables", variables)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_a_module_whose_sizes_cannot_be(tmp_path):
    directory, _ = checkpoints.write("hub", tmp_path / "it")
    for name in ("layer_999999999", "layer_" + "9" * 5000, "layer_9999"):
        variables = checkpoints.hub_names(checkpoints.pair(), False)
        variables[f"module/bert/decoder/{name}/output/dense/bias"] = zeros
        prefix = directory / "variables" / "variables"
        for path in prefix.parent.iterdir():
            path.unlink()
        tf_bundle_files.write(prefix, variables)
        with pytest.raises(CheckpointError, match=r"variables\.index") as error:
            load(directory)
        assert len(str(error.value)) < 1000


def test_a_safetensors_file_of_another_library(tmp_path):
    checkpoints.write_config(tmp_path, checkpoints.BERT)
    safetensors.numpy.save_file(
        {"0.auto_model.x": zeros}, tmp_path / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"none of its 1 tensors .*0\.auto_model"):
        load(tmp_path)
