"""Tests that ids, text and files equal those of `transformers`."""

import gzip
import itertools
import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import BYTE_LEVEL_BPE, WORDPIECE

pytestmark = pytest.mark.parity

FILES = {
    "uncased": "bert_base_uncased_vocab.txt",
    "cased": "bert_base_cased_vocab.txt",
    "multilingual": "bert_multi_cased_vocab.txt",
    "gpt2": "gpt2_vocab.json",
    "roberta": "roberta_vocab.json",
}
PARTS = strategies.one_of(
    strategies.text(max_size=12),
    strategies.text("abcdefghij ABCDE .,!?'\"-0123456789", max_size=20),
    strategies.text("éüßñÉ£“”’–…«ﬁİΣς\u0301\u00a0\u200b\u3000\u0130\u1e9e", max_size=8),
    strategies.text("\n\t\r \x00\x01\x7f\x85\u2028\ufeff\ufffd▁", max_size=6),
    strategies.text("日本語テキスト한국어русскийالعربيةहिन्दी😀👩‍👧", max_size=8),
    strategies.builds(
        lambda letter, count: letter * count,
        strategies.sampled_from("aZé中"),
        strategies.integers(95, 130),
    ),
    strategies.sampled_from(
        [
            "[CLS]",
            "[SEP]",
            "[MASK]",
            "[mask]",
            "[UNK]",
            "[PAD]",
            "[unused1]",
            "<s>",
            "</s>",
            "<mask>",
            "<pad>",
            "<unk>",
            "<|endoftext|>",
        ]
    ),
)
TEXTS = strategies.lists(PARTS, max_size=7).map("".join)


def read_merges(file):
    lines = file.read_text("utf-8").rstrip("\n").split("\n")[1:]
    return [tuple(line.split(" ")) for line in lines]


def build_hugging_face(transformers, folder, name):
    """Returns Hugging Face's tokenizer of the same vocabulary."""
    file = folder / FILES[name]
    if file.suffix == ".txt":
        lowers = name == "uncased"
        return transformers.BertTokenizerFast(str(file), do_lower_case=lowers)
    merges = read_merges(folder / f"{name}_merges.txt")
    vocab = json.loads(file.read_text("utf-8"))
    if name == "gpt2":
        return transformers.GPT2TokenizerFast(vocab, merges)
    return transformers.RobertaTokenizerFast(vocab, merges)


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture(params=FILES)
def pair(request, data_dir, made):
    """Our tokenizer and Hugging Face's, of one vocabulary; each made once."""
    transformers = pytest.importorskip("transformers")
    name = request.param
    if name not in made:
        folder = data_dir / "vocab"
        ours = AutoTokenizer.from_pretrained(folder / FILES[name])
        made[name] = ours, build_hugging_face(transformers, folder, name)
    return made[name]


def assert_equal(ours, hugging_face, texts):
    rows = ours.encode_batch(texts)
    expected = hugging_face(texts, add_special_tokens=False)["input_ids"]
    for text, row, wanted in zip(texts, rows, expected, strict=True):
        assert row == wanted, text
        for skip in (False, True):
            wanted = hugging_face.decode(row, skip_special_tokens=skip)
            assert ours.decode(row, skip) == wanted, text


def test_special_ids_and_vocabulary(pair):
    ours, hugging_face = pair
    ids, is_bert = ours.special_ids, ours.kind == WORDPIECE
    assert ours.vocab_size == len(hugging_face)
    assert ours.get_vocab() == hugging_face.get_vocab()
    assert ids.mask == hugging_face.mask_token_id
    assert ids.unk == hugging_face.unk_token_id
    assert ids.bos == (
        hugging_face.cls_token_id if is_bert else hugging_face.bos_token_id
    )
    assert ids.eos == (
        hugging_face.sep_token_id if is_bert else hugging_face.eos_token_id
    )
    assert ids.pad == (
        ids.eos if hugging_face.pad_token_id is None else hugging_face.pad_token_id
    )


def test_texts_of_the_goldens_and_of_wikipedia(pair, data_dir):
    ours, hugging_face = pair
    cases = json.loads((data_dir / "vocab/golden/edge_cases.json").read_text("utf-8"))
    texts = [case["input"] for cases in cases.values() for case in cases]
    for name in ("bert_base_uncased", "gpt2"):
        file = data_dir / f"vocab/golden/french_{name}.json"
        texts.append(json.loads(file.read_text("utf-8"))["text"])
    with gzip.open(data_dir / "wikisplit/validation.tsv.gz", "rt") as lines:
        for line in itertools.islice(lines, 1000):
            texts += line.split("\t")
    assert len(texts) > 2000
    assert_equal(ours, hugging_face, texts)
    for text in texts[:100]:
        assert ours.tokenize(text) == hugging_face.tokenize(text)


@hypothesis.given(texts=strategies.lists(TEXTS, min_size=1, max_size=20))
@hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_any_text(pair, texts):
    assert_equal(*pair, texts)


