"""Recipes take from checkpoints what they say, and account for all the rest."""

import dataclasses
import json
import re

import numpy as np
import pytest

from bertgen_jax import trees
from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.pretrained import saving
from bertgen_jax.pretrained.formats import detection
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.warm_start import architecture, opening, recipes
from bertgen_jax.warm_start.recipes import Recipe, Selection
from bertgen_jax.warm_start.transfer import transfer
from tests.fixtures import checkpoints, vocabularies
from tests.fixtures.checkpoints import LAYERS, POSITIONS, WIDTH, WORDS

TABLE = "embeddings/word_embeddings/embedding"
PLACES = "embeddings/position_embeddings/embedding"


@pytest.fixture
def source(tmp_path):
    """Writes a checkpoint with a vocabulary: (kind, name) -> directory, tensors."""

    def write(kind, name="source", **options):
        directory, tensors = checkpoints.write(kind, tmp_path / name, **options)
        if kind in ("gpt2", "roberta"):
            vocabularies.write_byte_level(directory, kind)
        else:
            vocabularies.write_word_pieces(directory)
        return directory, tensors

    return write


@dataclasses.dataclass
class Started:
    config: object
    before: dict
    after: dict
    report: object

    @property
    def changed(self):
        return {
            n for n, a in self.before.items() if not np.array_equal(a, self.after[n])
        }


@pytest.fixture
def start(draw_params):
    """(recipe, encoder, decoder, ...) -> what came of it, its account checked."""

    def run(name, encoder=None, decoder=None, tokenizers=None, settings=None, **chosen):
        recipe = name if isinstance(name, Recipe) else recipes.get(name)
        selection = Selection(**chosen)
        sources = opening.open_checkpoints(recipe, encoder=encoder, decoder=decoder)
        tokenizers = tokenizers or opening.choose_tokenizers(sources)
        config = architecture.model_config(
            recipe, sources, tokenizers, selection, "tiny", settings or {}
        )
        before = draw_params(config)
        after, report = transfer(before, config, sources, tokenizers, selection)
        before, after = trees.named(before), trees.named(after)
        assert_accounted(before, after, report, sources)
        return Started(config, before, after, report)

    return run


def assert_accounted(before, after, report, sources):
    """A row for every parameter, and every tensor of every file once: taken or left."""
    own = [row for row in report.rows if row.action not in ("shared", "tied")]
    assert [row.parameter for row in own] == list(before)
    for row in own:
        assert row.shape == after[row.parameter].shape
        assert (row.action == "random") == (not row.origin) == (not row.warm)
        same = np.array_equal(before[row.parameter], after[row.parameter])
        assert same == (row.action == "random")
    for row in report.rows:
        if row.action in ("shared", "tied"):
            assert row.origin in before
            assert row.parameter not in before
    assert report.trainable == sum(array.size for array in after.values())
    assert report.warm <= report.trainable

    found = [part for row in own for part in row.origin.split(" + ") if part]
    taken = {re.sub(r"\[\d+(/\d+)?\]$", "", part) for part in found}
    files = {str(one.tensors.path): one.tensors for one in sources.values()}
    assert set(report.unused) == set(files)
    everything = [name for file in files.values() for name in file.tensors]
    assert taken <= set(everything)
    for path, unused in report.unused.items():
        for one in unused:
            assert one.shape == files[path].tensors[one.tensor].shape
            assert one.reason
        whole = [one.tensor for one in unused if not one.rows]
        assert len(whole) == len(set(whole))
        if len(files) == 1:
            assert sorted([*whole, *taken]) == sorted(everything)
        assert {one.tensor for one in unused if one.rows} <= set(files[path].tensors)


def kernel(tensors, name):
    return tensors[f"{name}.weight"].T


def is_cross(name):
    return "/crossattention/" in name


# Which part of the checkpoints


@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_embeddings_alone(source, start, recipe):
    directory, _ = source("bert")
    done = start(recipe, directory, parts="embeddings")
    assert done.changed == {n for n in done.before if "/embeddings/" in n}
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    assert reasons.count("left out on purpose (init.parts=embeddings)") == 16 * LAYERS


@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_layers_alone(source, start, recipe):
    directory, _ = source("bert")
    done = start(recipe, directory, parts="layers")
    layers = {n for n in done.before if "/layer_" in n and not is_cross(n)}
    assert done.changed == layers
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    # Words, positions, segments and the LayerNorm, of which none is taken in part.
    assert reasons.count("left out on purpose (init.parts=layers)") == 5
    assert not any("rows" in reason for reason in reasons)


