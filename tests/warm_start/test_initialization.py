"""A checkpoint's values arrive where they belong, and the report says so of each."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError, TokenizerError
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.tokenizers.sentencepiece_training import train_sentencepiece
from bertgen_jax.warm_start import architecture, opening, recipes, vocabulary_matching
from bertgen_jax.warm_start.recipes import Selection
from bertgen_jax.warm_start.transfer import transfer
from bertgen_jax.warm_start.warm_start import warm_start

WIDTH, HEADS, FILTER, LAYERS, POSITIONS = 8, 2, 12, 2, 10
FILE = "model.safetensors"
WORDS = "embeddings/word_embeddings/embedding"
PLACES = "embeddings/position_embeddings/embedding"
EPSILON = {"bert": 1e-12, "roberta": 1e-5}
SENTENCES = [
    f"{who} saw the {what} near the {where}."
    for who in ("One man", "A woman", "Nobody", "The child")
    for what in ("painting", "garden", "lantern", "swimming bird")
    for where in ("river", "old mill", "station", "bakery")
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece(SENTENCES, 80)


@pytest.fixture
def checkpoint(tmp_path, tokenizer):
    """Writes checkpoints: (kind, name) -> directory, tensors by bare name."""

    def write(kind="bert", name="checkpoint", *, rename=str, dtype=None, **config):
        directory = tmp_path / name
        directory.mkdir()
        pieces = write_vocabulary(directory, kind, tokenizer)
        reserved = 2 if kind == "roberta" else 0
        tensors = draw_tensors(len(pieces), POSITIONS + reserved)
        values = {
            "model_type": kind,
            "vocab_size": len(pieces),
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": FILTER,
            "hidden_act": "gelu",
            "layer_norm_eps": EPSILON[kind],
            "max_position_embeddings": POSITIONS + reserved,
            "pad_token_id": 1 if kind == "roberta" else 0,
        }
        (directory / "config.json").write_text(json.dumps(values | config))
        tensors = {n: t.astype(dtype or t.dtype) for n, t in tensors.items()}
        rewrite(directory, {rename(n): t for n, t in tensors.items()})
        return directory, {n: t.astype(np.float32) for n, t in tensors.items()}

    return write


def write_vocabulary(directory, kind, tokenizer):
    """Spells most of the tokenizer's pieces the checkpoint's way, in another order."""
    pieces = list(tokenizer.get_vocab())[4:]
    # WordPiece cannot spell a space alone; the longest is no part of another piece.
    unknown = (".", "▁" if kind == "bert" else max(pieces, key=len))
    pieces = [piece for piece in pieces[::-1] if piece not in unknown]
    if kind == "roberta":
        pieces = [piece.replace("▁", "Ġ") for piece in pieces]
        pieces = ["<s>", "<pad>", "</s>", "<unk>", *pieces, "#"]
        rows = {piece: row for row, piece in enumerate(pieces)}
        (directory / "vocab.json").write_text(json.dumps(rows))
        write_merges(directory, pieces)
    else:
        pieces = [p[1:] if p.startswith("▁") else f"##{p}" for p in pieces]
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
        (directory / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return pieces


def write_merges(directory, pieces):
    """For each piece of several letters, two that make it."""
    lines = ["#version: 0.2"]
    for piece in sorted(pieces, key=len):
        cuts = ((piece[:i], piece[i:]) for i in range(1, len(piece)))
        made = next((cut for cut in cuts if set(cut) <= set(pieces)), None)
        if made:
            lines.append(" ".join(made))
    (directory / "merges.txt").write_text("\n".join(lines) + "\n")


def draw_tensors(words, positions, seed=1):
    """The tensors of a base model, by the names in such a file; and its pooler's."""
    shapes = {
        "embeddings.word_embeddings.weight": (words, WIDTH),
        "embeddings.position_embeddings.weight": (positions, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    linear = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (FILTER, WIDTH),
        "output.dense": (WIDTH, FILTER),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name, shape in linear.items():
            shapes[f"{layer}.{name}.weight"] = shape
            shapes[f"{layer}.{name}.bias"] = shape[:1]
        for name in ("attention.output", "output"):
            shapes[f"{layer}.{name}.LayerNorm.weight"] = (WIDTH,)
            shapes[f"{layer}.{name}.LayerNorm.bias"] = (WIDTH,)
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def rewrite(directory, tensors):
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")


def change(directory, **tensors):
    """Adds tensors to a checkpoint, or with None removes them."""
    path = directory / "model.safetensors"
    found = safetensors.numpy.load_file(path)
    found |= {name.replace("__", "."): t for name, t in tensors.items()}
    rewrite(directory, {name: t for name, t in found.items() if t is not None})


@pytest.fixture
def start(tokenizer, draw_params):
    """(recipe, encoder, decoder) -> leaves before, leaves after, report."""

    def run(
        name, encoder=None, decoder=None, selection=None, tokenizers=None, **settings
    ):
        recipe = name if isinstance(name, recipes.Recipe) else recipes.get(name)
        selection = selection or Selection()
        tokenizers = tokenizers or TokenizerPair.of(tokenizer)
        sources = opening.open_checkpoints(recipe, encoder=encoder, decoder=decoder)
        config = architecture.model_config(
            recipe, sources, tokenizers, selection, "tiny", settings
        )
        before = draw_params(config)
        after, report = transfer(before, config, sources, tokenizers, selection)
        assert jax.tree.structure(before) == jax.tree.structure(after)
        before, after = trees.named(before), trees.named(after)
        assert {n: leaf.shape for n, leaf in before.items()} == {
            n: leaf.shape for n, leaf in after.items()
        }
        return before, after, report

    return run


def expected_layer(tensors, i):
    """One layer in our layout, written out."""
    t = {
        name.removeprefix(f"encoder.layer.{i}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"encoder.layer.{i}.")
    }
    heads = (HEADS, WIDTH // HEADS)
    layer = {
        "attention/output/kernel": t["attention.output.dense.weight"].T.reshape(
            *heads, WIDTH
        ),
        "attention/output/bias": t["attention.output.dense.bias"],
        "attention/LayerNorm/scale": t["attention.output.LayerNorm.weight"],
        "attention/LayerNorm/bias": t["attention.output.LayerNorm.bias"],
        "intermediate/kernel": t["intermediate.dense.weight"].T,
        "intermediate/bias": t["intermediate.dense.bias"],
        "output/kernel": t["output.dense.weight"].T,
        "output/bias": t["output.dense.bias"],
        "LayerNorm/scale": t["output.LayerNorm.weight"],
        "LayerNorm/bias": t["output.LayerNorm.bias"],
    }
    for name in ("query", "key", "value"):
        weight, bias = (
            t[f"attention.self.{name}.{what}"] for what in ("weight", "bias")
        )
        layer[f"attention/{name}/kernel"] = weight.T.reshape(WIDTH, *heads)
        layer[f"attention/{name}/bias"] = bias.reshape(heads)
    return {f"layer_{i}/{name}": values for name, values in layer.items()}


def expected_layers(tensors):
    return {
        name: values
        for i in range(LAYERS)
        for name, values in expected_layer(tensors, i).items()
    }


def assert_holds(leaves, prefix, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(leaves[f"{prefix}/{name}"], values, err_msg=name)


def changed(before, after):
    return {n for n in before if not np.array_equal(before[n], after[n])}


# Placement


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_every_layer_of_both_stacks_is_the_checkpoints(checkpoint, start, kind):
    directory, tensors = checkpoint(kind)
    before, after, _ = start(f"{kind}2{kind}", directory)
    expected = expected_layers(tensors)
    assert_holds(after, "encoder", expected)
    assert_holds(after, "decoder/bert", expected)
    for name in ("scale", "bias"):
        tensor = "weight" if name == "scale" else name
        np.testing.assert_array_equal(
            after[f"decoder/bert/embeddings/LayerNorm/{name}"],
            tensors[f"embeddings.LayerNorm.{tensor}"],
        )
    assert changed(before, after) == {n for n in before if "/crossattention/" not in n}


@pytest.mark.parametrize(("kind", "first"), [("bert", 0), ("roberta", 2)])
def test_positions_are_those_of_tokens_with_segment_0_added(
    checkpoint, start, kind, first
):
    directory, tensors = checkpoint(kind)
    places = tensors["embeddings.position_embeddings.weight"]
    segment = tensors["embeddings.token_type_embeddings.weight"][0]
    for length in (POSITIONS, 6):
        _, after, _ = start(f"{kind}share", directory, max_position_embeddings=length)
        np.testing.assert_array_equal(
            after[f"decoder/bert/{PLACES}"], places[first : first + length] + segment
        )


def test_a_checkpoint_without_segments_adds_nothing(checkpoint, start):
    directory, tensors = checkpoint("roberta")
    change(directory, embeddings__token_type_embeddings__weight=None)
    _, after, report = start("robertashare", directory)
    places = tensors["embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(after[f"decoder/bert/{PLACES}"], places[2:])
    actions = {row.parameter: row.action for row in report.rows}
    assert actions[f"decoder/bert/{PLACES}"] == "warm"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_each_piece_has_the_row_of_its_text(checkpoint, start, tokenizer, kind):
    directory, tensors = checkpoint(kind)
    before, after, report = start(f"{kind}share", directory)
    table = tensors["embeddings.word_embeddings.weight"]
    if kind == "bert":
        lines = (directory / "vocab.txt").read_text().splitlines()
        theirs = {piece: row for row, piece in enumerate(lines)}
        special = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"}
    else:
        theirs = json.loads((directory / "vocab.json").read_text())
        special = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    expected, known = before[f"decoder/bert/{WORDS}"].copy(), 0
    roles = {getattr(tokenizer.special_ids, r): name for r, name in special.items()}
    for piece, row in tokenizer.get_vocab().items():
        if row in roles:
            spelled = roles[row]
        elif kind == "roberta":
            spelled = piece.replace("▁", "Ġ")
        else:
            spelled = piece[1:] if piece.startswith("▁") else f"##{piece}"
        if spelled in theirs:
            expected[row] = table[theirs[spelled]]
            known += 1
    assert known == tokenizer.vocab_size - 2  # all but the two unknown ones
    np.testing.assert_array_equal(after[f"decoder/bert/{WORDS}"], expected)
    row = next(r for r in report.rows if r.parameter == f"decoder/bert/{WORDS}")
    assert (row.action, row.warm) == ("permuted", known * WIDTH)
    assert row.note == f"{known} of {known + 2} rows: {known - 4} by text, 4 by role"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_checkpoints_own_vocabulary_keeps_its_rows(checkpoint, start, kind):
    directory, tensors = checkpoint(kind)
    table = tensors["embeddings.word_embeddings.weight"]
    own = TokenizerPair.of(AutoTokenizer.from_pretrained(directory))
    _, after, report = start(f"{kind}share", directory, tokenizers=own)
    np.testing.assert_array_equal(after[f"decoder/bert/{WORDS}"], table)
    row = next(r for r in report.rows if r.parameter == f"decoder/bert/{WORDS}")
    assert (row.action, row.warm) == ("warm", table.size)


def test_rows_after_the_vocabulary_come_along_with_it(checkpoint, start):
    directory, tensors = checkpoint()
    padded = np.pad(tensors["embeddings.word_embeddings.weight"], ((0, 5), (0, 0)))
    change(directory, embeddings__word_embeddings__weight=padded)
    config = json.loads((directory / "config.json").read_text())
    config["vocab_size"] = len(padded)
    (directory / "config.json").write_text(json.dumps(config))
    own = TokenizerPair.of(AutoTokenizer.from_pretrained(directory))
    _, after, _ = start("bert2bert", directory, tokenizers=own)
    np.testing.assert_array_equal(after[f"decoder/bert/{WORDS}"], padded)


@pytest.mark.parametrize(
    ("name", "warm"),
    [
        ("bert2rnd", ("encoder/layer_", "decoder/bert/embeddings/")),
        ("rnd2bert", ("decoder/bert/layer_", "decoder/bert/embeddings/")),
        ("bertshare", ("decoder/bert/",)),
    ],
)
def test_a_recipe_warms_its_sides_and_the_shared_embeddings(
    checkpoint, start, name, warm
):
    directory, tensors = checkpoint()
    side = "decoder" if name == "rnd2bert" else "encoder"
    before, after, _ = start(name, **{side: directory})
    expected = {n for n in before if n.startswith(warm) and "/crossattention/" not in n}
    assert changed(before, after) == expected
    prefix = "encoder" if name == "bert2rnd" else "decoder/bert"
    assert_holds(after, prefix, expected_layers(tensors))


def test_stacks_that_share_nothing_may_start_from_two_checkpoints(checkpoint, start):
    one, _ = checkpoint("bert", "one")
    other, tensors = checkpoint("bert", "other")
    tensors = {n: t + 1 for n, t in tensors.items()}
    rewrite(other, tensors)
    before, after, report = start("bert2bert", one, other)
    assert_holds(after, "decoder/bert", expected_layers(tensors))
    difference = after[f"decoder/bert/{PLACES}"] - after[f"encoder/{PLACES}"]
    np.testing.assert_allclose(difference, 2, atol=1e-5)  # 1 a summand
    assert changed(before, after) == {n for n in before if "/crossattention/" not in n}
    assert set(report.unused) == {str(one / FILE), str(other / FILE)}


# Files as they are found


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_old_names_and_prefixes_are_the_same_tensors(checkpoint, start, prefix):
    plain, _ = checkpoint()

    def rename(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        return prefix + name.replace("LayerNorm.bias", "LayerNorm.beta")

    renamed, _ = checkpoint(name="renamed", rename=rename)
    _, expected, _ = start("bertshare", plain)
    _, after, _ = start("bertshare", renamed)
    assert not changed(expected, after)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_weights_of_any_precision_become_f32(checkpoint, start, dtype):
    directory, tensors = checkpoint(dtype=dtype)
    _, after, _ = start("bertshare", directory)
    assert_holds(after, "decoder/bert", expected_layers(tensors))
    assert {leaf.dtype for leaf in after.values()} == {np.dtype(np.float32)}


def test_device_arrays_may_be_given(checkpoint, tokenizer, draw_params):
    directory, _ = checkpoint()
    recipe, selection = recipes.get("bertshare"), Selection()
    tokenizers = TokenizerPair.of(tokenizer)
    sources = opening.open_checkpoints(recipe, encoder=directory, decoder=None)
    config = architecture.model_config(
        recipe, sources, tokenizers, selection, "tiny", {}
    )
    params, how = draw_params(config), (config, sources, tokenizers, selection)
    host, _ = transfer(params, *how)
    device, _ = transfer(jax.tree.map(jnp.asarray, params), *how)
    jax.tree.map(np.testing.assert_array_equal, host, device)


def test_names_are_looked_up_in_the_data_directory(checkpoint, monkeypatch):
    directory, _ = checkpoint()
    monkeypatch.setenv("BERTGEN_DATA_DIR", str(directory.parent))
    found = opening.open_checkpoints(
        recipes.get("bert2bert"), encoder="checkpoint", decoder=""
    )
    assert found["encoder"] is found["decoder"]
    assert found["encoder"].path == directory


# The report


def test_the_report_has_a_row_for_every_parameter(checkpoint, start):
    directory, _ = checkpoint()
    before, after, report = start("bert2bert", directory)
    rows = {row.parameter: row for row in report.rows}
    assert {n: rows[n].shape for n in after} == {n: v.shape for n, v in after.items()}
    for name in before:
        action = "random" if "/crossattention/" in name else "warm"
        special = {
            f"decoder/bert/{WORDS}": "permuted",
            f"decoder/bert/{PLACES}": "folded",
        }
        assert rows[name].action == special.get(name, action)
        assert bool(rows[name].origin) == (action != "random")
    aliases = {n: row.action for n, row in rows.items() if n not in before}
    assert aliases == {
        f"encoder/{WORDS}": "shared",
        f"encoder/{PLACES}": "shared",
        "encoder/embeddings/LayerNorm/scale": "shared",
        "encoder/embeddings/LayerNorm/bias": "shared",
        "decoder/lm_head/kernel": "tied",
    }
    assert rows[f"encoder/{WORDS}"].origin == f"decoder/bert/{WORDS}"


def test_shared_parameters_count_once(checkpoint, start):
    directory, _ = checkpoint()
    _, after, report = start("bertshare", directory)
    assert report.trainable == sum(leaf.size for leaf in after.values())
    cold = sum(leaf.size for n, leaf in after.items() if "/crossattention/" in n)
    assert report.warm == report.trainable - cold - 2 * WIDTH  # two unknown pieces
    shared = [row for row in report.rows if row.action == "shared"]
    assert len(shared) == 4 + 16 * LAYERS
    assert all(row.parameter.startswith("encoder/") for row in shared)


def test_every_tensor_of_a_file_is_used_or_listed(checkpoint, start):
    directory, tensors = checkpoint("roberta", rename=lambda name: f"roberta.{name}")
    extra = {
        "lm_head.bias": "masked-LM head",
        "lm_head.layer_norm.weight": "masked-LM head",
        "classifier.weight": "head of another task",
        "roberta.embeddings.position_ids": "position numbers, no weights",
        "roberta.encoder.layer.0.crossattention.self.query.bias": (
            "cross-attention, which an encoder does not have"
        ),
    }
    odd = np.zeros((1, 4), np.int64)
    words = len(tensors["embeddings.word_embeddings.weight"])
    change(directory, **dict.fromkeys(extra, odd) | {"lm_head.bias": np.zeros(words)})
    _, _, report = start("robertashare", directory, max_position_embeddings=7)
    unused = {u.tensor: u.reason for u in report.unused[str(directory / FILE)]}
    assert {name: unused[name] for name in extra} == extra
    sources = " + ".join(row.origin for row in report.rows)
    for name in tensors:
        assert (f"roberta.{name}" in sources) != ("pooler" in name)
    reasons = [u.reason for u in report.unused[str(directory / FILE)]]
    assert reasons.count("pooler, for classification") == 2
    assert "rows before 2, the positions of padding" in reasons
    assert "rows from 1 on, segments that the model does not have" in reasons
    assert "positions that the model does not have" in reasons
    assert "pieces that the model does not have" in reasons


def test_the_report_is_json_and_a_summary(checkpoint, start):
    directory, _ = checkpoint()
    _, _, report = start("bertshare", directory)
    values = json.loads(json.dumps(report.to_dict()))
    read = f"{directory / FILE}: Hugging Face bert model"
    assert values["sources"] == {"encoder": read, "decoder": read}
    assert values["trainable_parameters"] == report.trainable
    assert len(values["parameters"]) == len(report.rows)
    assert {row["file"] for row in values["unused"]} == {str(directory / FILE)}
    lines = str(report).splitlines()
    assert lines[0] == (
        f"warm start: {report.warm:,} of {report.trainable:,} trainable parameters"
    )
    assert f"  encoder from {read}" in lines
    assert "  encoder: shared" in lines
    assert "  lm_head: tied" in lines
    cross = LAYERS * (4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH)
    assert f"  crossattention: 0% of {cross:,}" in lines
    assert "pooler, for classification (2)" in lines[-1]


# What cannot be meant


def test_a_missing_checkpoint_is_an_error_with_three_ways_out(tmp_path, start):
    for given, found in (
        ("roberta-base", "'roberta-base'"),
        ("", "init.encoder is empty"),
    ):
        with pytest.raises(CheckpointError) as error:
            start("robertashare", given)
        message = str(error.value)
        assert found in message
        assert "hf download FacebookAI/roberta-base" in message
        assert "--config.init.encoder=DIR" in message
        assert "--config.init.recipe=rnd2rnd" in message
        assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "is not a checkpoint of a known format; it holds model.safet"),
        (
            "model.safetensors",
            "no weights beside config.json; expected one of model.safetensors",
        ),
    ],
)
def test_a_missing_file_is_named(checkpoint, start, file, message):
    directory, _ = checkpoint()
    (directory / file).unlink()
    with pytest.raises(CheckpointError, match=f"(?s){message}"):
        start("bertshare", directory)


def test_a_missing_vocabulary_is_an_error(checkpoint, start):
    directory, _ = checkpoint()
    (directory / "vocab.txt").unlink()
    with pytest.raises(TokenizerError, match=str(directory)):
        start("bertshare", directory)


def test_a_checkpoint_of_another_kind_is_refused(checkpoint, start):
    directory, _ = checkpoint("roberta")
    with pytest.raises(
        CheckpointError, match=r"of the kind roberta.*starts from bert.*robertashare"
    ):
        start("bertshare", directory)


def test_a_checkpoint_for_a_random_side_is_refused(checkpoint, start):
    directory, _ = checkpoint()
    with pytest.raises(ConfigError, match=r"init.decoder is .* random weights"):
        start("bert2rnd", directory, directory)


def test_two_checkpoints_for_one_set_of_weights_are_refused(checkpoint, start):
    one, other = checkpoint("bert", "one")[0], checkpoint("bert", "other")[0]
    with pytest.raises(ConfigError, match="share weights"):
        start("bertshare", one, other)


QUERY = "encoder__layer__1__attention__self__query__weight"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({QUERY: None}, "- encoder.layer.1.attention.self.query.weight"),
        ({QUERY: np.zeros((4, 8), np.float32)}, r"~ encoder.layer.1.* float32\[4, 8\]"),
        ({QUERY: np.zeros((8, 8), np.int32)}, r"~ encoder.layer.1.* int32\[8, 8\]"),
        ({QUERY: np.full((8, 8), np.nan, np.float32)}, "query.weight holds NaN"),
        (
            {"encoder__layer__2__output__dense__bias": np.zeros(8)},
            r"\+ encoder.layer.2",
        ),
        (
            {"embeddings__token_type_embeddings__weight": np.zeros(())},
            "~ embeddings.tok",
        ),
        ({"bert__pooler__dense__bias": np.zeros(8)}, "two names of one tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(checkpoint, start, tensors, message):
    directory, _ = checkpoint()
    change(directory, **tensors)
    with pytest.raises(CheckpointError, match=message):
        start("bertshare", directory)


def test_a_file_without_any_of_the_tensors_is_refused(checkpoint, start):
    directory, _ = checkpoint(rename=lambda name: f"model.{name}")
    with pytest.raises(CheckpointError, match=r"none of its 39 tensors.*found model"):
        start("bertshare", directory)


def test_a_file_that_is_cut_off_is_refused(checkpoint, start):
    directory, _ = checkpoint()
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        start("bertshare", directory)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "mish"}, r"config.json: hidden_act is one of .*; found 'mish'"),
        (
            {"position_embedding_type": "relative_key"},
            "config.json: position_embedding",
        ),
        ({"hidden_size": "8"}, "config.json: hidden_size is '8'"),
        ({"max_position_embeddings": 2}, "config.json: max_position_embeddings is 0"),
        ({"pad_token_id": None}, "config.json: pad_token_id is None"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(checkpoint, start, values, message):
    directory, _ = checkpoint("roberta", **values)
    with pytest.raises(CheckpointError, match=message):
        start("robertashare", directory)


def test_a_config_that_lacks_a_size_is_refused(checkpoint, start):
    directory, _ = checkpoint()
    path = directory / "config.json"
    values = json.loads(path.read_text())
    del values["hidden_size"]
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"config.json: hidden_size missing"):
        start("bertshare", directory)


def test_a_vocabulary_of_another_checkpoint_is_refused(checkpoint, start):
    directory, _ = checkpoint()
    with (directory / "vocab.txt").open("a") as file:
        file.write("beyond\n")
    with pytest.raises(CheckpointError, match=r"80 pieces, but .* 79 rows; expected"):
        start("bertshare", directory)


def test_a_vocabulary_without_a_common_piece_is_refused(checkpoint, start):
    directory, _ = checkpoint()
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nД\n")
    with pytest.raises(CheckpointError, match="none of its 5 pieces"):
        start("bertshare", directory)


def test_params_of_another_model_are_refused(checkpoint, tokenizer, draw_params):
    directory, _ = checkpoint()
    recipe, selection = recipes.get("bert2bert"), Selection()
    tokenizers = TokenizerPair.of(tokenizer)
    sources = opening.open_checkpoints(recipe, encoder=directory, decoder=None)
    config = architecture.model_config(
        recipe, sources, tokenizers, selection, "tiny", {}
    )
    shared = dataclasses.replace(
        config, share_encoder_decoder=True, share_embeddings=False
    )
    wide = dataclasses.replace(config.encoder, intermediate_size=FILTER + 1)
    wide = dataclasses.replace(config, encoder=wide)
    for other, message in (
        (shared, "params lack encoder/"),
        (wide, "is \\[13\\] in the model"),
    ):
        with pytest.raises(ConfigError, match=message):
            transfer(draw_params(other), config, sources, tokenizers, selection)


# Parity with the peer


@pytest.mark.parity
@pytest.mark.parametrize("headed", [False, True])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_encoder_computes_what_the_peers_does(
    tmp_path, tokenizer, draw_params, kind, headed
):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pieces = write_vocabulary(tmp_path, kind, tokenizer)
    sizes = {
        "vocab_size": len(pieces),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FILTER,
        "layer_norm_eps": EPSILON[kind],
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
    peer = classes[headed](settings).eval()
    with torch.no_grad():
        for parameter in peer.parameters():  # biases and LayerNorms, too
            parameter.normal_(0, 0.5)
    peer.save_pretrained(tmp_path)

    model, params = warm_start(f"{kind}share", encoder=tmp_path, tokenizer=tokenizer)
    rng = np.random.default_rng(0)
    match = vocabulary_matching.match(
        vocabulary_matching.of_tokenizer(tokenizer),
        vocabulary_matching.of_tokenizer(AutoTokenizer.from_pretrained(tmp_path)),
        tokenizer.vocab_size,
    )
    known = np.flatnonzero(match.rows >= 0)
    known = known[known != tokenizer.special_ids.pad]
    ids = rng.choice(known, (4, POSITIONS))
    mask = np.arange(POSITIONS) < np.array([POSITIONS, 7, 3, 1])[:, None]
    ids[~mask] = tokenizer.special_ids.pad

    trunk = getattr(peer, kind) if headed else peer
    with torch.no_grad():
        expected = trunk(
            torch.tensor(match.rows[ids]), attention_mask=torch.tensor(mask)
        ).last_hidden_state.numpy()
    out = model.apply(
        {"params": params}, jnp.asarray(ids), jnp.asarray(mask), method="encode"
    )
    np.testing.assert_allclose(
        np.asarray(out.last_hidden_state)[mask], expected[mask], atol=1e-5, rtol=1e-5
    )


def test_one_stack_has_one_vocabulary(checkpoint, start, tokenizer):
    directory, _ = checkpoint()
    other = train_sentencepiece(SENTENCES[::-1], 70)
    pair = TokenizerPair.of(tokenizer, other)
    with pytest.raises(ConfigError, match="one stack, with one word table"):
        start("bertshare", directory, tokenizers=pair)


@pytest.mark.parametrize("parts", ["embeddings", "layers"])
def test_a_selection_without_a_checkpoint_is_refused(start, parts):
    with pytest.raises(ConfigError, match="but the recipe starts from none"):
        start("rnd2rnd", selection=Selection(parts))
