"""Tests of the transfer: parameters of checkpoints arrive where they belong."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.stack_config import POSITION_TABLE, WORD_TABLE
from bertgen_jax.pretrained import saving
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import architecture, opening, recipes
from bertgen_jax.warm_start.recipes import Recipe, Selection
from bertgen_jax.warm_start.transfer import transfer
from tests.fixtures import checkpoints, vocabularies
from tests.fixtures.checkpoints import FILTER, HEADS, LAYERS, POSITIONS, WIDTH, WORDS

FILE = "model.safetensors"


def kernel(tensors, name):
    return tensors[f"{name}.weight"].T


def is_cross(name):
    return "/crossattention/" in name


def expected_layers(tensors, prefix):
    """Returns all layers of BERT or RoBERTa in our layout, written out."""
    heads = (HEADS, WIDTH // HEADS)
    layers = {}
    for i in range(LAYERS):
        start = f"{prefix}encoder.layer.{i}."
        t = {
            name.removeprefix(start): tensor
            for name, tensor in tensors.items()
            if name.startswith(start)
        }
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
            weight = t[f"attention.self.{name}.weight"]
            layer[f"attention/{name}/kernel"] = weight.T.reshape(WIDTH, *heads)
            bias = t[f"attention.self.{name}.bias"]
            layer[f"attention/{name}/bias"] = bias.reshape(heads)
        layers |= {f"layer_{i}/{name}": values for name, values in layer.items()}
    return layers


def assert_holds(leaves, prefix, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(leaves[f"{prefix}/{name}"], values, err_msg=name)


# Placement


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_both_stacks_get_every_layer(write_checkpoint, start, kind):
    directory, tensors = write_checkpoint(kind)
    done = start(f"{kind}2{kind}", directory)
    expected = expected_layers(tensors, f"{kind}.")
    assert_holds(done.after, "encoder", expected)
    assert_holds(done.after, "decoder/bert", expected)
    for name, tensor in (("scale", "weight"), ("bias", "bias")):
        np.testing.assert_array_equal(
            done.after[f"decoder/bert/embeddings/LayerNorm/{name}"],
            tensors[f"{kind}.embeddings.LayerNorm.{tensor}"],
        )
    assert done.changed == {n for n in done.before if not is_cross(n)}


@pytest.mark.parametrize(
    ("name", "warm"),
    [
        ("bert2rnd", ("encoder/layer_", "decoder/bert/embeddings/")),
        ("rnd2bert", ("decoder/bert/layer_", "decoder/bert/embeddings/")),
        ("bertshare", ("decoder/bert/",)),
    ],
)
def test_a_recipe_warms_its_sides_and_the_shared_embeddings(
    write_checkpoint, start, name, warm
):
    directory, tensors = write_checkpoint()
    side = "decoder" if name == "rnd2bert" else "encoder"
    done = start(name, **{side: directory})
    expected = {n for n in done.before if n.startswith(warm) and not is_cross(n)}
    assert done.changed == expected
    prefix = "encoder" if name == "bert2rnd" else "decoder/bert"
    assert_holds(done.after, prefix, expected_layers(tensors, "bert."))


@pytest.mark.parametrize(("kind", "first"), [("bert", 0), ("roberta", 2)])
def test_positions_of_tokens_have_segment_0_added(write_checkpoint, start, kind, first):
    directory, tensors = write_checkpoint(kind)
    positions = tensors[f"{kind}.embeddings.position_embeddings.weight"]
    segment = tensors[f"{kind}.embeddings.token_type_embeddings.weight"][0]
    for length in (POSITIONS, 6):
        settings = {"max_position_embeddings": length}
        done = start(f"{kind}share", directory, settings=settings)
        np.testing.assert_array_equal(
            done.after[f"decoder/bert/{POSITION_TABLE}"],
            positions[first : first + length] + segment,
        )


def test_without_segments_nothing_is_added_to_positions(write_checkpoint, start):
    def remove_segments(tensors):
        del tensors["roberta.embeddings.token_type_embeddings.weight"]

    directory, tensors = write_checkpoint("roberta", change=remove_segments)
    done = start("robertashare", directory)
    positions = tensors["roberta.embeddings.position_embeddings.weight"]
    parameter = f"decoder/bert/{POSITION_TABLE}"
    np.testing.assert_array_equal(done.after[parameter], positions[2:])
    assert done.rows[parameter].action == "warm"


def test_old_names_of_layer_norms_are_the_same_tensors(write_checkpoint, start):
    def rename(tensors):
        for name in list(tensors):
            old = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            old = old.replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[old.removeprefix("bert.")] = tensors.pop(name)

    directory, _ = write_checkpoint("bert", "new")
    renamed, _ = write_checkpoint("bert", "old", change=rename)
    expected = start("bertshare", directory).after
    jax.tree.map(
        np.testing.assert_array_equal, start("bertshare", renamed).after, expected
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_weights_of_any_precision_become_f32(write_checkpoint, start, dtype):
    def cast(tensors):
        tensors |= {name: tensor.astype(dtype) for name, tensor in tensors.items()}

    directory, tensors = write_checkpoint("bert", change=cast)
    tensors = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    done = start("bertshare", directory)
    assert_holds(done.after, "decoder/bert", expected_layers(tensors, "bert."))
    assert {leaf.dtype for leaf in done.after.values()} == {np.dtype(np.float32)}


def test_params_may_be_device_arrays(write_checkpoint, draw_params):
    directory, _ = write_checkpoint()
    recipe, selection = recipes.get("bertshare"), Selection()
    opened = opening.open_checkpoints(recipe, encoder=directory, decoder=None)
    tokenizers = opening.choose_tokenizers(opened)
    config = architecture.model_config(
        recipe, opened, tokenizers, selection, "tiny", {}
    )
    params, arguments = draw_params(config), (config, opened, tokenizers, selection)
    host, _ = transfer(params, *arguments)
    device, _ = transfer(jax.tree.map(jnp.asarray, params), *arguments)
    jax.tree.map(np.testing.assert_array_equal, host, device)


def test_params_of_another_model_are_an_error(write_checkpoint, draw_params):
    directory, _ = write_checkpoint()
    recipe, selection = recipes.get("bert2bert"), Selection()
    opened = opening.open_checkpoints(recipe, encoder=directory, decoder=None)
    tokenizers = opening.choose_tokenizers(opened)
    config = architecture.model_config(
        recipe, opened, tokenizers, selection, "tiny", {}
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
            transfer(draw_params(other), config, opened, tokenizers, selection)


# Rows of words


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_each_piece_gets_the_row_of_its_text(
    write_checkpoint, start, sentencepiece, kind
):
    directory, tensors = write_checkpoint(kind)
    pair = TokenizerPair.of(sentencepiece)
    done = start(f"{kind}share", directory, tokenizers=pair)
    words = tensors[f"{kind}.embeddings.word_embeddings.weight"]
    if kind == "bert":
        lines = (directory / "vocab.txt").read_text().splitlines()
        checkpoint_rows = {piece: row for row, piece in enumerate(lines)}
        special = {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"}
    else:
        checkpoint_rows = json.loads((directory / "vocab.json").read_text())
        special = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    roles = {getattr(sentencepiece.special_ids, r): name for r, name in special.items()}
    parameter = f"decoder/bert/{WORD_TABLE}"
    expected, matched = done.before[parameter].copy(), 0
    for piece, row in sentencepiece.get_vocab().items():
        if row in roles:
            spelled = roles[row]
        elif kind == "roberta":
            spelled = piece.replace("▁", "Ġ")
        elif piece in (".", "▁."):  # BERT never uses the row of "##."
            spelled = "."
        else:
            spelled = piece[1:] if piece.startswith("▁") else f"##{piece}"
        if spelled in checkpoint_rows:
            expected[row] = words[checkpoint_rows[spelled]]
            matched += 1
    assert 20 < matched < sentencepiece.vocab_size
    np.testing.assert_array_equal(done.after[parameter], expected)
    row = done.rows[parameter]
    assert (row.action, row.warm) == ("permuted", matched * WIDTH)
    assert row.note == (
        f"{matched} of {sentencepiece.vocab_size} rows: "
        f"{matched - 4} by text, 4 by role"
    )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_vocabulary_of_the_checkpoint_keeps_its_rows(write_checkpoint, start, kind):
    directory, tensors = write_checkpoint(kind)
    done = start(f"{kind}share", directory)
    words = tensors[f"{kind}.embeddings.word_embeddings.weight"]
    parameter = f"decoder/bert/{WORD_TABLE}"
    np.testing.assert_array_equal(done.after[parameter], words)
    assert (done.rows[parameter].action, done.rows[parameter].warm) == (
        "warm",
        words.size,
    )


def test_rows_after_the_vocabulary_of_the_checkpoint_are_kept(write_checkpoint, start):
    words = "bert.embeddings.word_embeddings.weight"

    def pad(tensors):
        tensors[words] = np.pad(tensors[words], ((0, 5), (0, 0)))
        del tensors["cls.predictions.bias"]

    directory, tensors = write_checkpoint("bert", change=pad, vocab_size=WORDS + 5)
    done = start("bert2bert", directory)
    np.testing.assert_array_equal(
        done.after[f"decoder/bert/{WORD_TABLE}"], tensors[words]
    )


def test_a_vocabulary_of_another_checkpoint_is_an_error(
    write_checkpoint, start, sentencepiece
):
    directory, _ = write_checkpoint()
    with (directory / "vocab.txt").open("a") as file:
        file.write("beyond\n")
    with pytest.raises(CheckpointError, match=r"31 pieces, but .* 30 rows; expected"):
        start("bertshare", directory, tokenizers=TokenizerPair.of(sentencepiece))


def test_a_vocabulary_without_a_common_piece_is_an_error(write_checkpoint, start):
    directory, _ = write_checkpoint("bert")
    other, _ = write_checkpoint("bert", "other")
    (other / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nД\n")
    own = opening.choose_tokenizers(
        opening.open_checkpoints(recipes.get("bertshare"), encoder=other, decoder=None)
    )
    with pytest.raises(
        CheckpointError, match="none of its 30 pieces is a piece of the tok"
    ):
        start("bertshare", directory, tokenizers=own, parts="embeddings")


def test_rows_without_a_piece_stay_random(write_checkpoint, start):
    """Such as rows up to the next multiple of 128."""
    directory, tensors = write_checkpoint("bert")
    done = start("bert2bert", directory, settings={"vocab_size": 32})
    table = done.after[f"decoder/bert/{WORD_TABLE}"]
    words = tensors["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(table[:WORDS], words)
    np.testing.assert_array_equal(
        table[WORDS:], done.before[f"decoder/bert/{WORD_TABLE}"][WORDS:]
    )


# Part of the checkpoints


@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_only_the_embeddings_can_be_transferred(write_checkpoint, start, recipe):
    directory, _ = write_checkpoint("bert")
    done = start(recipe, directory, parts="embeddings")
    assert done.changed == {n for n in done.before if "/embeddings/" in n}
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    assert reasons.count("left out on purpose (init.parts=embeddings)") == 16 * LAYERS


@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_only_the_layers_can_be_transferred(write_checkpoint, start, recipe):
    directory, _ = write_checkpoint("bert")
    done = start(recipe, directory, parts="layers")
    layers = {n for n in done.before if "/layer_" in n and not is_cross(n)}
    assert done.changed == layers
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    # Words, positions, segments and the LayerNorm, none of which is listed as rows.
    assert reasons.count("left out on purpose (init.parts=layers)") == 5
    assert not any("rows" in reason for reason in reasons)


def test_the_layers_of_gpt2_include_its_last_norm(write_checkpoint, start):
    directory, _ = write_checkpoint("gpt2")
    done = start("gpt", decoder=directory, parts="layers")
    assert done.changed == {n for n in done.before if "/embeddings/" not in n}


@pytest.mark.parametrize("layers", [(2,), (2, 1), (1, 1, 2)])
@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_chosen_layers_keep_their_order(write_checkpoint, start, recipe, layers):
    directory, tensors = write_checkpoint("bert")
    done = start(recipe, directory, layers=layers)
    sides = ("decoder/bert",) if recipe == "bertshare" else ("encoder", "decoder/bert")
    for side in sides:
        for layer, number in enumerate(layers):
            name = f"bert.encoder.layer.{number - 1}.intermediate.dense"
            np.testing.assert_array_equal(
                done.after[f"{side}/layer_{layer}/intermediate/kernel"],
                kernel(tensors, name),
            )
        assert f"{side}/layer_{len(layers)}/intermediate/kernel" not in done.after
    assert {n for n in done.before if n not in done.changed} == {
        n for n in done.before if is_cross(n)
    }
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    unused = 16 * (LAYERS - len(set(layers)))
    assert reasons.count("a layer that was not chosen (init.layers)") == unused


def test_sizes_other_than_the_checkpoints_are_errors(write_checkpoint, start):
    directory, _ = write_checkpoint("bert")
    for settings in ({"num_hidden_layers": 1}, {"hidden_size": 4}, {"vocab_size": 29}):
        with pytest.raises(ConfigError, match="expected"):
            start("bert2bert", directory, settings=settings)


def test_a_model_may_have_fewer_positions(write_checkpoint, start):
    directory, tensors = write_checkpoint("bert")
    done = start("bert2bert", directory, settings={"max_position_embeddings": 4})
    segment = tensors["bert.embeddings.token_type_embeddings.weight"][0]
    np.testing.assert_array_equal(
        done.after[f"decoder/bert/{POSITION_TABLE}"],
        tensors["bert.embeddings.position_embeddings.weight"][:4] + segment,
    )
    row = done.rows[f"decoder/bert/{POSITION_TABLE}"]
    assert (row.shape, row.warm) == ((4, WIDTH), 4 * WIDTH)
    (unused,) = (
        tensor
        for tensors in done.report.unused.values()
        for tensor in tensors
        if tensor.reason == "positions that the model does not have"
    )
    assert (unused.rows, unused.shape) == (POSITIONS - 4, (POSITIONS, WIDTH))


# The bias of the masked-LM head


@pytest.mark.parametrize(
    ("kind", "recipe", "bias"),
    [
        ("bert", "bert2bert", "cls.predictions.bias"),
        ("google", "bertshare", "cls/predictions/output_bias"),
        ("bert", "rnd2bert", "cls.predictions.bias"),
        ("roberta", "robertashare", "lm_head.bias"),
    ],
)
def test_the_output_bias_may_be_kept(write_checkpoint, start, kind, recipe, bias):
    directory, tensors = write_checkpoint(kind)
    side = {"decoder" if recipe == "rnd2bert" else "encoder": directory}
    settings = {"lm_head_bias": True}
    done = start(recipe, settings=settings, mlm_bias=True, **side)
    name = "lm_head.bias" if kind == "roberta" else "cls.predictions.bias"
    np.testing.assert_array_equal(done.after["decoder/lm_head/bias"], tensors[name])
    row = done.rows["decoder/lm_head/bias"]
    assert (row.action, row.origin, row.warm) == ("warm", bias, WORDS)
    done = start(recipe, settings=settings, **side)
    assert "decoder/lm_head/bias" not in done.changed


# GPT-2


def assert_gpt2(done, tensors, side="decoder/bert"):
    """Checks that the decoder has the parameters of GPT-2."""
    for i in range(LAYERS):
        layer, name = f"{side}/layer_{i}", f"transformer.h.{i}"
        fused = tensors[f"{name}.attn.c_attn.weight"].reshape(WIDTH, 3, 2, WIDTH // 2)
        for part, kind in enumerate(("query", "key", "value")):
            np.testing.assert_array_equal(
                done.after[f"{layer}/attention/{kind}/kernel"], fused[:, part]
            )
        np.testing.assert_array_equal(
            done.after[f"{layer}/attention/LayerNorm/scale"],
            tensors[f"{name}.ln_1.weight"],
        )
        np.testing.assert_array_equal(
            done.after[f"{layer}/output/kernel"], tensors[f"{name}.mlp.c_proj.weight"]
        )
    np.testing.assert_array_equal(
        done.after[f"{side}/LayerNorm/bias"], tensors["transformer.ln_f.bias"]
    )
    np.testing.assert_array_equal(
        done.after[f"{side}/{WORD_TABLE}"], tensors["transformer.wte.weight"]
    )
    np.testing.assert_array_equal(
        done.after[f"{side}/{POSITION_TABLE}"], tensors["transformer.wpe.weight"]
    )


def test_gpt_uses_every_tensor_of_gpt2(write_checkpoint, start):
    directory, tensors = write_checkpoint("gpt2")
    done = start("gpt", decoder=directory)
    assert done.changed == set(done.before)
    assert_gpt2(done, tensors)
    assert done.report.warm == done.report.trainable
    assert list(done.report.unused.values()) == [()]


def test_a_random_encoder_beside_gpt2_shares_its_tables(write_checkpoint, start):
    directory, tensors = write_checkpoint("gpt2")
    done = start("rnd2gpt", decoder=directory)
    assert_gpt2(done, tensors)
    # GPT-2 does not normalise its embeddings, so this norm is the encoder's own.
    cold = {n for n in done.before if n not in done.changed}
    assert cold == {n for n in done.before if n.startswith("encoder/") or is_cross(n)}
    assert "encoder/embeddings/LayerNorm/scale" in cold
    assert done.rows[f"encoder/{WORD_TABLE}"].action == "shared"
    assert done.rows["decoder/lm_head/kernel"].action == "tied"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_two_kinds_keep_their_vocabularies(write_checkpoint, start, kind):
    encoder, encoder_tensors = write_checkpoint(kind, "first")
    decoder, decoder_tensors = write_checkpoint("gpt2", "second")
    done = start(f"{kind}2gpt", encoder, decoder)
    assert_gpt2(done, decoder_tensors)
    np.testing.assert_array_equal(
        done.after[f"encoder/{WORD_TABLE}"],
        encoder_tensors[f"{kind}.embeddings.word_embeddings.weight"],
    )
    np.testing.assert_array_equal(
        done.after["encoder/layer_1/output/kernel"],
        kernel(encoder_tensors, f"{kind}.encoder.layer.1.output.dense"),
    )
    assert done.changed == {n for n in done.before if not is_cross(n)}
    assert len(done.report.origins) == len(done.report.unused) == 2


def test_one_vocabulary_for_two_kinds_is_matched_by_text(write_checkpoint, start):
    encoder, encoder_tensors = write_checkpoint("bert", "first")
    decoder, decoder_tensors = write_checkpoint("gpt2", "second")
    pieces = vocabularies.write_byte_level(decoder, "gpt2")
    own = opening.choose_tokenizers(
        opening.open_checkpoints(recipes.get("gpt"), encoder=None, decoder=decoder)
    )
    done = start("bert2gpt", encoder, decoder, tokenizers=TokenizerPair.of(own.source))
    assert_gpt2(done, decoder_tensors)
    table = done.after[f"encoder/{WORD_TABLE}"]
    bert_pieces = vocabularies.write_word_pieces(encoder)
    words = encoder_tensors["bert.embeddings.word_embeddings.weight"]
    for gpt2_piece, bert_piece in (
        ("Ġc", "c"),
        ("c", "##c"),
        (".", "."),
        ("<|endoftext|>", "[SEP]"),
    ):
        np.testing.assert_array_equal(
            table[pieces.index(gpt2_piece)], words[bert_pieces.index(bert_piece)]
        )
    before = done.before[f"encoder/{WORD_TABLE}"]
    row = pieces.index("ab")
    np.testing.assert_array_equal(table[row], before[row])


def test_unequal_widths_get_a_random_projection(write_checkpoint, start, draw_params):
    encoder, encoder_tensors = write_checkpoint("bert", "first")
    decoder, _ = write_checkpoint("gpt2", "second")
    wide = dataclasses.replace(
        detection.open_checkpoint(decoder).config, hidden_size=12, intermediate_size=48
    )
    saving.save(decoder, wide, draw_params(wide))
    done = start("bert2gpt", encoder, decoder)
    assert done.after["enc_to_dec_proj/kernel"].shape == (WIDTH, 12)
    for name in ("enc_to_dec_proj/kernel", "enc_to_dec_proj/bias"):
        assert done.rows[name].action == "random"
        assert name not in done.changed
    assert done.after["decoder/bert/layer_0/crossattention/key/kernel"].shape[0] == 12
    np.testing.assert_array_equal(
        done.after["encoder/layer_1/output/kernel"],
        kernel(encoder_tensors, "bert.encoder.layer.1.output.dense"),
    )


# Several checkpoints, and checkpoints of several stacks


def test_two_checkpoints_share_nothing(write_checkpoint, start):
    first, first_tensors = write_checkpoint("bert", "first")
    second, second_tensors = write_checkpoint("bert", "second", seed=7)
    done = start("bert2bert", first, second)
    assert not done.config.share_embeddings
    assert done.changed == {n for n in done.before if not is_cross(n)}
    assert set(done.report.unused) == {str(first / FILE), str(second / FILE)}
    for side, tensors in (
        ("encoder", first_tensors),
        ("decoder/bert", second_tensors),
    ):
        np.testing.assert_array_equal(
            done.after[f"{side}/{WORD_TABLE}"],
            tensors["bert.embeddings.word_embeddings.weight"],
        )
        np.testing.assert_array_equal(
            done.after[f"{side}/layer_0/output/kernel"],
            kernel(tensors, "bert.encoder.layer.0.output.dense"),
        )


def test_two_checkpoints_in_one_directory_are_two(write_checkpoint, start, tmp_path):
    directory, first_tensors = write_checkpoint("google")
    writer, values, draw, _ = checkpoints.ALL["google"]
    writer(directory, values, draw(7), prefix="later.ckpt")
    first, second = directory / "bert_model.ckpt", directory / "later.ckpt"
    done = start("bert2bert", first, second)
    for side, tensors in (("encoder", first_tensors), ("decoder/bert", draw(7))):
        np.testing.assert_array_equal(
            done.after[f"{side}/layer_0/output/kernel"],
            kernel(tensors, "bert.encoder.layer.0.output.dense"),
        )
    assert set(done.report.unused) == {f"{first}.index", f"{second}.index"}
    with pytest.raises(
        ConfigError, match=r"^encoder is .*bert_model\.ckpt\.index, decoder is"
    ):
        start("bertshare", first, second)


def test_both_stacks_of_a_pair_keep_their_sides(write_checkpoint, start):
    directory, tensors = write_checkpoint("pair")
    done = start("bert2bert", directory)
    for side, name in (("encoder", "encoder"), ("decoder/bert", "decoder.bert")):
        np.testing.assert_array_equal(
            done.after[f"{side}/{WORD_TABLE}"],
            tensors[f"{name}.embeddings.word_embeddings.weight"],
        )
        np.testing.assert_array_equal(
            done.after[f"{side}/layer_1/intermediate/kernel"],
            kernel(tensors, f"{name}.encoder.layer.1.intermediate.dense"),
        )
    (unused,) = done.report.unused.values()
    assert {u.tensor for u in unused} == {
        *(name for name in tensors if "crossattention" in name),
        "decoder.lm_head.bias",
    }


def test_a_hub_module_is_used_except_for_cross_attention(write_checkpoint, start):
    directory, _ = write_checkpoint("hub")
    done = start("roberta2roberta", directory)
    (unused,) = done.report.unused.values()
    assert len(unused) == 20
    assert all("/attention/encdec" in u.tensor for u in unused)


def test_a_shared_pair_fits_any_recipe_of_its_kind(write_checkpoint, start):
    directory, tensors = write_checkpoint("shared pair")
    for recipe in ("bertshare", "bert2bert", "bert2rnd", "rnd2bert"):
        side = "decoder" if recipe == "rnd2bert" else "encoder"
        done = start(recipe, **{side: directory})
        prefix = "encoder" if recipe == "bert2rnd" else "decoder/bert"
        np.testing.assert_array_equal(
            done.after[f"{prefix}/layer_1/intermediate/kernel"],
            kernel(tensors, "decoder.bert.encoder.layer.1.intermediate.dense"),
        )


def test_two_arrays_for_one_shared_parameter_are_an_error(write_checkpoint, start):
    """A recipe of the user's own can ask for it."""
    first, _ = write_checkpoint("bert", "first")
    second, _ = write_checkpoint("bert", "second")
    recipe = Recipe("bert", "bert")
    done = start(recipe, first, second)
    shared = dataclasses.replace(done.config, share_embeddings=True)
    opened = opening.open_checkpoints(recipe, encoder=first, decoder=second)
    tokenizers = opening.choose_tokenizers(opened)
    params = trees.nested(
        {n: a for n, a in done.before.items() if not n.startswith("encoder/embeddings")}
    )
    with pytest.raises(
        CheckpointError, match=r"would both be decoder/bert/embeddings/w"
    ):
        transfer(params, shared, opened, tokenizers, Selection())


def test_a_saved_prefix_model_is_a_checkpoint_too(write_checkpoint, start, tmp_path):
    directory, tensors = write_checkpoint("gpt2")
    done = start("gpt", decoder=directory)
    saving.save(tmp_path / "saved", done.config, trees.nested(done.after))
    vocabularies.write_byte_level(tmp_path / "saved", "gpt2")
    for recipe in ("gpt", "rnd2gpt"):
        assert_gpt2(start(recipe, decoder=tmp_path / "saved"), tensors)