def test_layers_of_gpt2_are_also_its_last_norm(source, start):
    directory, _ = source("gpt2")
    done = start("gpt", decoder=directory, parts="layers")
    assert done.changed == {n for n in done.before if "/embeddings/" not in n}


@pytest.mark.parametrize("layers", [(2,), (2, 1), (1, 1, 2)])
@pytest.mark.parametrize("recipe", ["bert2bert", "bertshare"])
def test_chosen_layers_in_their_order(source, start, recipe, layers):
    directory, tensors = source("bert")
    done = start(recipe, directory, layers=layers)
    sides = ("decoder/bert",) if recipe == "bertshare" else ("encoder", "decoder/bert")
    for side in sides:
        for place, number in enumerate(layers):
            name = f"bert.encoder.layer.{number - 1}.intermediate.dense"
            np.testing.assert_array_equal(
                done.after[f"{side}/layer_{place}/intermediate/kernel"],
                kernel(tensors, name),
            )
        assert f"{side}/layer_{len(layers)}/intermediate/kernel" not in done.after
    assert {n for n in done.before if n not in done.changed} == {
        n for n in done.before if is_cross(n)
    }
    reasons = [u.reason for unused in done.report.unused.values() for u in unused]
    left = 16 * (LAYERS - len(set(layers)))
    assert reasons.count("a layer that was not chosen (init.layers)") == left


def test_a_layer_that_is_not_there(source, start):
    directory, _ = source("bert")
    with pytest.raises(ConfigError, match=r"asks for layer 3; .*source has 2\."):
        start("bert2bert", directory, layers=(1, 3))


def test_as_many_layers_as_the_checkpoint_has(source, start):
    directory, _ = source("bert")
    for settings in ({"num_hidden_layers": 1}, {"hidden_size": 4}, {"vocab_size": 29}):
        with pytest.raises(ConfigError, match="expected"):
            start("bert2bert", directory, settings=settings)


def test_fewer_positions(source, start):
    directory, tensors = source("bert")
    done = start("bert2bert", directory, settings={"max_position_embeddings": 4})
    segment = tensors["bert.embeddings.token_type_embeddings.weight"][0]
    np.testing.assert_array_equal(
        done.after[f"decoder/bert/{PLACES}"],
        tensors["bert.embeddings.position_embeddings.weight"][:4] + segment,
    )
    rows = {row.parameter: row for row in done.report.rows}
    row = rows[f"decoder/bert/{PLACES}"]
    assert (row.shape, row.warm) == ((4, WIDTH), 4 * WIDTH)
    (left,) = (
        one
        for unused in done.report.unused.values()
        for one in unused
        if one.reason == "positions that the model does not have"
    )
    assert (left.rows, left.shape) == (POSITIONS - 4, (POSITIONS, WIDTH))


def test_more_positions_than_there_are(source, start, caplog):
    directory, _ = source("bert")
    done = start("bert2rnd", directory, settings={"max_position_embeddings": 512})
    assert done.config.encoder.max_position_embeddings == POSITIONS
    assert "has 10 positions, as many as its checkpoint, instead of 512" in caplog.text


def test_more_rows_than_pieces(source, start):
    """Such as the next multiple of 128."""
    directory, tensors = source("bert")
    done = start("bert2bert", directory, settings={"vocab_size": 32})
    table = done.after[f"decoder/bert/{TABLE}"]
    words = tensors["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(table[:WORDS], words)
    np.testing.assert_array_equal(
        table[WORDS:], done.before[f"decoder/bert/{TABLE}"][WORDS:]
    )


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
def test_the_output_bias_may_be_kept(source, start, kind, recipe, bias):
    directory, tensors = source(kind)
    side = {"decoder" if recipe == "rnd2bert" else "encoder": directory}
    settings = {"lm_head_bias": True}
    done = start(recipe, settings=settings, mlm_bias=True, **side)
    name = "lm_head.bias" if kind == "roberta" else "cls.predictions.bias"
    np.testing.assert_array_equal(done.after["decoder/lm_head/bias"], tensors[name])
    row = next(r for r in done.report.rows if r.parameter == "decoder/lm_head/bias")
    assert (row.action, row.origin, row.warm) == ("warm", bias, WORDS)
    done = start(recipe, settings=settings, **side)
    assert "decoder/lm_head/bias" not in done.changed


def test_a_bias_that_cannot_be_kept(source, start):
    bert, _ = source("bert")
    headless, _ = source("encoder", "other")
    with pytest.raises(ConfigError, match="expected lm_head_bias=True as well"):
        start("bert2bert", bert, mlm_bias=True)
    settings = {"lm_head_bias": True}
    for recipe, encoder in (("bert2rnd", bert), ("bertshare", headless)):
        with pytest.raises(
            ConfigError, match="does not start from a checkpoint with a"
        ):
            start(recipe, encoder, settings=settings, mlm_bias=True)


# GPT-2


def assert_gpt2(done, tensors, side="decoder/bert"):
    """The decoder is the checkpoint's."""
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
        done.after[f"{side}/{TABLE}"], tensors["transformer.wte.weight"]
    )
    np.testing.assert_array_equal(
        done.after[f"{side}/{PLACES}"], tensors["transformer.wpe.weight"]
    )