def test_decoding_any_ids(pair):
    ours, hugging_face = pair
    generator = np.random.default_rng(0)
    for row in generator.integers(ours.vocab_size, size=(300, 9)).tolist():
        for skip in (False, True):
            assert ours.decode(row, skip) == hugging_face.decode(
                row, skip_special_tokens=skip
            )
        tokens = hugging_face.convert_ids_to_tokens(row)
        assert ours.convert_ids_to_tokens(row) == tokens
        assert ours.convert_tokens_to_ids(tokens) == hugging_face.convert_tokens_to_ids(
            tokens
        )


def test_cleaning_up(pair):
    ours, hugging_face = pair
    if ours.kind == BYTE_LEVEL_BPE:
        pytest.skip("version 5 does not clean up after byte-level BPE")
    for text in ("it 's n't so , 'he ' said .", "a ' b 'm c ! d ?", "we 've re 're"):
        row = ours.encode(text)
        assert ours.decode(row, False, True) == hugging_face.decode(
            row, clean_up_tokenization_spaces=True
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "longest", "pad_to_multiple_of": 8},
        {"padding": True, "padding_side": "left"},
        {"truncation": True, "max_length": 4},
        {"padding": "max_length", "truncation": True, "max_length": 7},
    ],
)
def test_calling_and_padding(pair, arguments):
    ours, hugging_face = pair
    if hugging_face.pad_token is None and "padding" in arguments:
        pytest.skip("Hugging Face does not pad with GPT-2")
    texts = ["The red house", "blue", "", "a black door and five windows."]
    expected = hugging_face(texts, add_special_tokens=False, **arguments)
    encoded = ours(texts, **arguments)
    for name in ("input_ids", "attention_mask"):
        assert [list(row) for row in encoded[name]] == expected[name]


@pytest.mark.parametrize(
    "config",
    [None, {"model_type": "bert-generation"}, {"model_type": "encoder-decoder"}],
)
@pytest.mark.parametrize("source_specials", [False, True])
def test_hugging_face_loads_saved_directories(
    wordpiece, gpt2, roberta, tmp_path, source_specials, config
):
    transformers = pytest.importorskip("transformers")
    for number, tokenizer in enumerate((wordpiece, gpt2, roberta)):
        if tokenizer is gpt2 and source_specials:
            continue
        tokenizer.save_pretrained(tmp_path / "plain")
        directory = tmp_path / str(number)
        ours = AutoTokenizer.from_pretrained(
            tmp_path / "plain",
            source_specials=source_specials,
            extra_special_tokens=("[X]",),
            added_tokens=[
                *tokenizer.added_tokens_decoder.values(),
                AddedToken("Zebra", lstrip=True),
            ],
            model_max_length=32,
        )
        ours.save_pretrained(directory)
        if config is not None:
            if config["model_type"] == "encoder-decoder":
                side = {"model_type": "bert-generation"}
                config = config | {"encoder": side, "decoder": side}
            (directory / "config.json").write_text(json.dumps(config))
        hugging_face = transformers.AutoTokenizer.from_pretrained(directory)
        assert len(hugging_face) == ours.vocab_size
        assert hugging_face.model_max_length == 32
        assert hugging_face.model_input_names == ["input_ids", "attention_mask"]
        for role in ("bos", "eos", "unk", "pad", "mask"):
            id_ = getattr(hugging_face, f"{role}_token_id")
            assert id_ in (getattr(ours.special_ids, role), None)
        texts = ["The bug  zebra[X] , Zebra", "[MASK]<mask> é中", "", "<s>the [SEP]"]
        assert_equal(ours, hugging_face, texts)
        around = [
            [*ours.source_prefix, *row, *ours.source_suffix]
            for row in ours.encode_batch(texts)
        ]
        assert hugging_face(texts)["input_ids"] == around


def test_directories_of_hugging_face_are_loaded(pair, tmp_path):
    _, hugging_face = pair
    hugging_face.save_pretrained(tmp_path)
    hugging_face = type(hugging_face).from_pretrained(tmp_path)
    hugging_face.add_tokens(["zebra", "two words"])
    hugging_face.add_special_tokens({"extra_special_tokens": ["[X]"]})
    hugging_face.save_pretrained(tmp_path)
    ours = AutoTokenizer.from_pretrained(tmp_path)
    assert ours.get_vocab() == hugging_face.get_vocab()
    assert_equal(
        ours, hugging_face, ["a two words zebra [X]", "the zebras[X]", "[SEP]</s>"]
    )
    assert ours.decode([ours.get_vocab()["[X]"]], skip_special_tokens=True) == ""


def test_hugging_face_preserves_our_settings(wordpiece, tmp_path):
    transformers = pytest.importorskip("transformers")
    wordpiece.save_pretrained(tmp_path / "plain")
    ours = AutoTokenizer.from_pretrained(
        tmp_path / "plain", normalization=("quotes",), source_specials=True
    )
    ours.save_pretrained(tmp_path / "ours")
    hugging_face = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    hugging_face.save_pretrained(tmp_path / "hugging_face")
    back = AutoTokenizer.from_pretrained(tmp_path / "hugging_face")
    assert back.fingerprint == ours.fingerprint
    assert back.source_suffix == ours.source_suffix == (4,)