def test_gpt_is_all_the_checkpoints(source, start):
    directory, tensors = source("gpt2")
    done = start("gpt", decoder=directory)
    assert isinstance(done.config, PrefixLanguageModelConfig)
    assert done.config.decoder.pre_layer_norm
    assert done.config.start_token_id == WORDS - 1
    assert done.changed == set(done.before)
    assert_gpt2(done, tensors)
    assert done.report.warm == done.report.trainable
    assert list(done.report.unused.values()) == [()]


def test_a_random_encoder_before_gpt2_has_its_tables(source, start):
    directory, tensors = source("gpt2")
    done = start("rnd2gpt", decoder=directory)
    assert_gpt2(done, tensors)
    encoder = done.config.encoder
    assert not encoder.pre_layer_norm
    assert (encoder.layer_norm_eps, encoder.hidden_act) == (1e-12, "gelu")
    assert encoder.hidden_size == WIDTH
    # GPT-2 does not normalise its embeddings, so that this norm is the encoder's own.
    cold = {n for n in done.before if n not in done.changed}
    assert cold == {n for n in done.before if n.startswith("encoder/") or is_cross(n)}
    assert "encoder/embeddings/LayerNorm/scale" in cold
    rows = {row.parameter: row for row in done.report.rows}
    assert rows[f"encoder/{TABLE}"].action == "shared"
    assert rows["decoder/lm_head/kernel"].action == "tied"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_two_kinds_keep_their_vocabularies(source, start, kind):
    encoder, read = source(kind, "one")
    decoder, tensors = source("gpt2", "other")
    done = start(f"{kind}2gpt", encoder, decoder)
    assert_gpt2(done, tensors)
    np.testing.assert_array_equal(
        done.after[f"encoder/{TABLE}"],
        read[f"{kind}.embeddings.word_embeddings.weight"],
    )
    np.testing.assert_array_equal(
        done.after["encoder/layer_1/output/kernel"],
        kernel(read, f"{kind}.encoder.layer.1.output.dense"),
    )
    assert done.changed == {n for n in done.before if not is_cross(n)}
    config = done.config
    assert (config.encoder.layer_norm_eps, config.decoder.layer_norm_eps) == (
        {"bert": 1e-12, "roberta": 1e-5}[kind],
        1e-5,
    )
    assert config.encoder.pad_token_id == {"bert": 0, "roberta": 1}[kind]
    assert config.start_token_id == config.eos_token_id == WORDS - 1
    assert len(done.report.origins) == len(done.report.unused) == 2


def test_one_vocabulary_for_two_kinds_is_matched_by_text(source, start):
    encoder, read = source("bert", "one")
    decoder, tensors = source("gpt2", "other")
    pieces = vocabularies.write_byte_level(decoder, "gpt2")
    own = opening.choose_tokenizers(
        opening.open_checkpoints(recipes.get("gpt"), encoder=None, decoder=decoder)
    )
    done = start("bert2gpt", encoder, decoder, tokenizers=TokenizerPair.of(own.source))
    assert_gpt2(done, tensors)
    table = done.after[f"encoder/{TABLE}"]
    theirs = vocabularies.write_word_pieces(encoder)
    words = read["bert.embeddings.word_embeddings.weight"]
    for ours, their in (
        ("Ġc", "c"),
        ("c", "##c"),
        (".", "."),
        ("<|endoftext|>", "[SEP]"),
    ):
        np.testing.assert_array_equal(
            table[pieces.index(ours)], words[theirs.index(their)]
        )
    before = done.before[f"encoder/{TABLE}"]
    row = pieces.index("ab")
    np.testing.assert_array_equal(table[row], before[row])


def test_unequal_widths_are_bridged(source, start, draw_params, tmp_path):
    """By a random projection, as nothing else can be."""
    encoder, read = source("bert", "one")
    wide = dataclasses.replace(
        detection.open_checkpoint(source("gpt2", "other")[0]).config,
        hidden_size=12,
        intermediate_size=48,
    )
    saving.save(tmp_path / "other", wide, draw_params(wide))
    done = start("bert2gpt", encoder, tmp_path / "other")
    assert done.after["enc_to_dec_proj/kernel"].shape == (WIDTH, 12)
    rows = {row.parameter: row for row in done.report.rows}
    for name in ("enc_to_dec_proj/kernel", "enc_to_dec_proj/bias"):
        assert rows[name].action == "random"
        assert name not in done.changed
    assert done.after["decoder/bert/layer_0/crossattention/key/kernel"].shape[0] == 12
    np.testing.assert_array_equal(
        done.after["encoder/layer_1/output/kernel"],
        kernel(read, "bert.encoder.layer.1.output.dense"),
    )


# Several checkpoints, and checkpoints of several stacks


def test_two_checkpoints_share_nothing(source, start):
    one, read = source("bert", "one")
    other, tensors = source("bert", "other", seed=7)
    done = start("bert2bert", one, other)
    assert not done.config.share_embeddings
    for side, found in (("encoder", read), ("decoder/bert", tensors)):
        np.testing.assert_array_equal(
            done.after[f"{side}/{TABLE}"],
            found["bert.embeddings.word_embeddings.weight"],
        )
        np.testing.assert_array_equal(
            done.after[f"{side}/layer_0/output/kernel"],
            kernel(found, "bert.encoder.layer.0.output.dense"),
        )


def test_two_checkpoints_in_one_directory_are_two(source, start, tmp_path):
    directory, read = source("google")
    writer, values, made, _ = checkpoints.ALL["google"]
    writer(directory, values, made(7), prefix="later.ckpt")
    first, second = directory / "bert_model.ckpt", directory / "later.ckpt"
    done = start("bert2bert", first, second)
    for side, found in (("encoder", read), ("decoder/bert", made(7))):
        np.testing.assert_array_equal(
            done.after[f"{side}/layer_0/output/kernel"],
            kernel(found, "bert.encoder.layer.0.output.dense"),
        )
    assert set(done.report.unused) == {f"{first}.index", f"{second}.index"}
    with pytest.raises(ConfigError, match=r"bert_model\.ckpt\.index, init\.decoder is"):
        start("bertshare", first, second)


def test_one_checkpoint_by_two_names_is_one(source, start, tmp_path):
    directory, _ = source("bert")
    (tmp_path / "link").symlink_to(directory)
    done = start("bert2bert", directory, tmp_path / "link")
    assert done.config.share_embeddings
    assert len(done.report.unused) == 1
    assert start("bertshare", directory, tmp_path / "link").config.share_encoder_decoder


def test_both_sides_of_a_pair_go_where_they_were(source, start):
    directory, tensors = source("pair")
    done = start("bert2bert", directory)
    assert not done.config.share_embeddings  # as the pair has two tables
    for side, name in (("encoder", "encoder"), ("decoder/bert", "decoder.bert")):
        np.testing.assert_array_equal(
            done.after[f"{side}/{TABLE}"],
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


def test_a_pair_with_one_table_starts_one_with_one_table(source, start):
    directory, _ = source("hub")
    done = start("roberta2roberta", directory)
    assert done.config.share_embeddings
    (unused,) = done.report.unused.values()
    assert len(unused) == 20
    assert all("/attention/encdec" in u.tensor for u in unused)


def test_a_shared_pair_starts_any_recipe_of_its_kind(source, start):
    directory, tensors = source("shared pair")
    for recipe in ("bertshare", "bert2bert", "bert2rnd", "rnd2bert"):
        side = "decoder" if recipe == "rnd2bert" else "encoder"
        done = start(recipe, **{side: directory})
        prefix = "encoder" if recipe == "bert2rnd" else "decoder/bert"
        np.testing.assert_array_equal(
            done.after[f"{prefix}/layer_1/intermediate/kernel"],
            kernel(tensors, "decoder.bert.encoder.layer.1.intermediate.dense"),
        )


def test_two_stacks_are_not_one(source, start):
    directory, _ = source("pair")
    with pytest.raises(
        CheckpointError, match=r"source holds two stacks .*Hugging Face e"
    ):
        start("bertshare", directory)


def test_sides_that_share_cannot_start_from_two_arrays(source, start):
    """Where a recipe of one's own would have it so."""
    one, _ = source("bert", "one")
    other, _ = source("bert", "other")
    recipe = Recipe("bert", "bert")
    done = start(recipe, one, other)
    shared = dataclasses.replace(done.config, share_embeddings=True)
    sources = opening.open_checkpoints(recipe, encoder=one, decoder=other)
    tokenizers = opening.choose_tokenizers(sources)
    params = trees.nested(
        {n: a for n, a in done.before.items() if not n.startswith("encoder/embeddings")}
    )
    with pytest.raises(
        CheckpointError, match=r"would both be decoder/bert/embeddings/w"
    ):
        transfer(params, shared, sources, tokenizers, Selection())


def test_a_model_of_prefixes_starts_another(source, start, tmp_path):
    """What the recipe `gpt` has made is a checkpoint as well."""
    directory, tensors = source("gpt2")
    done = start("gpt", decoder=directory)
    saving.save(tmp_path / "ours", done.config, trees.nested(done.after))
    vocabularies.write_byte_level(tmp_path / "ours", "gpt2")
    for recipe in ("gpt", "rnd2gpt"):
        assert_gpt2(start(recipe, decoder=tmp_path / "ours"), tensors)


@pytest.mark.parametrize(
    ("recipe", "kind", "side", "message"),
    [
        (
            "bertshare",
            "gpt2",
            "encoder",
            r"of the kind gpt2 .*Recipes whose encoder sta.*: none",
        ),
        (
            "rnd2bert",
            "gpt2",
            "decoder",
            "from bert. .*: gpt, rnd2gpt, bert2gpt, roberta",
        ),
        ("rnd2gpt", "bert", "decoder", "from gpt2. .*: rnd2bert, bert2bert, bertshare"),
        (
            "rnd2gpt",
            "pair",
            "decoder",
            "of the kind encoder-decoder .*starts from gpt2",
        ),
    ],
)
def test_a_checkpoint_of_another_kind(source, start, recipe, kind, side, message):
    directory, _ = source(kind)
    with pytest.raises(CheckpointError, match=message):
        start(recipe, **{side: directory})


def test_nothing_of_a_checkpoint_is_an_error(source, start):
    """Embeddings alone, of which the model has none of the pieces."""
    directory, _ = source("bert")
    other, _ = source("bert", "other")
    (other / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nД\n")
    own = opening.choose_tokenizers(
        opening.open_checkpoints(recipes.get("bertshare"), encoder=other, decoder=None)
    )
    with pytest.raises(
        CheckpointError, match="none of its 30 pieces is a piece of the tok"
    ):
        start("bertshare", directory, tokenizers=own, parts="embeddings")


# The report


def test_a_recipe_without_checkpoints_has_a_report(source, start):
    directory, _ = source("bert")
    own = opening.choose_tokenizers(
        opening.open_checkpoints(
            recipes.get("bertshare"), encoder=directory, decoder=None
        )
    )
    done = start("rnd2rnd", tokenizers=own)
    assert not done.changed
    assert done.report.warm == 0
    lines = str(done.report).splitlines()
    assert (
        lines[0] == f"warm start: 0 of {done.report.trainable:,} trainable parameters"
    )
    assert lines[-1] == "  unused: nothing"


def test_shares_are_all_nothing_or_between(source, start):
    directory, _ = source("bert")
    text = str(start("bert2bert", directory).report)
    assert re.search(r"\n  embeddings: 100% of [\d,]+\n", text)
    assert re.search(r"\n  crossattention: 0% of [\d,]+\n", text)
    assert re.search(r"\n  encoder: 100% of [\d,]+\n", text)
    settings = {"vocab_size": 5000}
    text = str(start("bert2bert", directory, settings=settings).report)
    share = re.search(r"\n  embeddings: ([\d.]+)% of [\d,]+\n", text)[1]
    assert float(share) == pytest.approx(
        100 * (30 + 10 + 2) / (5000 + 10 + 2), abs=0.05
    )
    assert "decoder/bert/embeddings/word_embeddings/embedding: 30 of 5,000 rows" in text


def test_the_report_as_json(source, start):
    encoder, _ = source("roberta", "one")
    decoder, _ = source("gpt2", "other")
    report = start("roberta2gpt", encoder, decoder).report
    values = json.loads(json.dumps(report.to_dict()))
    assert len(values["parameters"]) == len(report.rows)
    assert {row["file"] for row in values["unused"]} == {
        str(encoder / "model.safetensors")
    }
    padding = [row for row in values["unused"] if row["rows"]]
    assert padding == [
        {
            "file": str(encoder / "model.safetensors"),
            "tensor": "roberta.embeddings.position_embeddings.weight",
            "shape": [POSITIONS + 2, WIDTH],
            "reason": "rows before 2, the positions of padding",
            "rows": 2,
        }
    ]
